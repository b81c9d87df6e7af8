//! The rows of a unit, a set of users with all their rows, kept compact until the unit ends; then blocks are made of them,
//! one after the other.

use std::ops;

use crate::block::{Block, DAY_MS, FULL, Row, Session};
use crate::group::{Keyed, Partitions, Range};
use crate::journey::Moment;
use crate::pages::{PageId, Pages};
use crate::roles::{Conversion, Ends};
use crate::streams::{ConversionColumns, Inclusion, SessionColumns, UserColumns, not_full};

/// The codes of traffic in a unit's blocks.
pub(crate) const INCLUDED: u32 = 0;
pub(crate) const EVIDENCE: u32 = 1;

/// Eight bytes without alignment, which makes rows shorter.
#[derive(Debug, Clone, Copy, Default)]
struct Word([u8; 8]);

impl Word {
    #[inline]
    const fn new(value: u64) -> Self {
        Self(value.to_ne_bytes())
    }

    #[inline]
    const fn get(self) -> u64 {
        u64::from_ne_bytes(self.0)
    }
}

/// A session without conversions whose time does not matter. There are millions.
#[derive(Debug, Clone, Copy, Default)]
struct Undated {
    user: Word,
    ends: Ends,
}

/// A version of a session, with its time.
#[derive(Debug, Clone, Copy, Default)]
struct Dated {
    user: Word,
    ends: Ends,
    started_at: Word,
    session_key: Word,
    written_at: Word,
    inclusion: Inclusion,
}

const _: () = assert!(size_of::<Undated>() == 20 && size_of::<Dated>() == 48);

impl Keyed for Undated {
    #[inline]
    fn user(&self) -> u64 {
        self.user.get()
    }
}

impl Keyed for Dated {
    #[inline]
    fn user(&self) -> u64 {
        self.user.get()
    }
}

impl Dated {
    fn moment(&self) -> Moment {
        Moment {
            started_at: self.started_at.get().cast_signed(),
            session_key: self.session_key.get(),
        }
    }

    /// What a session has once, apart from its user. Versions at different places are different sessions here: one of
    /// them has left its place, and says so.
    fn place(&self) -> (u64, i64) {
        let moment = self.moment();
        (moment.session_key, moment.started_at.div_euclid(DAY_MS))
    }

    fn written_at(&self) -> i64 {
        self.written_at.get().cast_signed()
    }
}

impl Row for Undated {
    #[inline]
    fn ends(&self) -> Ends {
        self.ends
    }

    #[inline]
    fn traffic(&self) -> u32 {
        INCLUDED
    }
}

impl Row for Dated {
    #[inline]
    fn ends(&self) -> Ends {
        self.ends
    }

    #[inline]
    fn traffic(&self) -> u32 {
        if self.inclusion == Inclusion::Included {
            INCLUDED
        } else {
            EVIDENCE
        }
    }
}

/// A session with conversions, of which a filter may leave none.
#[derive(Debug, Clone)]
struct Converted {
    user: u64,
    session: Session,
    /// Its parts of the common buffers.
    views: ops::Range<usize>,
    conversions: ops::Range<usize>,
}

/// The rows of one unit. Its buffers are kept for the next.
#[derive(Debug, Default)]
pub(crate) struct Unit {
    range: Range,
    undated: Partitions<Undated>,
    dated: Partitions<Dated>,
    /// Whether several of these may be versions of one session.
    has_versions: bool,
    converted: Vec<Converted>,
    views: Vec<Option<PageId>>,
    conversions: Vec<Conversion>,
    /// Users who have a session before the window.
    earlier: Vec<u64>,
    latest: Vec<Dated>,
    block: Block,
}

impl Unit {
    /// Says which users the unit has, before any row of it is added.
    pub(crate) fn begin(&mut self, range: Range) {
        self.range = range;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.undated.len() == 0
            && self.dated.len() == 0
            && self.converted.is_empty()
            && self.earlier.is_empty()
    }

    /// Forgets the rows. The next unit may have any users until its range is set.
    pub(crate) fn clear(&mut self) {
        self.range = Range::default();
        self.undated.clear();
        self.dated.clear();
        self.converted.clear();
        self.views.clear();
        self.conversions.clear();
        self.earlier.clear();
        self.has_versions = false;
    }

    /// Checks that all users of some rows belong to the unit.
    fn check_users(&self, users: &[u64]) -> Result<(), String> {
        match users.iter().find(|&&user| !self.range.contains(user)) {
            Some(user) => Err(format!("user {user} lies outside of the unit's range")),
            None => Ok(()),
        }
    }

    /// Adds a checked block of the sessions stream. All blocks of a unit are dated, or none is.
    pub(crate) fn add_sessions(
        &mut self,
        block: &SessionColumns,
        pages: &mut Pages,
    ) -> Result<(), String> {
        let range = self.range;
        let is_dated = block.is_dated();
        if is_dated && self.undated.len() > 0 || !is_dated && self.dated.len() > 0 {
            return Err(
                "columns started_at and session_key come in all blocks or in none".to_owned(),
            );
        }
        let mut stray = None;
        if is_dated {
            let starts = block.started_at.values();
            let keys = block.session_key.values();
            let written = block.written_at.values();
            let has_versions = !written.is_empty();
            self.has_versions |= has_versions;
            block.each_row(pages, |row, user, ends, inclusion| {
                if !range.contains(user) {
                    stray = Some(user);
                } else if has_versions || inclusion != Inclusion::Elsewhere {
                    let at = |column: &[i64]| column.get(row).copied().unwrap_or_default();
                    let dated = Dated {
                        user: Word::new(user),
                        ends,
                        started_at: Word::new(at(starts).cast_unsigned()),
                        session_key: Word::new(keys.get(row).copied().unwrap_or_default()),
                        written_at: Word::new(at(written).cast_unsigned()),
                        inclusion,
                    };
                    self.dated.push(range, dated);
                }
            });
        } else {
            block.each_row(pages, |_, user, ends, inclusion| {
                if !range.contains(user) {
                    stray = Some(user);
                } else if inclusion == Inclusion::Included {
                    let user = Word::new(user);
                    self.undated.push(range, Undated { user, ends });
                }
            });
        }
        stray.map_or(Ok(()), |user| self.check_users(&[user]))?;
        not_full(pages)
    }

    /// Adds a block of the conversions stream.
    pub(crate) fn add_conversions(
        &mut self,
        block: &ConversionColumns,
        pages: &mut Pages,
    ) -> Result<(), String> {
        block.check()?;
        self.check_users(block.user_key.values())?;
        let mut page_keys = block.page_keys.iter();
        let mut conversion_keys = block.conversion_keys.iter();
        let mut assist_views = block.assist_views.iter();
        for (row, &user) in block.user_key.values().iter().enumerate() {
            let at = |column: &[u64]| column.get(row).copied().unwrap_or_default();
            let viewed = page_keys.next().unwrap_or_default();
            let converted = conversion_keys.next().unwrap_or_default();
            let assists = assist_views.next().unwrap_or_default();
            let included = block.included.values().get(row) == Some(&1);
            let (first_view, first_conversion) = (self.views.len(), self.conversions.len());
            if included {
                self.views
                    .extend(viewed.iter().map(|&key| pages.id_of_whole(key)));
                let conversions = converted.iter().zip(assists);
                self.conversions
                    .extend(conversions.map(|(&key, &assist_views)| Conversion {
                        page: PageId::number(pages.id_of_whole(key)),
                        assist_views,
                        ..Conversion::default()
                    }));
            } else {
                // It has no roles. What it shows is that its user converted.
                let conversions = block.conversions.values().get(row).copied();
                let conversions = conversions.unwrap_or_default().min(1) as usize;
                let length = self.conversions.len() + conversions;
                self.conversions.resize(length, Conversion::default());
            }
            let started_at = block.started_at.values().get(row).copied();
            self.converted.push(Converted {
                user,
                session: Session {
                    moment: Moment {
                        started_at: started_at.unwrap_or_default(),
                        session_key: at(block.session_key.values()),
                    },
                    ends: Ends {
                        landing: pages.id_of_whole(at(block.landing_key.values())),
                        exit: pages.id_of_whole(at(block.exit_key.values())),
                        before_exit: pages.id_of_whole(at(block.before_exit_key.values())),
                    },
                    traffic: if included { INCLUDED } else { EVIDENCE },
                },
                views: first_view..self.views.len(),
                conversions: first_conversion..self.conversions.len(),
            });
        }
        not_full(pages)
    }

    /// Adds a block of the users stream.
    pub(crate) fn add_users(&mut self, block: &UserColumns) -> Result<(), String> {
        self.check_users(block.user_key.values())?;
        self.earlier.extend(block.user_key.values());
        Ok(())
    }

    /// Visits the unit as blocks, whose sessions have the codes [`INCLUDED`] and [`EVIDENCE`]. Times and keys are left
    /// out.
    pub(crate) fn each_block<E>(
        &mut self,
        only_converting: bool,
        mut visit: impl FnMut(&Block) -> Result<(), E>,
    ) -> Result<(), E> {
        self.converted
            .sort_unstable_by_key(|row| (row.user, row.session.moment));
        self.earlier.sort_unstable();
        let mut rest = Rest {
            converted: &self.converted,
            earlier: &self.earlier,
            views: &self.views,
            conversions: &self.conversions,
        };
        let block = &mut self.block;
        for place in 0..Partitions::<Dated>::COUNT {
            let mut of_place = rest.take(|user| self.range.is_up_to(place, user));
            block.clear();
            let mut visit = |block: &mut Block| {
                block.seal(only_converting);
                let visited = visit(block);
                block.clear();
                visited
            };
            if self.dated.len() > 0 {
                let versions = self.dated.grouped(self.range, place);
                latest(versions, self.has_versions, &mut self.latest);
                of_place.lay_out(&self.latest, block, &mut visit)?;
            } else {
                let rows = self.undated.grouped(self.range, place);
                of_place.lay_out(rows, block, &mut visit)?;
            }
            if block.len() > 0 {
                visit(block)?;
            }
        }
        Ok(())
    }
}

/// What is needed beside the rows of the sessions stream, in the order of users.
struct Rest<'a> {
    converted: &'a [Converted],
    earlier: &'a [u64],
    views: &'a [Option<PageId>],
    conversions: &'a [Conversion],
}

impl Rest<'_> {
    /// Takes the rows of users from the front.
    fn take(&mut self, belongs: impl Fn(u64) -> bool) -> Self {
        Rest {
            converted: take(&mut self.converted, |row| belongs(row.user)),
            earlier: take(&mut self.earlier, |&user| belongs(user)),
            ..*self
        }
    }

    /// The first user of whom there is anything.
    fn first_user(&self) -> Option<u64> {
        let converted = self.converted.first().map(|row| row.user);
        converted
            .into_iter()
            .chain(self.earlier.first().copied())
            .min()
    }

    /// Lays all rows out in a block, the sessions of each user in order, and visits it each time that it is full.
    fn lay_out<R: Row + Started, E>(
        &mut self,
        mut rows: &[R],
        block: &mut Block,
        visit: &mut impl FnMut(&mut Block) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let user = self.first_user();
            let mut run = take(&mut rows, |row| user.is_none_or(|user| row.user() < user));
            while !run.is_empty() {
                // Whole users, and no more than a few rows too many.
                let end = run.len().min(FULL);
                let last = run[end - 1].user();
                let end = end
                    + run[end..]
                        .iter()
                        .take_while(|row| row.user() == last)
                        .count();
                let (now, later) = run.split_at(end);
                run = later;
                block.extend(now);
                if block.is_full() {
                    visit(block)?;
                }
            }
            let Some(user) = user else {
                return Ok(());
            };
            block.begin_unnamed_user();
            let of_user = self.take(|other| other == user);
            if !of_user.earlier.is_empty() {
                // Before all sessions of the window: one that is nowhere counted.
                block.push_undated(Ends::default(), EVIDENCE);
            }
            let mut converted = of_user.converted.iter().peekable();
            for row in take(&mut rows, |row| row.user() == user) {
                while let Some(converted) =
                    converted.next_if(|converted| row.follows(converted.session.moment))
                {
                    of_user.push(block, converted);
                }
                block.push_undated(row.ends(), row.traffic());
            }
            converted.for_each(|row| of_user.push(block, row));
            if block.is_full() {
                visit(block)?;
            }
        }
    }

    fn push(&self, block: &mut Block, row: &Converted) {
        block.push_undated(row.session.ends, row.session.traffic);
        let views = self.views.get(row.views.clone()).unwrap_or_default();
        let conversions = self.conversions.get(row.conversions.clone());
        block.convert(
            views.iter().copied(),
            conversions.unwrap_or_default().iter().copied(),
        );
    }
}

/// A row that may have a place in its user's journey.
trait Started {
    /// Whether it comes after that.
    fn follows(&self, moment: Moment) -> bool;
}

impl Started for Undated {
    fn follows(&self, _: Moment) -> bool {
        false
    }
}

impl Started for Dated {
    fn follows(&self, moment: Moment) -> bool {
        moment < self.moment()
    }
}

/// Writes the latest version of each session, by user and in order of start, without those that are elsewhere.
fn latest(versions: &[Dated], has_versions: bool, latest: &mut Vec<Dated>) {
    /// From this number on, sorting is faster than to look for a later version of each version.
    const MANY: usize = 16;
    latest.clear();
    for versions in versions.chunk_by(|one, next| one.user() == next.user()) {
        let start = latest.len();
        if !has_versions || versions.len() == 1 {
            latest.extend_from_slice(versions);
        } else if versions.len() < MANY {
            let kept = versions.iter().enumerate().filter(|(number, version)| {
                !versions.iter().enumerate().any(|(other_number, other)| {
                    other.place() == version.place()
                        && (other.written_at(), other_number) > (version.written_at(), *number)
                })
            });
            latest.extend(kept.map(|(_, version)| *version));
        } else {
            let mut sorted = versions.to_vec();
            // Stable: of versions written at the same time, the last one in the stream stays last.
            sorted.sort_by_key(|version| (version.place(), version.written_at()));
            let places = sorted.chunk_by(|one, next| one.place() == next.place());
            latest.extend(places.filter_map(<[_]>::last));
        }
        if latest.len() - start > 1 {
            latest[start..].sort_unstable_by_key(Dated::moment);
        }
    }
    latest.retain(|row| row.inclusion != Inclusion::Elsewhere);
}

/// Takes rows from the front.
#[inline]
fn take<'a, R>(rows: &mut &'a [R], belongs: impl Fn(&R) -> bool) -> &'a [R] {
    let run = rows.iter().take_while(|row| belongs(row)).count();
    let (taken, rest) = rows.split_at(run);
    *rows = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block has a limit, which only a user of very many sessions may pass, and each user is in one block.
    #[test]
    fn blocks_are_small_and_have_whole_users() {
        const MANY: u64 = 10_000;
        for key in [|user: u64| user, |user: u64| user << 50] {
            let mut unit = Unit::default();
            let (mut sessions, mut users) = (0, 0);
            for user in 0..9_000 {
                let of_user = if user == 5_000 { MANY } else { 1 + user % 3 };
                for _ in 0..of_user {
                    let ends = Ends::default();
                    let user = Word::new(key(user));
                    unit.undated.push(unit.range, Undated { user, ends });
                }
                if user % 1_000 == 1 {
                    unit.converted.push(Converted {
                        user: key(user),
                        session: Session {
                            moment: Dated::default().moment(),
                            ends: Ends::default(),
                            traffic: INCLUDED,
                        },
                        views: 0..0,
                        conversions: 0..0,
                    });
                    sessions += 1;
                }
                sessions += of_user;
                users += 1;
            }
            let visited: Result<(), ()> = unit.each_block(false, |block| {
                let of_block = block.user.chunk_by(|one, next| one == next);
                let most = of_block.clone().map(<[_]>::len).max().unwrap_or_default();
                assert!(block.len() < 2 * FULL + most, "{} sessions", block.len());
                let numbers = of_block.map(|sessions| usize::from(sessions[0]));
                assert!(numbers.clone().eq(0..numbers.clone().count()));
                sessions -= block.len() as u64;
                users -= numbers.count();
                Ok(())
            });
            assert_eq!((visited, sessions, users), (Ok(()), 0, 0));
        }
    }
}
