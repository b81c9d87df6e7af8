//! Totals of each day, and what one page did on it, in one walk over the sessions.
//!
//! A user's sessions lie together, in order of start. So those of one day do, too, and users of a day are counted where
//! the user or the day is another one than before.

use crate::chosen::Chosen;
use crate::counts::{RoleCount, Totals};
use crate::error::{Error, Result};
use crate::roles::{ROLES, Roles};

/// What was counted of one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Day {
    pub(crate) totals: Totals,
    /// The page's counts in each role, in the order of their numbers.
    pub(crate) roles: [RoleCount; ROLES.len()],
    /// The sessions that landed on the page.
    pub(crate) landing: RoleCount,
}

/// The days of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Days {
    pub(crate) first: i64,
    pub(crate) each: Vec<Day>,
    /// Whether a page was counted.
    pub(crate) has_page: bool,
}

/// A user of a block on a day, as one number: to compare two takes no branch, which could not be foreseen.
type Visit = u64;

/// No user's, on no day.
const NONE: Visit = Visit::MAX;

impl Days {
    /// So many UTC days without sessions, from a day on, which is numbered since 1970.
    #[must_use]
    pub fn new(first: i64, days: usize) -> Self {
        Self {
            first,
            each: vec![Day::default(); days],
            has_page: false,
        }
    }

    /// The same days without sessions.
    pub(crate) fn empty(&self) -> Self {
        Self {
            each: vec![Day::default(); self.each.len()],
            ..*self
        }
    }

    #[inline]
    fn on(&mut self, day: u16) -> Option<&mut Day> {
        let place = usize::try_from(i64::from(day).checked_sub(self.first)?).ok()?;
        self.each.get_mut(place)
    }

    /// Counts the sessions of a block. Those of days that are not among these count nowhere.
    pub(crate) fn add(&mut self, chosen: &Chosen<'_>) {
        let mut last = NONE;
        chosen.each(|place| {
            let (day, visit) = visit(chosen, place);
            if let Some(day) = self.on(day) {
                day.totals.sessions += 1;
                day.totals.users += u64::from(last != visit);
            }
            last = visit;
        });
        let mut last = NONE;
        for (nth, place) in chosen.converting() {
            let (day, visit) = visit(chosen, place);
            if let Some(day) = self.on(day) {
                day.totals.conversion_events += chosen.conversion_side((nth, place), |_, _| ());
                day.totals.conversion_users += u64::from(last != visit);
            }
            last = visit;
        }
    }

    /// Counts what a page did in the sessions of a block.
    pub(crate) fn add_page(&mut self, chosen: &Chosen<'_>, page: u32) {
        let mut last = [NONE; ROLES.len()];
        chosen.each_with_roles_of(page, |place, roles| {
            let (day, visit) = visit(chosen, place);
            let Some(day) = self.on(day) else {
                return;
            };
            for ((role, count), last) in ROLES.into_iter().zip(&mut day.roles).zip(&mut last) {
                if roles.meet(Roles::of(role)) {
                    see(count, last, visit);
                }
            }
        });
    }

    /// Counts the sessions of a block that landed on a page.
    pub(crate) fn add_landings(&mut self, chosen: &Chosen<'_>, page: u32) {
        let mut last = NONE;
        chosen.each_landed_on(page, |place| {
            let (day, visit) = visit(chosen, place);
            if let Some(day) = self.on(day) {
                see(&mut day.landing, &mut last, visit);
            }
        });
    }

    /// Adds the same days of other users.
    ///
    /// # Errors
    ///
    /// [`Error::Unlike`] where they are other days.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if (self.first, self.each.len()) != (other.first, other.each.len()) {
            return Err(Error::Unlike("days"));
        }
        self.absorb(other);
        Ok(())
    }

    /// Adds the same days of other users.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.has_page |= other.has_page;
        for (day, other) in self.each.iter_mut().zip(&other.each) {
            day.totals.add(other.totals);
            for (count, other) in day.roles.iter_mut().zip(other.roles) {
                count.add(other);
            }
            day.landing.add(other.landing);
        }
    }
}

/// The day of a session, and its visit.
#[inline]
fn visit(chosen: &Chosen<'_>, place: usize) -> (u16, Visit) {
    let of = |column: &[u16]| column.get(place).copied().unwrap_or_default();
    let (user, day) = (of(&chosen.block.user), of(&chosen.block.day));
    (day, Visit::from(user) << 16 | Visit::from(day))
}

#[inline]
fn see(count: &mut RoleCount, last: &mut Visit, visit: Visit) {
    count.sessions += 1;
    count.users += u64::from(*last != visit);
    *last = visit;
}
