//! The sessions of a block that count, and the roles that a page has in them: what all questions share.

use crate::block::Block;
use crate::included::{Included, places};
use crate::journey::{mark, marks};
use crate::roles::{Role, Roles, Side, conversion_side};

/// Memory of a choice, kept from block to block.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    marks: Vec<u8>,
    passes: Vec<u8>,
    places: Vec<u32>,
}

/// The sessions of a block that are included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chosen<'a> {
    pub(crate) block: &'a Block,
    included: &'a Included,
    /// What each session of the block is on its user's journey.
    pub(crate) marks: &'a [u8],
    /// 1 for each session that is included, and 0 for the others; none where all are.
    passes: Option<&'a [u8]>,
    /// The places of those that are included; none where all are.
    pub(crate) places: Option<&'a [u32]>,
}

impl<'a> Chosen<'a> {
    /// Chooses the sessions of a block that are included.
    pub(crate) fn of(block: &'a Block, included: &'a Included, scratch: &'a mut Scratch) -> Self {
        let marks = if included.has_conversion_filter() {
            let converts = |nth| {
                let (_, conversions) = block.converted.of(nth);
                conversions.iter().any(|each| included.counts(each))
            };
            let sessions = &block.converted.session;
            mark(&block.user, sessions, converts, true, &mut scratch.marks);
            &scratch.marks
        } else {
            &block.marks
        };
        let is_all = included.is_all(block);
        if !is_all {
            included.select(block, marks, &mut scratch.passes);
            places(&scratch.passes, &mut scratch.places);
        }
        Self {
            block,
            included,
            marks,
            passes: (!is_all).then_some(&scratch.passes),
            places: (!is_all).then_some(&scratch.places),
        }
    }

    /// Visits their places, in order.
    #[inline]
    pub(crate) fn each(&self, visit: impl FnMut(usize)) {
        match self.places {
            None => (0..self.block.len()).for_each(visit),
            Some(places) => places.iter().map(|&place| place as usize).for_each(visit),
        }
    }

    /// Whether a session is among them.
    #[inline]
    pub(crate) fn has(&self, place: usize) -> bool {
        self.passes
            .is_none_or(|passes| passes.get(place) == Some(&1))
    }

    #[inline]
    fn is(&self, place: usize, mark: u8) -> bool {
        self.marks.get(place).is_some_and(|marks| marks & mark != 0)
    }

    /// The converting ones, in order: each one's number among the block's sessions with conversions, and its place.
    pub(crate) fn converting(&self) -> impl Iterator<Item = (usize, usize)> {
        let sessions = self.block.converted.session.iter().enumerate();
        let placed = sessions.map(|(nth, &place)| (nth, place as usize));
        placed.filter(|&(_, place)| self.is(place, marks::CONVERTING) && self.has(place))
    }

    /// Calls `name` with the roles on the conversion side of a converting one, as [`conversion_side`] does. Returns the
    /// number of its conversions that count.
    #[inline]
    pub(crate) fn conversion_side(
        &self,
        (nth, place): (usize, usize),
        name: impl FnMut(Role, u32),
    ) -> u64 {
        let (views, conversions) = self.block.converted.of(nth);
        let conversions = conversions.iter().filter(|each| self.included.counts(each));
        let landing = self.block.landing.get(place).copied().unwrap_or_default();
        let mut events = 0;
        let counted = conversions.inspect(|_| events += 1);
        conversion_side(landing, views, counted, name);
        events
    }

    /// Visits those in which a page has a role of either side, in order, with the roles that it has there.
    pub(crate) fn each_with_roles_of(&self, page: u32, mut visit: impl FnMut(usize, Roles)) {
        let mut found = vec![Roles::default(); self.block.len()];
        // Whole columns, which the compiler does many at once.
        let columns = self.block.drop_off_pages();
        for (&role, pages) in Side::DropOff.roles().iter().zip(columns) {
            let sessions = found.iter_mut().zip(pages).zip(self.marks);
            for ((found, &other), marks) in sessions {
                found.add_if(role, other == page && marks & marks::DROPS_OFF != 0);
            }
        }
        for (nth, place) in self.converting() {
            if let Some(found) = found.get_mut(place) {
                self.conversion_side((nth, place), |role, other| {
                    found.add_if(role, other == page);
                });
            }
        }
        for (place, roles) in found.into_iter().enumerate() {
            if roles != Roles::default() && self.has(place) {
                visit(place, roles);
            }
        }
    }

    /// Visits those that landed on a page, in order.
    pub(crate) fn each_landed_on(&self, page: u32, mut visit: impl FnMut(usize)) {
        self.each(|place| {
            if self.block.landing.get(place) == Some(&page) {
                visit(place);
            }
        });
    }
}
