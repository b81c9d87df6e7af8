//! Sessions and distinct users of each page and role, exact and without sets.
//!
//! Users arrive one after another, and their sessions with them, so a page's cell needs no sets: it
//! remembers the last session that it has counted. That tells whether this session is counted, and,
//! compared with the first session of this user, whether this user is. Sessions have running numbers
//! that are never reset, hence nothing is cleared between users or units.

use crate::error::{Error, Result};
use crate::pages::{PageId, Pages};
use crate::roles::{Role, Side};

/// The counts of one page in one role.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cell {
    pub(crate) sessions: u32,
    pub(crate) users: u32,
    last_session: u32,
}

/// The counts of one page on one side, in the order of the side's roles.
pub(crate) type Row = [Cell; 3];

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
    /// A row a page for each side; place 0 stays empty.
    rows: [Vec<Row>; 2],
    /// This session; they are numbered from 1.
    session: u32,
    /// The last session of the users before this one.
    session_before_user: u32,
    user_has_converted: bool,
}

impl Counts {
    /// Makes room for these pages and so many more sessions.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] where a count of sessions could overflow. No count is larger than that of
    /// all sessions, nor is a running number, so this is the only place that has to look.
    pub(crate) fn prepare(&mut self, pages: &Pages, sessions: usize) -> Result<()> {
        let sessions = self.totals.sessions.saturating_add(sessions as u64);
        u32::try_from(sessions).map_err(|_| Error::TooMany("sessions"))?;
        for rows in &mut self.rows {
            rows.resize(rows.len().max(pages.len() + 1), Row::default());
        }
        Ok(())
    }

    /// What follows belongs to another user.
    #[inline]
    pub(crate) fn begin_user(&mut self) {
        self.session_before_user = self.session;
        self.user_has_converted = false;
    }

    /// What follows belongs to another session of this user.
    #[inline]
    pub(crate) fn begin_session(&mut self) {
        self.totals.users += u64::from(self.session == self.session_before_user);
        self.totals.sessions += 1;
        self.session += 1;
    }

    /// Counts conversions of this session.
    pub(crate) fn add_conversions(&mut self, conversions: u32) {
        self.totals.conversion_events += u64::from(conversions);
        if !self.user_has_converted {
            self.user_has_converted = true;
            self.totals.conversion_users += 1;
        }
    }

    /// Counts this session, once, for a page in a role.
    #[inline]
    pub(crate) fn add(&mut self, role: Role, page: PageId) {
        let row = self.rows[role.side() as usize].get_mut(page.index());
        if let Some(cell) = row.map(|row| &mut row[role.place()])
            && cell.last_session != self.session
        {
            cell.sessions += 1;
            cell.users += u32::from(cell.last_session <= self.session_before_user);
            cell.last_session = self.session;
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

    /// Adds the counts that a page has in another tally to those of `place`, which is the same page
    /// here.
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
