//! The rows of a partition, put together: of each user, the latest version of each session, in order of start, and the
//! sessions that the other streams know of.

use crate::block::{DAY_MS, FULL, Row};
use crate::group::Keyed;
use crate::journey::Moment;
use crate::roles::Ends;
use crate::streams::Inclusion;

/// The codes of traffic in a unit's blocks.
pub(crate) const INCLUDED: u32 = 0;
pub(crate) const EVIDENCE: u32 = 1;

/// Eight bytes without alignment, which makes rows shorter.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Word([u8; 8]);

impl Word {
    #[inline]
    pub(crate) const fn new(value: u64) -> Self {
        Self(value.to_ne_bytes())
    }

    #[inline]
    pub(crate) const fn get(self) -> u64 {
        u64::from_ne_bytes(self.0)
    }
}

/// A session without conversions whose time does not matter. There are millions.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Undated {
    pub(crate) user: Word,
    pub(crate) ends: Ends,
}

/// A version of a session, with its time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Dated {
    pub(crate) user: Word,
    pub(crate) ends: Ends,
    pub(crate) started_at: Word,
    pub(crate) session_key: Word,
    pub(crate) written_at: Word,
    pub(crate) inclusion: Inclusion,
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

impl Undated {
    #[inline]
    fn row(&self) -> Row {
        Row {
            user: self.user(),
            ends: self.ends,
            traffic: INCLUDED,
        }
    }
}

impl Dated {
    #[inline]
    fn row(&self) -> Row {
        Row {
            user: self.user(),
            ends: self.ends,
            traffic: if self.inclusion == Inclusion::Included {
                INCLUDED
            } else {
                EVIDENCE
            },
        }
    }

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

/// A session with conversions, of which a filter may leave none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Converted {
    pub(crate) row: Row,
    pub(crate) moment: Moment,
    /// Where its views and its conversions begin and end in the unit's lists.
    pub(crate) views: [u32; 2],
    pub(crate) conversions: [u32; 2],
}

/// What is needed beside the rows of the sessions stream, in the order of users.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rest<'a> {
    /// Those of one user in order of start.
    pub(crate) converted: &'a [Converted],
    /// Users who have a session before the window.
    pub(crate) earlier: &'a [u64],
}

impl Rest<'_> {
    /// Takes the rows of users from the front.
    pub(crate) fn take(&mut self, belongs: impl Fn(u64) -> bool) -> Self {
        Rest {
            converted: take(&mut self.converted, |row| belongs(row.row.user)),
            earlier: take(&mut self.earlier, |&user| belongs(user)),
        }
    }

    /// The first user of whom there is anything.
    fn first_user(&self) -> Option<u64> {
        let converted = self.converted.first().map(|row| row.row.user);
        let earlier = self.earlier.first().copied();
        converted.into_iter().chain(earlier).min()
    }
}

/// The rows of a partition in their order. Its memory is kept for the next.
#[derive(Debug, Default)]
pub(crate) struct Arranged {
    pub(crate) rows: Vec<Row>,
    /// The places of those with conversions.
    converted: Vec<(usize, Converted)>,
    /// The rows of one user.
    of_user: Vec<Dated>,
}

impl Arranged {
    /// Takes rows by user, in place of those before.
    pub(crate) fn fill_undated(&mut self, mut rows: &[Undated], mut rest: Rest<'_>) {
        self.clear();
        loop {
            let user = rest.first_user();
            let run = take(&mut rows, |row| user.is_none_or(|user| row.user() < user));
            self.rows.extend(run.iter().map(Undated::row));
            let Some(user) = user else {
                return;
            };
            let of_user = take(&mut rows, |row| row.user() == user);
            self.rows.extend(of_user.iter().map(Undated::row));
            // Their order matters among themselves alone.
            for converted in rest.take(|other| other == user).converted {
                push(&mut self.rows, &mut self.converted, converted);
            }
        }
    }

    /// Takes versions by user, in place of the rows before. Without `needs_order` the order of sessions matters among
    /// those with conversions alone.
    pub(crate) fn fill_dated(
        &mut self,
        mut versions: &[Dated],
        has_versions: bool,
        needs_order: bool,
        mut rest: Rest<'_>,
    ) {
        self.clear();
        loop {
            let (first, first_of_rest) = (versions.first().map(Keyed::user), rest.first_user());
            let Some(user) = first.into_iter().chain(first_of_rest).min() else {
                return;
            };
            let mut of_user = take(&mut versions, |row| row.user() == user);
            // Most have one, or come in order.
            if of_user.len() > 1
                && (has_versions || (needs_order && !of_user.is_sorted_by_key(Dated::moment)))
            {
                latest(of_user, has_versions, &mut self.of_user);
                if needs_order {
                    self.of_user.sort_unstable_by_key(Dated::moment);
                }
                of_user = &self.of_user;
            }
            let of_user = of_user
                .iter()
                .filter(|row| row.inclusion != Inclusion::Elsewhere);
            if first_of_rest != Some(user) {
                self.rows.extend(of_user.map(Dated::row));
                continue;
            }
            let rest = rest.take(|other| other == user);
            if !rest.earlier.is_empty() {
                // Before all sessions of the window: one that is nowhere counted.
                self.rows.push(Row {
                    user,
                    ends: Ends::default(),
                    traffic: EVIDENCE,
                });
            }
            let mut converted = rest.converted.iter().peekable();
            for row in of_user {
                let moment = row.moment();
                while let Some(converted) =
                    converted.next_if(|converted| needs_order && converted.moment < moment)
                {
                    push(&mut self.rows, &mut self.converted, converted);
                }
                self.rows.push(row.row());
            }
            for converted in converted {
                push(&mut self.rows, &mut self.converted, converted);
            }
        }
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.converted.clear();
    }

    /// The end of a block that begins with a row: whole users, and no more than a few rows too many.
    pub(crate) fn end_of_block(&self, start: usize) -> usize {
        let end = (start + FULL).min(self.rows.len());
        let last = end.checked_sub(1).and_then(|last| self.rows.get(last));
        let more = self.rows.get(end..).unwrap_or_default().iter();
        end + more
            .take_while(|row| last.is_some_and(|last| last.user == row.user))
            .count()
    }

    /// The rows with conversions among some rows, each with its place there.
    pub(crate) fn converted_within(
        &self,
        start: usize,
        end: usize,
    ) -> impl Iterator<Item = (usize, &Converted)> {
        let first = self.converted.partition_point(|(place, _)| *place < start);
        let converted = self.converted.get(first..).unwrap_or_default().iter();
        converted
            .take_while(move |(place, _)| *place < end)
            .map(move |(place, converted)| (place - start, converted))
    }
}

fn push(rows: &mut Vec<Row>, places: &mut Vec<(usize, Converted)>, converted: &Converted) {
    places.push((rows.len(), *converted));
    rows.push(converted.row);
}

/// Writes the latest version of each of a user's sessions.
fn latest(versions: &[Dated], has_versions: bool, latest: &mut Vec<Dated>) {
    /// From this number on, sorting is faster than to look for a later version of each version.
    const MANY: usize = 16;
    latest.clear();
    latest.extend_from_slice(versions);
    if !has_versions {
        return;
    }
    if versions.len() >= MANY {
        // Stable: of versions written at the same time, the last one in the stream stays last.
        latest.sort_by_key(|version| (version.place(), version.written_at()));
        latest.reverse();
        latest.dedup_by_key(|version| version.place());
        return;
    }
    let is_replaced = |number: usize, version: &Dated| {
        let mut others = versions.iter().enumerate();
        others.any(|(other_number, other)| {
            other.session_key.get() == version.session_key.get()
                && other.place() == version.place()
                && (other.written_at(), other_number) > (version.written_at(), number)
        })
    };
    let mut number = 0;
    latest.retain(|version| {
        number += 1;
        !is_replaced(number - 1, version)
    });
}

/// Takes rows from the front.
#[inline]
fn take<'a, R>(rows: &mut &'a [R], belongs: impl Fn(&R) -> bool) -> &'a [R] {
    let run = rows.iter().take_while(|row| belongs(row)).count();
    let (taken, rest) = rows.split_at(run);
    *rows = rest;
    taken
}
