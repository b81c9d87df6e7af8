//! Exact counts of the sessions and the distinct users of each page in each role, without sets.
//!
//! Users come one after another, each with all their sessions. So a page's cell needs no set: it remembers the last
//! session that it counted. That number tells whether this session was counted already; compared with the number before
//! the user's first session, it tells whether this user was. Sessions are numbered on and on, so nothing is cleared
//! between users or units. The two sides are counted one after the other, each with numbers of its own.

use crate::error::{Error, Result};
use crate::group::Keyed;
use crate::pages::{PageId, Pages};
use crate::roles::{MOST_ROLES, Role, Side};
use crate::rows::Session;

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
    pub(crate) fn add(&mut self, other: Self) {
        self.sessions += other.sessions;
        self.users += other.users;
        self.conversion_events += other.conversion_events;
        self.conversion_users += other.conversion_users;
    }
}

/// The counts of all pages.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) totals: Totals,
    /// For each side, a row for each page. Place 0 takes what belongs to no page.
    rows: [Vec<Row>; 2],
    /// The number of this session. Numbers start at 1.
    session: u32,
    /// The number of the last session of the users before this one.
    session_before_user: u32,
    user_has_converted: bool,
}

impl Counts {
    /// Makes room for these pages and for so many more rows of sessions.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] where a count of sessions could overflow. No count and no session number is larger than the
    /// number of all rows, so this is the only check.
    pub(crate) fn prepare(&mut self, pages: &Pages, sessions: usize) -> Result<()> {
        let most = self.totals.sessions.max(self.session.into());
        u32::try_from(most.saturating_add(sessions as u64))
            .map_err(|_| Error::TooMany("sessions"))?;
        for rows in &mut self.rows {
            rows.resize(rows.len().max(pages.len() + 1), Row::default());
        }
        Ok(())
    }

    /// Counts sessions, and their pages on the drop-off side. All sessions of a user must come in one call, one after
    /// another.
    pub(crate) fn add_sessions(&mut self, sessions: &[Session<()>]) {
        let Some(mut user) = sessions.first().map(|first| !first.user()) else {
            return;
        };
        let [_, cells] = &mut self.rows;
        let (mut session, mut session_before_user) = (self.session, self.session);
        let mut users = 0;
        for row in sessions {
            let is_new = row.user() != user;
            user = row.user();
            users += u64::from(is_new);
            session_before_user = if is_new { session } else { session_before_user };
            session += 1;
            for (place, page) in row.ends.drop_off_side().into_iter().enumerate() {
                if let Some(row) = cells.get_mut(page.map_or(0, PageId::index)) {
                    row[place].count(session, session_before_user);
                }
            }
        }
        self.session = session;
        self.totals.users += users;
        self.totals.sessions += sessions.len() as u64;
    }

    /// Begins the next user on the conversion side.
    pub(crate) fn begin_converted_user(&mut self) {
        self.session_before_user = self.session;
        self.user_has_converted = false;
    }

    /// Begins the next converting session of this user, with its number of conversions.
    pub(crate) fn begin_conversions(&mut self, conversions: u32) {
        self.session += 1;
        self.totals.conversion_events += u64::from(conversions);
        self.totals.conversion_users += u64::from(!self.user_has_converted);
        self.user_has_converted = true;
    }

    /// Counts this session for a page in a role of the conversion side, unless it was counted there already.
    pub(crate) fn add_conversion(&mut self, role: Role, page: PageId) {
        let [rows, _] = &mut self.rows;
        if let Some(row) = rows.get_mut(page.index())
            && row[role.place()].last_session != self.session
        {
            row[role.place()].count(self.session, self.session_before_user);
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

    /// Adds the counts of a page in another tally to those of `place`, the same page in this tally.
    pub(crate) fn merge(&mut self, other: &Self, page: PageId, place: PageId) {
        for (rows, others) in self.rows.iter_mut().zip(&other.rows) {
            rows.resize(rows.len().max(place.index() + 1), Row::default());
            let Some((row, other)) = rows.get_mut(place.index()).zip(others.get(page.index()))
            else {
                continue;
            };
            for (cell, other) in row.iter_mut().zip(other) {
                cell.sessions += other.sessions;
                cell.users += other.users;
            }
        }
    }
}
