//! A tally: it is fed with streams, unit by unit, and holds the counts of one question.

use std::hash::{BuildHasher, RandomState};

use crate::answer::{Answer, Snapshot};
use crate::counts::{Counts, Totals};
use crate::error::{Error, Result, Stop};
use crate::group::Range;
use crate::index::BATCH;
use crate::journey::{Journey, Scope, Selection};
use crate::native::Reader;
use crate::pages::{KeyWidth, PageColumns, PageId, Pages};
use crate::roles::{Ends, conversion_side};
use crate::rows::{
    ConversionColumns, Converted, Found, Session, SessionColumns, Unit, User, UserColumns, When,
};

/// The counts of one question, over the units of one worker.
///
/// A unit is a set of users with all their rows. It is fed as up to three streams (in any interleaving, in chunks of
/// any size) and closed by [`finish_units`](Self::finish_units). No user may be in two units, of this tally or of one
/// that is merged with it: only then are sums of users right.
///
/// Conversions and users may come ahead, for several units at once; then these units must follow in the order of their
/// users. Sessions of several units may come in one stream, unit after unit ([`begin_units`](Self::begin_units)); then
/// conversions and users must come before them.
#[derive(Debug)]
pub struct Tally {
    selection: Selection,
    sessions: Reader<SessionColumns>,
    conversions: Reader<ConversionColumns>,
    users: Reader<UserColumns>,
    names: Reader<PageColumns>,
    units: Units,
    unit: Unit,
    pages: Pages,
    counts: Counts,
    /// Grows with every change that can change an answer.
    revision: u64,
}

impl Tally {
    /// An empty tally.
    #[must_use]
    pub fn new(scope: Scope, conversion_filter: bool) -> Self {
        Self::with_seed(scope, conversion_filter, RandomState::new().hash_one(0))
    }

    /// An empty tally with a seed for its hash tables. The seed must be unknown to those whose pages and users are
    /// counted: then nobody can make up keys that share slots.
    #[must_use]
    pub fn with_seed(scope: Scope, conversion_filter: bool, seed: u64) -> Self {
        Self {
            selection: Selection {
                scope,
                conversion_filter,
            },
            sessions: Reader::default(),
            conversions: Reader::default(),
            users: Reader::default(),
            names: Reader::default(),
            units: Units::default(),
            unit: Unit::with_seed(seed),
            pages: Pages::with_seed(seed),
            counts: Counts::default(),
            revision: 0,
        }
    }

    /// The same tally, with page keys of that width.
    #[must_use]
    pub fn with_keys(mut self, width: KeyWidth) -> Self {
        self.pages.set_width(width);
        self
    }

    /// Says which users the next units have, in the order of the users, both ends of each range included. It must be
    /// called before any of their sessions is fed. A unit that is not begun may have any users, and takes longer.
    ///
    /// # Errors
    ///
    /// [`Error::UnitOpen`] where sessions of a unit were fed already.
    pub fn begin_units(&mut self, units: &[(u64, u64)]) -> Result<()> {
        if self.unit.has_sessions() || !self.sessions.is_between_blocks() {
            return Err(Error::UnitOpen);
        }
        self.units = Units::new(units);
        self.unit.begin(self.units.range());
        Ok(())
    }

    /// Takes a chunk of the units' sessions ([`SessionColumns`]). When a row of a later unit comes, the units before it
    /// are counted.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`]: no unit can be finished after that. [`Error::Unordered`]: the row belongs to a unit that
    /// was counted already, and the tally is of no use. Others as in [`finish_units`](Self::finish_units).
    pub fn feed_sessions(&mut self, chunk: &[u8]) -> Result<()> {
        let (sessions, mut counting) = self.counting();
        sessions.feed(chunk, |block| counting.add(block))
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
        self.users.feed(chunk, |block| {
            unit.add_users(block);
            Ok(())
        })
    }

    /// Counts the remaining units and forgets their rows.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] where a stream ended inside a block, the error of a failed feed, [`Error::PassedOver`], or
    /// [`Error::TooMany`]: nothing of that unit is counted.
    pub fn finish_units(&mut self) -> Result<()> {
        self.sessions.finish()?;
        self.conversions.finish()?;
        self.users.finish()?;
        let (_, mut counting) = self.counting();
        counting.finish_units()?;
        self.units = Units::default();
        Ok(())
    }

    fn counting(&mut self) -> (&mut Reader<SessionColumns>, Counting<'_>) {
        let counting = Counting {
            selection: self.selection,
            units: &mut self.units,
            unit: &mut self.unit,
            pages: &mut self.pages,
            counts: &mut self.counts,
            revision: &mut self.revision,
        };
        (&mut self.sessions, counting)
    }

    /// Adds the counts and names of another tally, whose users must be others. The other is empty afterwards.
    ///
    /// # Errors
    ///
    /// [`Error::OtherQuestion`], [`Error::UnitOpen`] where the other has an open unit, or [`Error::TooMany`]. Both are
    /// unchanged then.
    pub fn merge(&mut self, other: &mut Self) -> Result<()> {
        let width = other.pages.width();
        if self.selection != other.selection || self.pages.width() != width {
            return Err(Error::OtherQuestion);
        }
        other.require_closed()?;
        other.names.finish()?;
        let sessions = usize::try_from(other.counts.totals.sessions).unwrap_or(usize::MAX);
        self.counts.prepare(&self.pages, sessions)?;
        let scope = other.selection.scope;
        let emptied = Self::new(scope, other.selection.conversion_filter).with_keys(width);
        let other = std::mem::replace(other, emptied);
        let pages: Vec<PageId> = other.pages_with_role().collect();
        let mut places = [None; BATCH];
        for pages in pages.chunks(BATCH) {
            self.pages.adopt(&other.pages, pages, &mut places);
            for (&page, place) in pages.iter().zip(places) {
                if let Some(place) = place {
                    self.counts.merge(&other.counts, page, place);
                }
            }
        }
        self.counts.totals.add(other.counts.totals);
        self.revision += 1;
        Ok(())
    }

    /// The totals of the units finished so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.counts.totals
    }

    /// The keys of the pages with a role in the answer.
    #[must_use]
    pub fn page_keys(&self) -> Vec<u64> {
        self.pages_with_role()
            .map(|page| self.pages.key(page))
            .collect()
    }

    /// Number of pages with a role in the answer.
    #[must_use]
    pub fn page_count(&self) -> usize {
        self.pages_with_role().count()
    }

    /// Takes a chunk of page names ([`PageColumns`]), with whole keys in any case. Unknown pages are ignored. A page
    /// that has a name keeps it.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`]; [`Error::Ambiguous`] where two pages were counted as one.
    pub fn feed_pages(&mut self, chunk: &[u8]) -> Result<()> {
        let pages = &mut self.pages;
        self.revision += 1;
        self.names.feed(chunk, |block| {
            pages.read_names(block);
            Ok(())
        })?;
        if self.pages.is_ambiguous() {
            return Err(Error::Ambiguous);
        }
        Ok(())
    }

    /// The keys of the pages that have a role and no name.
    #[must_use]
    pub fn missing_pages(&self) -> Vec<u64> {
        self.pages_with_role()
            .filter(|&page| self.pages.name(page).is_none())
            .map(|page| self.pages.key(page))
            .collect()
    }

    /// The answer, in order, ready to be written. Times are milliseconds since the epoch.
    ///
    /// # Errors
    ///
    /// [`Error::UnitOpen`]; [`Error::Truncated`] where the names ended inside a block, or the error of their failed
    /// feed; [`Error::Unnamed`].
    pub fn answer(&mut self, start_ms: i64, end_ms: i64) -> Result<Answer> {
        self.require_closed()?;
        self.names.finish()?;
        match self.missing_pages().len() {
            0 => Ok(Answer::new(self.snapshot(), start_ms, end_ms)),
            missing => Err(Error::Unnamed(missing)),
        }
    }

    /// The counts and names as they are now. Every call that makes messages of an answer takes them.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot::new(&self.pages, &self.counts, self.revision)
    }

    fn pages_with_role(&self) -> impl Iterator<Item = PageId> {
        self.pages.iter().filter(|&page| self.counts.has_role(page))
    }

    fn require_closed(&self) -> Result<()> {
        let closed = self.unit.is_empty()
            && self.sessions.is_between_blocks()
            && self.conversions.is_between_blocks()
            && self.users.is_between_blocks();
        if closed { Ok(()) } else { Err(Error::UnitOpen) }
    }
}

/// Units whose sessions come in one stream.
#[derive(Debug)]
struct Units {
    ranges: Vec<Range>,
    finished: usize,
}

impl Default for Units {
    /// One unit of any users.
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Units {
    fn new(units: &[(u64, u64)]) -> Self {
        let ranges = units.iter().map(|&(first, last)| Range::new(first, last));
        Self {
            ranges: ranges.collect(),
            finished: 0,
        }
    }

    /// The users of this unit.
    fn range(&self) -> Range {
        self.ranges.get(self.finished).copied().unwrap_or_default()
    }

    /// The place of a user's unit, which must not be counted yet.
    fn place_of(&self, user: u64) -> std::result::Result<usize, Stop> {
        let place = self.ranges.iter().position(|range| range.contains(user));
        let place =
            place.ok_or_else(|| format!("user {user} lies outside of the units' ranges"))?;
        if place < self.finished {
            return Err(Error::Unordered.into());
        }
        Ok(place)
    }
}

/// All that counting a unit takes, apart from its streams.
struct Counting<'a> {
    selection: Selection,
    units: &'a mut Units,
    unit: &'a mut Unit,
    pages: &'a mut Pages,
    counts: &'a mut Counts,
    revision: &'a mut u64,
}

impl Counting<'_> {
    /// Takes sessions of this unit and of later ones.
    fn add(&mut self, block: &SessionColumns) -> std::result::Result<(), Stop> {
        block.check(self.pages.width(), self.selection)?;
        let mut start = 0;
        loop {
            let rows = self.unit.run(block, start);
            start = rows.end;
            (self.unit).add_sessions(block, rows, self.pages, self.selection)?;
            let Some(user) = block.user(start) else {
                return Ok(());
            };
            self.move_on_to(self.units.place_of(user)?)?;
        }
    }

    /// Finishes the units before that of this place.
    fn move_on_to(&mut self, place: usize) -> Result<()> {
        while self.units.finished < place {
            self.finish_unit()?;
            self.units.finished += 1;
            self.unit.begin(self.units.range());
        }
        Ok(())
    }

    fn finish_units(&mut self) -> Result<()> {
        self.move_on_to(self.units.ranges.len().saturating_sub(1))?;
        self.finish_unit()
    }

    fn finish_unit(&mut self) -> Result<()> {
        // Each row may take a session number on both sides.
        let most = self.unit.sessions().saturating_mul(2);
        self.unit.sort().map_err(Error::PassedOver)?;
        let mut chosen = Chosen::default();
        if self.selection.scope.needs_order() {
            if self.unit.has_starts_only() {
                choose_first(self.selection, self.unit, self.pages, &mut chosen);
            } else {
                self.unit.date_starts(self.pages);
                choose_dated(self.selection, self.unit, &mut chosen);
            }
        } else {
            choose_converted(self.selection, self.unit, &mut chosen);
        }
        // Choosing may have added pages.
        if self.pages.is_full() {
            return Err(Error::TooMany("pages"));
        }
        self.counts.prepare(self.pages, most)?;
        if self.selection.scope.needs_order() {
            self.counts.add_sessions(&chosen.sessions);
        } else {
            for &session in &chosen.sessions {
                self.unit.add_undated(session);
            }
            let counts = &mut *self.counts;
            self.unit
                .each_undated(|sessions| counts.add_sessions(sessions));
        }
        self.count_conversions(&chosen.conversions);
        self.unit.clear();
        *self.revision += 1;
        Ok(())
    }

    /// Counts the conversion side of the converting sessions in these places.
    fn count_conversions(&mut self, chosen: &[usize]) {
        let arena = self.unit.arena();
        let mut last_user = None;
        for session in chosen
            .iter()
            .filter_map(|&place| self.unit.converted().get(place))
        {
            if last_user.replace(session.user) != Some(session.user) {
                self.counts.begin_converted_user();
            }
            self.counts.begin_conversions(session.conversions);
            conversion_side(session.ends, arena.conversions(session), |role, page| {
                self.counts.add_conversion(role, page);
            });
        }
    }
}

/// The sessions of a unit that are included.
#[derive(Debug, Default)]
struct Chosen {
    /// Their drop-off side, by user. A session that only converts has no ends here.
    sessions: Vec<Session<()>>,
    /// The places of the converting ones, by user.
    conversions: Vec<usize>,
}

/// Chooses among the sessions with conversions, for scopes that do not need the time of others.
fn choose_converted(selection: Selection, unit: &Unit, chosen: &mut Chosen) {
    let mut place = 0;
    for sessions in unit.converted().chunk_by(|one, next| one.user == next.user) {
        let mut journey = Journey::default();
        add_converted(&mut journey, sessions);
        chosen.add_converted(selection, &journey, sessions, place);
        place += sessions.len();
    }
}

/// Chooses among all sessions, for scopes that need their order.
fn choose_dated(selection: Selection, unit: &mut Unit, chosen: &mut Chosen) {
    let mut place = 0;
    unit.each_user(|user| {
        if user.converted.is_empty() {
            chosen.add_unconverted(selection, user);
            return;
        }
        let journey = journey(user);
        chosen.add_sessions(selection, &journey, user.sessions);
        chosen.add_converted(selection, &journey, user.converted, place);
        place += user.converted.len();
    });
}

/// Chooses among all sessions, for the scope of first sessions.
fn choose_first(selection: Selection, unit: &mut Unit, pages: &mut Pages, chosen: &mut Chosen) {
    let mut place = 0;
    unit.each_first(pages, |found| match found {
        Found::First(session) => chosen.sessions.push(session),
        Found::Converted(user) => {
            let journey = journey(&user);
            chosen.add_sessions(selection, &journey, user.sessions);
            chosen.add_converted(selection, &journey, user.converted, place);
            place += user.converted.len();
        }
    });
}

impl Chosen {
    /// Chooses among the sessions of a user without any conversion, as most are.
    #[inline]
    fn add_unconverted(&mut self, selection: Selection, user: &User<'_>) {
        if !selection.may_include_unconverted() || user.came_earlier {
            return;
        }
        // In the scope of first sessions, the earliest session settles it.
        let first = user.sessions.iter().min_by_key(|session| session.moment());
        let first = first.filter(|session| session.is_included());
        self.sessions.extend(first.map(Session::undated));
    }

    fn add_sessions(
        &mut self,
        selection: Selection,
        journey: &Journey,
        sessions: &[Session<When>],
    ) {
        for session in sessions.iter().filter(|session| session.is_included()) {
            if selection.includes(session.moment(), false, journey) {
                self.sessions.push(session.undated());
            }
        }
    }

    /// Chooses among a user's sessions with conversions. A filter may have left none.
    fn add_converted(
        &mut self,
        selection: Selection,
        journey: &Journey,
        sessions: &[Converted],
        first_place: usize,
    ) {
        for (place, session) in (first_place..).zip(sessions) {
            let converts = session.conversions > 0;
            if !session.included || !selection.includes(session.moment, converts, journey) {
                continue;
            }
            if converts {
                self.conversions.push(place);
            }
            let ends = if converts && !journey.has_converted_before(session.moment) {
                Ends::default()
            } else {
                session.ends
            };
            self.sessions.push(Session::included(session.user, ends));
        }
    }
}

#[inline]
fn journey(user: &User<'_>) -> Journey {
    let mut journey = Journey::default();
    for session in user.sessions {
        journey.add(session.moment(), false);
    }
    add_converted(&mut journey, user.converted);
    if user.came_earlier {
        journey.came_earlier();
    }
    journey
}

fn add_converted(journey: &mut Journey, sessions: &[Converted]) {
    for session in sessions {
        journey.add(session.moment, session.conversions > 0);
    }
}
