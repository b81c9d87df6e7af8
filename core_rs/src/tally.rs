//! A tally: fed with streams, unit by unit, it holds the counts of one question.

use crate::answer::Answer;
use crate::counts::{Counts, Totals};
use crate::error::{Error, Result};
use crate::journey::{Journey, Scope, Selection};
use crate::native::Reader;
use crate::pages::{PageColumns, PageId, Pages};
use crate::roles::{conversion_side, drop_off_side};
use crate::rows::{
    ConversionColumns, Converted, SessionColumns, Text, Unit, User, UserColumns, When,
};

/// The counts of one question, over the units that one worker was given.
///
/// A unit is a set of users with all their rows, fed as up to three streams (in any interleaving,
/// in chunks of any size) and closed by [`finish_unit`](Self::finish_unit). No user may be in two
/// units, of this tally or of one that is merged with it: that is what makes users add up.
#[derive(Debug)]
pub struct Tally {
    selection: Selection,
    sessions: Reader<SessionColumns>,
    conversions: Reader<ConversionColumns>,
    users: Reader<UserColumns>,
    names: Reader<PageColumns>,
    unit: Unit,
    pub(crate) pages: Pages,
    pub(crate) counts: Counts,
    /// Grows with whatever can change an answer.
    pub(crate) revision: u64,
}

impl Tally {
    /// An empty tally.
    #[must_use]
    pub fn new(scope: Scope, conversion_filter: bool) -> Self {
        Self {
            selection: Selection {
                scope,
                conversion_filter,
            },
            sessions: Reader::default(),
            conversions: Reader::default(),
            users: Reader::default(),
            names: Reader::default(),
            unit: Unit::default(),
            pages: Pages::default(),
            counts: Counts::default(),
            revision: 0,
        }
    }

    /// An empty tally that takes the same steps in every run, for measurements. Its table of pages
    /// has no secret that keeps made-up URLs from crowding one place.
    #[must_use]
    pub fn with_seed(scope: Scope, conversion_filter: bool, seed: u64) -> Self {
        Self {
            pages: Pages::with_seed(seed),
            ..Self::new(scope, conversion_filter)
        }
    }

    /// Takes a chunk of the unit's sessions ([`SessionColumns`]).
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`]; the unit can't be finished after that.
    pub fn feed_sessions(&mut self, chunk: &[u8]) -> Result<()> {
        let (unit, pages) = (&mut self.unit, &mut self.pages);
        let selection = self.selection;
        self.sessions
            .feed(chunk, |block| unit.add_sessions(block, pages, selection))
    }

    /// Takes a chunk of the unit's sessions with conversions ([`ConversionColumns`]).
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`]; the unit can't be finished after that.
    pub fn feed_conversions(&mut self, chunk: &[u8]) -> Result<()> {
        let (unit, pages) = (&mut self.unit, &mut self.pages);
        self.conversions
            .feed(chunk, |block| unit.add_conversions(block, pages))
    }

    /// Takes a chunk of the unit's users with a session before the window ([`UserColumns`]).
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`]; the unit can't be finished after that.
    pub fn feed_users(&mut self, chunk: &[u8]) -> Result<()> {
        let unit = &mut self.unit;
        self.users.feed(chunk, |block| {
            unit.add_users(block);
            Ok(())
        })
    }

    /// Counts the unit's rows and forgets them.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] where a stream stopped inside a block, the error of a failed feed, or
    /// [`Error::TooMany`]. Then nothing is counted. [`Error::Tied`] where the order of sessions that
    /// started together matters and is not known; then nothing is counted either, and the unit's
    /// rows are forgotten, so that it can be fed again, with ids.
    pub fn finish_unit(&mut self) -> Result<()> {
        self.sessions.finish()?;
        self.conversions.finish()?;
        self.users.finish()?;
        self.counts.prepare(&self.pages, self.unit.sessions())?;
        self.unit.group();
        let (counts, selection) = (&mut self.counts, self.selection);
        let text = self.unit.text();
        if !selection.scope.needs_order() {
            for user in self.unit.undated_users() {
                count_undated(counts, selection, text, &user);
            }
        } else if !self.unit.lacks_ids()
            || (self.unit.dated_users()).all(|user| is_decided(selection, text, &user))
        {
            for user in self.unit.dated_users() {
                count_dated(counts, selection, text, &user);
            }
        } else {
            self.unit.clear();
            return Err(Error::Tied);
        }
        self.unit.clear();
        self.revision += 1;
        Ok(())
    }

    /// Takes the counts and names of another tally, whose users are others; it is empty afterwards.
    ///
    /// # Errors
    ///
    /// [`Error::OtherQuestion`], [`Error::UnitOpen`] where the other has an open unit, or
    /// [`Error::TooMany`]. Then both are as before.
    pub fn merge(&mut self, other: &mut Self) -> Result<()> {
        if self.selection != other.selection {
            return Err(Error::OtherQuestion);
        }
        other.require_closed()?;
        other.names.finish()?;
        let sessions = usize::try_from(other.counts.totals.sessions).unwrap_or(usize::MAX);
        self.counts.prepare(&self.pages, sessions)?;
        let scope = other.selection.scope;
        let mut other =
            std::mem::replace(other, Self::new(scope, other.selection.conversion_filter));
        for page in other.pages.iter() {
            if other.counts.has_role(page)
                && let Some(place) = self.pages.adopt(&mut other.pages, page)
            {
                self.counts.merge(&other.counts, page, place);
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

    /// Takes a chunk of page names ([`PageColumns`]). Unknown pages are ignored, and a page that
    /// has a name keeps it.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`].
    pub fn feed_pages(&mut self, chunk: &[u8]) -> Result<()> {
        let pages = &mut self.pages;
        self.revision += 1;
        self.names.feed(chunk, |block| {
            pages.read_names(block);
            Ok(())
        })
    }

    /// The keys of the pages with a role that have no name.
    #[must_use]
    pub fn missing_pages(&self) -> Vec<u64> {
        self.pages_with_role()
            .filter(|&page| self.pages.name(page).is_none())
            .map(|page| self.pages.key(page))
            .collect()
    }

    /// The answer, in order, ready to be encoded. Times are milliseconds since the epoch.
    ///
    /// # Errors
    ///
    /// [`Error::UnitOpen`]; [`Error::Truncated`] where the names stopped inside a block, or the
    /// error of their failed feed; [`Error::Unnamed`].
    pub fn answer(&mut self, start_ms: i64, end_ms: i64) -> Result<Answer> {
        self.require_closed()?;
        self.names.finish()?;
        match self.missing_pages().len() {
            0 => Ok(Answer::new(self, start_ms, end_ms)),
            missing => Err(Error::Unnamed(missing)),
        }
    }

    pub(crate) fn pages_with_role(&self) -> impl Iterator<Item = PageId> {
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

/// Counts one user where it does not matter when a session took place that has no conversion.
#[inline]
fn count_undated(counts: &mut Counts, selection: Selection, text: &Text, user: &User<'_, ()>) {
    counts.begin_user();
    if selection.includes_undated() {
        user.each_session(|session, _| {
            if session.is_included() {
                counts.begin_session();
                drop_off_side(session.ends, |role, page| counts.add(role, page));
            }
        });
    }
    if !user.converted.is_empty() {
        let mut journey = Journey::default();
        add_converted(&mut journey, text, user.converted);
        count_converted(counts, selection, text, user.converted, &journey);
    }
}

/// Counts one user where the order of all sessions matters.
#[inline]
fn count_dated(counts: &mut Counts, selection: Selection, text: &Text, user: &User<'_, When>) {
    counts.begin_user();
    let journey = dated_journey(text, user);
    user.each_session(|session, key| {
        let is_counted = session.is_included() && {
            let moment = text.moment_of_dated(session, key);
            selection.includes(&moment, false, &journey) == Some(true)
        };
        if is_counted {
            counts.begin_session();
            drop_off_side(session.ends, |role, page| counts.add(role, page));
        }
    });
    if !user.converted.is_empty() {
        count_converted(counts, selection, text, user.converted, &journey);
    }
}

/// Counts a user's sessions that have conversions, though a filter may have left none.
fn count_converted(
    counts: &mut Counts,
    selection: Selection,
    text: &Text,
    sessions: &[Converted],
    journey: &Journey<'_>,
) {
    for session in sessions.iter().filter(|session| session.included) {
        let moment = text.moment_of_converted(session);
        let converts = session.conversions > 0;
        if selection.includes(&moment, converts, journey) != Some(true) {
            continue;
        }
        counts.begin_session();
        if converts {
            counts.add_conversions(session.conversions);
            conversion_side(session.ends, text.conversions(session), |role, page| {
                counts.add(role, page);
            });
        }
        if !converts || journey.has_converted_before(&moment) == Some(true) {
            drop_off_side(session.ends, |role, page| counts.add(role, page));
        }
    }
}

/// Whether it is known of each session of a user if it counts.
#[inline]
fn is_decided(selection: Selection, text: &Text, user: &User<'_, When>) -> bool {
    if user.is_alone() {
        return true;
    }
    let journey = dated_journey(text, user);
    let mut is_decided = true;
    user.each_session(|session, key| {
        let moment = text.moment_of_dated(session, key);
        is_decided &=
            !session.is_included() || selection.includes(&moment, false, &journey).is_some();
    });
    for session in user.converted.iter().filter(|session| session.included) {
        let moment = text.moment_of_converted(session);
        let converts = session.conversions > 0;
        is_decided &= selection.includes(&moment, converts, &journey).is_some();
    }
    is_decided
}

#[inline]
fn dated_journey<'a>(text: &'a Text, user: &User<'_, When>) -> Journey<'a> {
    let mut journey = Journey::default();
    user.each_session(|session, key| {
        journey.add(text.moment_of_dated(session, key), false);
    });
    add_converted(&mut journey, text, user.converted);
    if user.came_earlier {
        journey.came_earlier();
    }
    journey
}

fn add_converted<'a>(journey: &mut Journey<'a>, text: &'a Text, sessions: &[Converted]) {
    for session in sessions {
        journey.add(text.moment_of_converted(session), session.conversions > 0);
    }
}
