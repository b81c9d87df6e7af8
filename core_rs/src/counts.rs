//! Exact counts of the sessions and the distinct users of each page in each role, without sets.
//!
//! Users come one after another, each with all their sessions. So a page's cell needs no set: it remembers the last
//! session that it counted. That number tells whether this session was counted already; compared with the number before
//! the user's first session, it tells whether this user was. Sessions are numbered on and on, so nothing is cleared
//! between users or blocks. The two sides are counted one after the other, each with numbers of its own.

use crate::block::{Block, day_and_time};
use crate::error::{Error, Result};
use crate::journey::{Scope, mark, marks};
use crate::pages::PageId;
use crate::roles::{Conversion, MOST_ROLES, Side, conversion_side};

/// The counts of one page in one role.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cell {
    pub(crate) sessions: u32,
    pub(crate) users: u32,
    last_session: u32,
}

impl Cell {
    #[inline]
    fn count(&mut self, session: u32, session_before_user: u32) {
        self.sessions += 1;
        self.users += u32::from(self.last_session <= session_before_user);
        self.last_session = session;
    }
}

/// The counts of one page on one side, in the order of the side's roles.
pub(crate) type Row = [Cell; MOST_ROLES];

/// `SummaryTotals` of the contract.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Included sessions.
    pub sessions: u64,
    /// Their distinct users.
    pub users: u64,
    /// Conversions in them.
    pub conversion_events: u64,
    /// Distinct users with a conversion in them.
    pub conversion_users: u64,
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.sessions += other.sessions;
        self.users += other.users;
        self.conversion_events += other.conversion_events;
        self.conversion_users += other.conversion_users;
    }
}

/// Which sessions of a block count, and which conversions.
#[derive(Debug, Clone)]
pub(crate) struct Included {
    /// The mark that they have.
    mark: u8,
    /// The first and the last start, as day and time.
    window: Option<[(u16, u32); 2]>,
    /// For each code of traffic, 1 if its sessions pass.
    traffic: Option<Vec<u8>>,
    /// The number of the page that they landed on.
    landing: Option<u32>,
    /// The keys that conversions must have. Where it is given, "converting" means: with such a conversion.
    conversion: Option<[Option<u64>; 3]>,
}

impl Included {
    /// Sessions that the scope includes, of blocks whose marks and sessions are those of the question.
    pub(crate) fn all(scope: Scope, conversion_filter: bool) -> Self {
        Self {
            mark: scope.mark(conversion_filter),
            window: None,
            traffic: None,
            landing: None,
            conversion: None,
        }
    }

    /// Only those that started in the window, in milliseconds, both ends included.
    pub(crate) fn in_window(mut self, start_ms: i64, end_ms: i64) -> Self {
        self.window = Some([day_and_time(start_ms), day_and_time(end_ms)]);
        self
    }

    /// Only those whose traffic passes: 1 at the place of its code. A block without codes has code 0.
    pub(crate) fn with_traffic(mut self, passes: Vec<u8>) -> Self {
        self.traffic = Some(passes);
        self
    }

    /// Only those that landed on the page of a number.
    pub(crate) fn landed_on(mut self, page: u32) -> Self {
        self.landing = Some(page);
        self
    }

    /// Only conversions whose values have these keys count.
    pub(crate) fn with_conversion(mut self, values: [Option<u64>; 3]) -> Self {
        self.conversion = Some(values);
        self
    }

    /// Whether all sessions of a block count.
    fn is_all(&self, block: &Block) -> bool {
        self.mark == marks::ANY
            && self
                .traffic
                .as_ref()
                .is_none_or(|_| block.traffic.is_empty())
            && self.landing.is_none()
            && self.window.is_none_or(|window| is_within(block, window))
    }

    #[inline]
    fn counts(&self, conversion: &Conversion) -> bool {
        self.conversion.is_none_or(|asked| {
            let values = asked.iter().zip(&conversion.values);
            values
                .into_iter()
                .all(|(asked, value)| asked.is_none_or(|asked| asked == *value))
        })
    }

    /// Writes 1 for each session that counts, 0 for the others.
    fn select(&self, block: &Block, marks: &[u8], passes: &mut Vec<u8>) {
        passes.clear();
        passes.extend(marks.iter().map(|marks| u8::from(marks & self.mark != 0)));
        if let Some(window @ [(first, first_time), (last, last_time)]) = self.window
            && !is_within(block, window)
        {
            let width = last.saturating_sub(first);
            let days = block.day.iter();
            let in_days = days.map(|day| u8::from(day.wrapping_sub(first) <= width));
            and(passes, in_days);
            // Most windows are whole days.
            if (first_time, last_time) != (0, LAST_TIME) {
                let starts = block.day.iter().zip(&block.time);
                let starts = starts.map(|(&day, &time)| (day, time));
                and(
                    passes,
                    starts.map(|start| u8::from(window[0] <= start && start <= window[1])),
                );
            }
        }
        if let Some(traffic) = &self.traffic
            && !block.traffic.is_empty()
        {
            let codes = block.traffic.iter();
            let passing = |&code: &u32| traffic.get(code as usize).copied().unwrap_or_default();
            and(passes, codes.map(passing));
        }
        if let Some(landing) = self.landing {
            and(
                passes,
                block.landing.iter().map(|&page| u8::from(page == landing)),
            );
        }
    }
}

/// The last millisecond of a day.
const LAST_TIME: u32 = 86_399_999;

/// Whether all sessions of a block started in a window.
fn is_within(block: &Block, [first, last]: [(u16, u32); 2]) -> bool {
    block.days.is_some_and(|(low, high)| {
        (low > first.0 || (low == first.0 && first.1 == 0))
            && (high < last.0 || (high == last.0 && last.1 >= LAST_TIME))
    })
}

#[inline]
fn and(passes: &mut [u8], others: impl Iterator<Item = u8>) {
    for (passes, other) in passes.iter_mut().zip(others) {
        *passes &= other;
    }
}

/// Writes the places of the ones among zeros and ones.
fn places(passes: &[u8], places: &mut Vec<u32>) {
    const STEP: usize = 8;
    places.clear();
    places.resize(passes.len() + STEP, 0);
    let mut count = 0;
    let (steps, rest) = passes.as_chunks::<STEP>();
    let mut place = 0;
    for step in steps {
        if u64::from_ne_bytes(*step) == 0 {
            place += 8;
            continue;
        }
        // Without a branch a session, which could not be foreseen.
        let slots = &mut places[count..count + STEP];
        let mut found = 0;
        for &passes in step {
            slots[found % STEP] = place;
            found += usize::from(passes);
            place += 1;
        }
        count += found;
    }
    for &passes in rest {
        places[count] = place;
        count += usize::from(passes);
        place += 1;
    }
    places.truncate(count);
}

/// Memory of a count, kept from block to block.
#[derive(Debug, Default)]
struct Scratch {
    marks: Vec<u8>,
    passes: Vec<u8>,
    places: Vec<u32>,
}

/// The counts of all pages.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) totals: Totals,
    /// For each side, a row for each page. Place 0 takes what belongs to no page.
    rows: [Vec<Row>; 2],
    /// The number of the last session. Numbers start at 1.
    session: u32,
    scratch: Scratch,
}

impl Counts {
    /// Makes room for the numbers of so many pages.
    pub(crate) fn make_room(&mut self, pages: usize) {
        for rows in &mut self.rows {
            rows.resize(rows.len().max(pages + 1), Row::default());
        }
    }

    /// Counts a block, whose users are in no other block.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] where a count of sessions could overflow. No count and no session number is larger than twice
    /// the number of all sessions, so this is the only check.
    pub(crate) fn add(&mut self, block: &Block, included: &Included) -> Result<()> {
        let most = self.totals.sessions.max(self.session.into());
        u32::try_from(most.saturating_add(2 * block.len() as u64))
            .map_err(|_| Error::TooMany("sessions"))?;
        let mut scratch = std::mem::take(&mut self.scratch);
        let marks = if included.conversion.is_some() {
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
        if included.is_all(block) {
            self.add_sessions(block, marks, 0..block.len());
            self.add_conversions(block, marks, included, |_| true);
        } else {
            included.select(block, marks, &mut scratch.passes);
            places(&scratch.passes, &mut scratch.places);
            let sessions = scratch.places.iter();
            self.add_sessions(block, marks, sessions.map(|&place| place as usize));
            let passes = |session: usize| scratch.passes.get(session) == Some(&1);
            self.add_conversions(block, marks, included, passes);
        }
        self.scratch = scratch;
        Ok(())
    }

    /// Counts sessions, and their pages on the drop-off side.
    #[inline]
    fn add_sessions(&mut self, block: &Block, marks: &[u8], sessions: impl Iterator<Item = usize>) {
        let [_, cells] = &mut self.rows;
        let length = block.len();
        let (users, marks) = (&block.user[..length], &marks[..length]);
        let pages = [&block.exit, &block.before_exit, &block.landing];
        let pages = pages.map(|pages| &pages[..length]);
        let first_session = self.session;
        let (mut session, mut session_before_user) = (self.session, self.session);
        let mut last_user = u32::MAX;
        for place in sessions {
            let user = u32::from(users[place]);
            let is_new = user != last_user;
            last_user = user;
            self.totals.users += u64::from(is_new);
            session_before_user = if is_new { session } else { session_before_user };
            session += 1;
            let drops_off = marks[place] & marks::DROPS_OFF != 0;
            for (role, pages) in pages.iter().enumerate() {
                let page = if drops_off { pages[place] } else { 0 };
                if let Some(row) = cells.get_mut(page as usize) {
                    row[role].count(session, session_before_user);
                }
            }
        }
        self.session = session;
        self.totals.sessions += u64::from(session - first_session);
    }

    /// Counts the conversion side of the converting sessions that pass.
    fn add_conversions(
        &mut self,
        block: &Block,
        marks: &[u8],
        included: &Included,
        passes: impl Fn(usize) -> bool,
    ) {
        let mut last_user = None;
        let mut session_before_user = self.session;
        for (nth, &place) in block.converted.session.iter().enumerate() {
            let place = place as usize;
            let is_converting = |marks: &u8| marks & marks::CONVERTING != 0;
            if !marks.get(place).is_some_and(is_converting) || !passes(place) {
                continue;
            }
            let user = block.user.get(place);
            if last_user != user {
                last_user = user;
                session_before_user = self.session;
                self.totals.conversion_users += 1;
            }
            self.session += 1;
            let session = self.session;
            let (views, conversions) = block.converted.of(nth);
            let conversions = conversions.iter().filter(|each| included.counts(each));
            let [rows, _] = &mut self.rows;
            let landing = block.landing.get(place).copied().unwrap_or_default();
            let events = &mut self.totals.conversion_events;
            conversion_side(
                landing,
                views,
                conversions.inspect(|_| *events += 1),
                |role, page| {
                    if let Some(row) = rows.get_mut(page as usize)
                        && row[role.place()].last_session != session
                    {
                        row[role.place()].count(session, session_before_user);
                    }
                },
            );
        }
    }

    /// A page's counts on a side, if it has a role there.
    #[inline]
    pub(crate) fn row(&self, side: Side, page: PageId) -> Option<&Row> {
        let row = self.rows[side as usize].get(page.index())?;
        row.iter().any(|cell| cell.sessions > 0).then_some(row)
    }

    /// Whether a page has a role.
    pub(crate) fn has_role(&self, page: PageId) -> bool {
        Side::ALL
            .into_iter()
            .any(|side| self.row(side, page).is_some())
    }

    /// Adds the totals of others, whose users are others.
    pub(crate) fn merge_totals(&mut self, other: &Self) -> Result<()> {
        u32::try_from(self.totals.sessions + other.totals.sessions)
            .map_err(|_| Error::TooMany("sessions"))?;
        self.totals.add(other.totals);
        Ok(())
    }

    /// Adds the counts of other users, with the same numbers of pages.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<()> {
        self.merge_totals(other)?;
        let pages = other.rows.iter().map(Vec::len).max().unwrap_or_default();
        for page in 0..pages {
            self.merge_page(other, page, page);
        }
        Ok(())
    }

    /// Adds the counts of a page in another tally to those of `place`, the same page in this tally.
    pub(crate) fn merge_page(&mut self, other: &Self, page: usize, place: usize) {
        for (rows, others) in self.rows.iter_mut().zip(&other.rows) {
            rows.resize(rows.len().max(place + 1), Row::default());
            let Some((row, other)) = rows.get_mut(place).zip(others.get(page)) else {
                continue;
            };
            for (cell, other) in row.iter_mut().zip(other) {
                cell.sessions += other.sessions;
                cell.users += other.users;
            }
        }
    }
}
