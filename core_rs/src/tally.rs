//! A tally: it is fed with streams, unit by unit, and counts one question.

use std::hash::{BuildHasher, RandomState};
use std::mem;

use crate::arrange::INCLUDED;
use crate::counted::{Counted, SharedPages};
use crate::counts::{Balance, Counts, Totals};
use crate::error::{Error, Result};
use crate::group::Range;
use crate::included::Included;
use crate::index::BATCH;
use crate::journey::Scope;
use crate::native::Reader;
use crate::pages::{KeyWidth, PageId, Pages};
use crate::streams::{ConversionColumns, SessionColumns, UserColumns};
use crate::unit::Unit;

/// The counts of one question, over the units of one worker.
///
/// A unit is a set of users with all their rows. It is fed as up to three streams (in any interleaving, in chunks of
/// any size) and closed by [`finish_unit`](Self::finish_unit). No user may be in two units, of this tally or of one
/// that is merged with it: only then are sums of users right.
#[derive(Debug)]
pub struct Tally {
    scope: Scope,
    conversion_filter: bool,
    sessions: Reader<SessionColumns>,
    conversions: Reader<ConversionColumns>,
    users: Reader<UserColumns>,
    unit: Unit,
    pages: Pages,
    counts: Counts,
    /// The rows that merged tallies were fed.
    merged_rows: u64,
}

impl Tally {
    /// An empty tally.
    #[must_use]
    pub fn new(scope: Scope, conversion_filter: bool) -> Self {
        Self::with_seed(scope, conversion_filter, RandomState::new().hash_one(0))
    }

    /// An empty tally with a seed for its hash table. The seed must be unknown to those whose pages are counted: then
    /// nobody can make up keys that share slots.
    #[must_use]
    pub fn with_seed(scope: Scope, conversion_filter: bool, seed: u64) -> Self {
        Self {
            scope,
            conversion_filter,
            sessions: Reader::default(),
            conversions: Reader::default(),
            users: Reader::default(),
            unit: Unit::default(),
            pages: Pages::with_seed(seed),
            counts: Counts::default(),
            merged_rows: 0,
        }
    }

    /// The same tally, which also counts what the included sessions are.
    #[must_use]
    pub fn with_balance(mut self) -> Self {
        self.counts.balance = Some(Balance::default());
        self
    }

    /// The same tally, which also counts the sessions that landed on each page.
    #[must_use]
    pub fn with_landings(mut self) -> Self {
        self.counts = self.counts.with_landings();
        self
    }

    /// The same tally, with page keys of that width.
    #[must_use]
    pub fn with_keys(mut self, width: KeyWidth) -> Self {
        self.pages.set_width(width);
        self
    }

    /// Says which users the next unit has, both ends included, before any of its rows is fed. A unit that is not begun
    /// may have any users, and takes longer.
    ///
    /// # Errors
    ///
    /// [`Error::UnitOpen`] where rows of a unit were fed already.
    pub fn begin_unit(&mut self, first: u64, last: u64) -> Result<()> {
        self.require_closed()?;
        self.unit.begin(Range::new(first, last));
        Ok(())
    }

    /// Takes a chunk of the unit's sessions ([`SessionColumns`]).
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`]: no unit can be finished after that.
    pub fn feed_sessions(&mut self, chunk: &[u8]) -> Result<()> {
        let (unit, pages) = (&mut self.unit, &mut self.pages);
        let needs_order = self.scope.needs_order();
        self.sessions.feed(chunk, |block| {
            block.check(pages.width(), needs_order)?;
            Ok(unit.add_sessions(block, pages)?)
        })
    }

    /// Takes a chunk of the unit's sessions with conversions ([`ConversionColumns`]).
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`]: the unit can't be finished after that.
    pub fn feed_conversions(&mut self, chunk: &[u8]) -> Result<()> {
        let (unit, pages) = (&mut self.unit, &mut self.pages);
        self.conversions
            .feed(chunk, |block| Ok(unit.add_conversions(block, pages)?))
    }

    /// Takes a chunk of the unit's users with a session before the window ([`UserColumns`]).
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`]: the unit can't be finished after that.
    pub fn feed_users(&mut self, chunk: &[u8]) -> Result<()> {
        let unit = &mut self.unit;
        self.users.feed(chunk, |block| Ok(unit.add_users(block)?))
    }

    /// Counts the unit and forgets its rows.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] where a stream ended inside a block, the error of a failed feed, or [`Error::TooMany`]: the
    /// tally is of no use then.
    pub fn finish_unit(&mut self) -> Result<()> {
        self.sessions.finish()?;
        self.conversions.finish()?;
        self.users.finish()?;
        self.counts.make_room(self.pages.len());
        let mut passes = vec![0; 2];
        passes[INCLUDED as usize] = 1;
        let included = Included::all(self.scope, self.conversion_filter).with_traffic(passes);
        let counts = &mut self.counts;
        self.unit
            .each_block(self.scope.needs_order(), self.conversion_filter, |block| {
                counts.add(block, &included)
            })?;
        self.unit.clear();
        Ok(())
    }

    /// Adds the counts of another tally, whose users must be others. The other is empty afterwards.
    ///
    /// # Errors
    ///
    /// [`Error::OtherQuestion`], [`Error::UnitOpen`] where the other has an open unit, or [`Error::TooMany`]. Both are
    /// unchanged then.
    pub fn merge(&mut self, other: &mut Self) -> Result<()> {
        let width = other.pages.width();
        if (self.scope, self.conversion_filter) != (other.scope, other.conversion_filter)
            || self.pages.width() != width
        {
            return Err(Error::OtherQuestion);
        }
        other.require_closed()?;
        self.counts.merge_totals(&other.counts)?;
        self.merged_rows += other.rows();
        let other = other.emptied();
        self.pages.adopt_ambiguity(&other.pages);
        let pages = other.pages.iter().filter(|&page| other.counts.has(page));
        let pages: Vec<PageId> = pages.collect();
        let mut places = [None; BATCH];
        for pages in pages.chunks(BATCH) {
            self.pages.adopt(&other.pages, pages, &mut places);
            for (page, place) in pages.iter().zip(places) {
                let place = place.map_or(0, PageId::index);
                self.counts.merge_page(&other.counts, page.index(), place);
            }
        }
        Ok(())
    }

    /// The number of rows that it was fed, in all streams, and those of the tallies that were merged into it.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.merged_rows + self.sessions.rows() + self.conversions.rows() + self.users.rows()
    }

    /// The totals of the units finished so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.counts.totals
    }

    /// Takes the finished counts, and leaves the tally empty.
    ///
    /// # Errors
    ///
    /// [`Error::UnitOpen`].
    pub fn take(&mut self) -> Result<Counted> {
        self.require_closed()?;
        let taken = self.emptied();
        Ok(Counted::new(SharedPages::new(taken.pages), taken.counts))
    }

    /// Takes all that was counted.
    fn emptied(&mut self) -> Self {
        let mut empty = Self::new(self.scope, self.conversion_filter).with_keys(self.pages.width());
        empty.counts.balance = self.counts.balance.map(|_| Balance::default());
        if self.counts.counts_landings() {
            empty = empty.with_landings();
        }
        mem::replace(self, empty)
    }

    fn require_closed(&self) -> Result<()> {
        let closed = self.unit.is_empty()
            && self.sessions.is_between_blocks()
            && self.conversions.is_between_blocks()
            && self.users.is_between_blocks();
        if closed { Ok(()) } else { Err(Error::UnitOpen) }
    }
}
