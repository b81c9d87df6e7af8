//! Sessions in columns, grouped by user, in order of start: what every count walks over.
//!
//! A block has a range of users, each with all their sessions that a count may need. It is built session by session and
//! then sealed. What a question never asks for is left out: a column is empty, or has a value for each session.

use std::ops::Range;

use crate::journey::{Moment, mark};
use crate::pages::PageId;
use crate::roles::{Conversion, Ends, MOST_ROLES};

/// Sessions from which on a block takes no further user. Blocks are small enough to be made anew when one of their
/// sessions changes, and to stay in a core's cache while they are counted.
pub(crate) const FULL: usize = 4096;

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// What a block has of a session that it is given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    pub(crate) moment: Moment,
    pub(crate) ends: Ends,
    /// The code of its traffic. 0 in all sessions: the column is left out.
    pub(crate) traffic: u32,
}

/// A session as a block takes it in a run of many, without its time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) user: u64,
    pub(crate) ends: Ends,
    /// The code of its traffic.
    pub(crate) traffic: u32,
}

/// The columns. Those of a value for each session have the same length, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// The keys of the users, ascending, where they are needed.
    pub(crate) users: Vec<u64>,
    /// Of each session, its user's place among the users.
    pub(crate) user: Vec<u16>,
    next_user: u16,
    /// The day of the start, since 1970, and the milliseconds of that day.
    pub(crate) day: Vec<u16>,
    pub(crate) time: Vec<u32>,
    /// The session's key.
    pub(crate) session: Vec<u64>,
    pub(crate) traffic: Vec<u32>,
    /// Numbers of pages; 0: none.
    pub(crate) exit: Vec<u32>,
    pub(crate) before_exit: Vec<u32>,
    pub(crate) landing: Vec<u32>,
    /// What each session is on its user's journey (`journey::marks`).
    pub(crate) marks: Vec<u8>,
    pub(crate) converted: Converted,
    /// The first and the last day. None without days.
    pub(crate) days: Option<(u16, u16)>,
}

/// The sessions with conversions, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Converted {
    /// Their places among all sessions.
    pub(crate) session: Vec<u32>,
    /// Where their parts of the next two end.
    views_end: Vec<u32>,
    conversions_end: Vec<u32>,
    /// Numbers of the pages viewed before the last conversion, in order.
    views: Vec<u32>,
    conversions: Vec<Conversion>,
}

impl Block {
    /// Forgets all sessions and keeps the memory.
    pub(crate) fn clear(&mut self) {
        let Self {
            users,
            user,
            next_user,
            day,
            time,
            session,
            traffic,
            exit,
            before_exit,
            landing,
            marks,
            converted,
            days,
        } = self;
        users.clear();
        user.clear();
        *next_user = 0;
        day.clear();
        time.clear();
        session.clear();
        traffic.clear();
        exit.clear();
        before_exit.clear();
        landing.clear();
        marks.clear();
        *days = None;
        converted.session.clear();
        converted.views_end.clear();
        converted.conversions_end.clear();
        converted.views.clear();
        converted.conversions.clear();
    }

    /// Number of sessions.
    pub(crate) fn len(&self) -> usize {
        self.user.len()
    }

    /// Begins the next user, whose key is greater than those before.
    pub(crate) fn begin_user(&mut self, key: u64) {
        // A block has less than 2^16 users: each but the last has a session, and the block is not full before.
        self.next_user = self.next_user.wrapping_add(1);
        self.users.push(key);
    }

    /// Adds sessions whose time and users' keys are not needed, user by user.
    #[inline]
    pub(crate) fn extend(&mut self, rows: &[Row]) {
        let Some(mut user) = rows.first().map(|row| !row.user) else {
            return;
        };
        let mut next_user = self.next_user;
        self.user.extend(rows.iter().map(|row| {
            next_user = next_user.wrapping_add(u16::from(row.user != user));
            user = row.user;
            next_user.wrapping_sub(1)
        }));
        self.next_user = next_user;
        let pages = |page: fn(&Ends) -> Option<PageId>| {
            rows.iter().map(move |row| PageId::number(page(&row.ends)))
        };
        self.exit.extend(pages(|ends| ends.exit));
        self.before_exit.extend(pages(|ends| ends.before_exit));
        self.landing.extend(pages(|ends| ends.landing));
        if !self.traffic.is_empty() || rows.iter().any(|row| row.traffic != 0) {
            self.traffic.resize(self.user.len() - rows.len(), 0);
            self.traffic.extend(rows.iter().map(|row| row.traffic));
        }
    }

    /// Adds a session of this user, later than those before.
    #[inline]
    pub(crate) fn push(&mut self, session: &Session) {
        let row = Row {
            user: 0,
            ends: session.ends,
            traffic: session.traffic,
        };
        // A run of one, of the user that was begun.
        self.next_user = self.next_user.wrapping_sub(1);
        self.extend(&[row]);
        let (day, time) = day_and_time(session.moment.started_at);
        self.day.push(day);
        self.time.push(time);
        self.session.push(session.moment.session_key);
    }

    /// Gives the session at a place its conversions, and the pages viewed, in order. Those before it have theirs.
    pub(crate) fn convert(
        &mut self,
        place: usize,
        views: impl IntoIterator<Item = Option<PageId>>,
        conversions: impl IntoIterator<Item = Conversion>,
    ) {
        let converted = &mut self.converted;
        let start = converted.conversions.len();
        converted.conversions.extend(conversions);
        let assisting = assisting(&converted.conversions[start..]);
        let views = views.into_iter().take(assisting);
        converted.views.extend(views.map(PageId::number));
        converted.end(place);
    }

    /// Adds whole users of another block, whose keys are greater than those before.
    pub(crate) fn append_users(
        &mut self,
        other: &Self,
        users: Range<usize>,
        sessions: Range<usize>,
    ) {
        let keys = other.users.get(users).unwrap_or_default();
        let ranks = other.user.get(sessions.clone()).unwrap_or_default();
        let Some(&first) = ranks.first() else {
            return;
        };
        let next = self.next_user;
        self.user.extend(
            ranks
                .iter()
                .map(|&user| next.wrapping_add(user.wrapping_sub(first))),
        );
        self.users.extend_from_slice(keys);
        #[expect(clippy::cast_possible_truncation, reason = "each has a session")]
        let added = keys.len() as u16;
        self.next_user = next.wrapping_add(added);
        self.append(other, sessions);
    }

    /// Adds a session of this user from another block, later than those before.
    pub(crate) fn append_session(&mut self, other: &Self, session: usize) {
        self.user.push(self.next_user.wrapping_sub(1));
        self.append(other, session..session + 1);
    }

    fn append(&mut self, other: &Self, sessions: Range<usize>) {
        let start = self.exit.len();
        extend(&mut self.day, &other.day, &sessions);
        extend(&mut self.time, &other.time, &sessions);
        extend(&mut self.session, &other.session, &sessions);
        extend(&mut self.traffic, &other.traffic, &sessions);
        extend(&mut self.exit, &other.exit, &sessions);
        extend(&mut self.before_exit, &other.before_exit, &sessions);
        extend(&mut self.landing, &other.landing, &sessions);
        let from = &other.converted;
        let before = |end: usize| {
            from.session
                .partition_point(|&place| (place as usize) < end)
        };
        for nth in before(sessions.start)..before(sessions.end) {
            let place = from.session.get(nth).map_or(0, |&place| place as usize);
            let (views, conversions) = from.of(nth);
            self.converted.views.extend_from_slice(views);
            self.converted.conversions.extend_from_slice(conversions);
            self.converted.end(start + place - sessions.start);
        }
    }

    /// Ends the block. `only_converting`: no journey counts but those of users who convert.
    pub(crate) fn seal(&mut self, only_converting: bool) {
        let converted = &self.converted;
        let converts = |nth| !converted.of(nth).1.is_empty();
        mark(
            &self.user,
            &converted.session,
            converts,
            only_converting,
            &mut self.marks,
        );
        self.days = self.day.iter().fold(None, |days, &day| match days {
            None => Some((day, day)),
            Some((low, high)) => Some((day.min(low), day.max(high))),
        });
    }

    /// The pages on the drop-off side of each session that has one, in the order of the side's roles.
    #[inline]
    pub(crate) fn drop_off_pages(&self) -> [&[u32]; MOST_ROLES] {
        [&self.exit, &self.before_exit, &self.landing]
    }

    /// The key of a session's user.
    pub(crate) fn user_key(&self, session: usize) -> u64 {
        let user = self.user.get(session).map(|&user| usize::from(user));
        let key = user.and_then(|user| self.users.get(user));
        key.copied().unwrap_or_default()
    }

    /// When a session started, and its key.
    pub(crate) fn moment(&self, session: usize) -> Moment {
        let day = self.day.get(session).copied().unwrap_or_default();
        let time = self.time.get(session).copied().unwrap_or_default();
        Moment {
            started_at: i64::from(day) * DAY_MS + i64::from(time),
            session_key: self.session.get(session).copied().unwrap_or_default(),
        }
    }

    /// A session's place among those of its user: the day and its key.
    pub(crate) fn place(&self, session: usize) -> (u16, u64) {
        let day = self.day.get(session).copied().unwrap_or_default();
        let key = self.session.get(session).copied().unwrap_or_default();
        (day, key)
    }

    /// Tells whether a session is as it would be if it were added with these views and conversions.
    pub(crate) fn is(
        &self,
        session: usize,
        other: &Session,
        views: &[Option<PageId>],
        conversions: &[Conversion],
    ) -> bool {
        let of = |column: &[u32]| column.get(session).copied().unwrap_or_default();
        let ends = other.ends;
        let converted = self.converted.session.binary_search(&small(session));
        let (kept_views, kept_conversions) =
            converted.map_or_else(|_| Default::default(), |nth| self.converted.of(nth));
        let views = views.iter().take(assisting(conversions));
        self.moment(session) == other.moment
            && of(&self.traffic) == other.traffic
            && of(&self.exit) == PageId::number(ends.exit)
            && of(&self.before_exit) == PageId::number(ends.before_exit)
            && of(&self.landing) == PageId::number(ends.landing)
            && kept_conversions == conversions
            && views
                .map(|&page| PageId::number(page))
                .eq(kept_views.iter().copied())
    }

    /// The sessions of a user.
    pub(crate) fn sessions_of(&self, user: u64) -> Range<usize> {
        match self.users.binary_search(&user) {
            Ok(user) => self.first_session_of(user)..self.first_session_of(user + 1),
            Err(_) => 0..0,
        }
    }

    /// The place of the first session of a user or of later ones.
    pub(crate) fn first_session_of(&self, user: usize) -> usize {
        self.user
            .partition_point(|&other| usize::from(other) < user)
    }

    /// The bytes that the block takes, without what memory is kept for.
    pub(crate) fn bytes(&self) -> usize {
        let converted = &self.converted;
        size_of::<Self>()
            + size_of_val(&*self.users)
            + size_of_val(&*self.user)
            + size_of_val(&*self.day)
            + size_of_val(&*self.time)
            + size_of_val(&*self.session)
            + size_of_val(&*self.traffic)
            + size_of_val(&*self.exit)
            + size_of_val(&*self.before_exit)
            + size_of_val(&*self.landing)
            + size_of_val(&*self.marks)
            + size_of_val(&*converted.session)
            + size_of_val(&*converted.views_end)
            + size_of_val(&*converted.conversions_end)
            + size_of_val(&*converted.views)
            + size_of_val(&*converted.conversions)
    }
}

impl Converted {
    /// Ends the lists of the session at a place.
    fn end(&mut self, place: usize) {
        self.session.push(small(place));
        self.views_end.push(small(self.views.len()));
        self.conversions_end.push(small(self.conversions.len()));
    }

    /// The pages viewed before the last conversion, and the conversions.
    #[inline]
    pub(crate) fn of(&self, nth: usize) -> (&[u32], &[Conversion]) {
        (
            part(&self.views, &self.views_end, nth),
            part(&self.conversions, &self.conversions_end, nth),
        )
    }
}

/// How many of a session's views are kept. The views before a conversion are the first ones, so those before the last one
/// contain all others.
fn assisting(conversions: &[Conversion]) -> usize {
    let views = conversions.iter().map(|conversion| conversion.assist_views);
    views.max().unwrap_or(0) as usize
}

#[inline]
fn part<'a, T>(all: &'a [T], ends: &[u32], nth: usize) -> &'a [T] {
    let end_of = |nth: usize| ends.get(nth).map_or(0, |&end| end as usize);
    let start = nth.checked_sub(1).map_or(0, end_of);
    all.get(start..end_of(nth)).unwrap_or_default()
}

fn extend<T: Copy>(column: &mut Vec<T>, from: &[T], places: &Range<usize>) {
    column.extend_from_slice(from.get(places.clone()).unwrap_or_default());
}

/// Days since 1970 and the milliseconds of that day. Times outside of what a day's number can hold are cut to it.
pub(crate) fn day_and_time(ms: i64) -> (u16, u32) {
    let ms = ms.clamp(0, (i64::from(u16::MAX) + 1) * DAY_MS - 1);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "both were cut to their type"
    )]
    #[expect(clippy::cast_sign_loss, reason = "they are not negative")]
    let both = ((ms / DAY_MS) as u16, (ms % DAY_MS) as u32);
    both
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a stream's arrays are checked, and a tally holds 2^32 sessions at most"
)]
pub(crate) fn small(length: usize) -> u32 {
    length as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(landing: usize, exit: usize, before_exit: usize) -> Ends {
        Ends {
            landing: PageId::at(landing),
            exit: PageId::at(exit),
            before_exit: PageId::at(before_exit),
        }
    }

    /// The first sessions have traffic of code 0, which leaves the column out for as long as there is no other.
    fn rows(with_traffic: bool) -> Vec<Row> {
        let rows = [7, 7, 7, 8, 9, 9, u64::MAX, u64::MAX].into_iter().zip(0..);
        rows.map(|(user, number)| Row {
            user,
            ends: ends(number, number % 3, number % 2),
            traffic: u32::from(with_traffic && number == 4) * 5,
        })
        .collect()
    }

    #[test]
    fn runs_are_taken_as_their_sessions_one_by_one() {
        for with_traffic in [false, true] {
            let rows = rows(with_traffic);
            let mut single = Block::default();
            for of_user in rows.chunk_by(|one, next| one.user == next.user) {
                single.begin_user(of_user[0].user);
                for row in of_user {
                    single.push(&Session {
                        moment: Moment {
                            started_at: 0,
                            session_key: 0,
                        },
                        ends: row.ends,
                        traffic: row.traffic,
                    });
                }
            }
            // A run leaves these out.
            single.users.clear();
            single.day.clear();
            single.time.clear();
            single.session.clear();
            assert_eq!(single.user, [0, 0, 0, 1, 2, 2, 3, 3]);
            assert_eq!(single.exit, [0, 1, 2, 0, 1, 2, 0, 1]);
            assert_eq!(single.before_exit, [0, 1, 0, 1, 0, 1, 0, 1]);
            assert_eq!(single.landing, [0, 1, 2, 3, 4, 5, 6, 7]);
            let traffic: &[u32] = if with_traffic {
                &[0, 0, 0, 0, 5, 0, 0, 0]
            } else {
                &[]
            };
            assert_eq!(single.traffic, traffic);
            // Runs end where users end.
            for cuts in [&[][..], &[3], &[4], &[6], &[3, 4, 6]] {
                let mut block = Block::default();
                let mut start = 0;
                for &end in cuts.iter().chain([&rows.len()]) {
                    block.extend(&rows[start..end]);
                    block.extend(&[]);
                    start = end;
                }
                assert_eq!(block, single, "cut at {cuts:?}");
            }
        }
    }

    #[test]
    fn sessions_lie_by_user_and_keep_what_they_came_with() {
        let session = |started_at, session_key| Session {
            moment: Moment {
                started_at,
                session_key,
            },
            ends: ends(1, 2, 3),
            traffic: 0,
        };
        let conversion = |assist_views| Conversion {
            page: 4,
            assist_views,
            values: [1, 2, 3],
        };
        let views = || (1..=5).map(PageId::at);
        let given = [
            session(0, 9),
            session(DAY_MS - 1, u64::MAX),
            session(20_000 * DAY_MS, 1),
            session(20_000 * DAY_MS + 1, 0),
        ];
        let empty = Block::default();
        let mut block = Block::default();
        block.begin_user(3);
        block.push(&given[0]);
        block.convert(0, views(), [conversion(1), conversion(3), conversion(0)]);
        block.push(&given[1]);
        block.begin_user(8);
        block.push(&given[2]);
        // A filter left none of its conversions.
        block.convert(2, views(), []);
        block.begin_user(u64::MAX);
        block.push(&given[3]);
        block.convert(3, [None, PageId::at(9)], [conversion(9)]);
        block.seal(false);

        for (place, session) in given.iter().enumerate() {
            assert_eq!(block.moment(place), session.moment);
            let (day, _) = day_and_time(session.moment.started_at);
            assert_eq!(block.place(place), (day, session.moment.session_key));
        }
        assert_eq!(block.users, [3, 8, u64::MAX]);
        assert_eq!(block.days, Some((0, 20_000)));
        assert_eq!(
            [0, 1, 2, 3].map(|user| block.first_session_of(user)),
            [0, 2, 3, 4]
        );
        let converted = &block.converted;
        assert_eq!(converted.session, [0, 2, 3]);
        // Only views that assist are kept.
        let expected = [conversion(1), conversion(3), conversion(0)];
        assert_eq!(converted.of(0), (&[1, 2, 3][..], &expected[..]));
        assert_eq!(converted.of(1), (&[][..], &[][..]));
        assert_eq!(converted.of(2), (&[0, 9][..], &[conversion(9)][..]));
        assert_eq!(converted.of(3), (&[][..], &[][..]));

        let columns = 3 * 8 + 4 * (2 + 2 + 4 + 8 + 3 * 4 + 1) + 3 * (4 + 4 + 4) + 5 * 4;
        let of_conversions = 4 * size_of::<Conversion>();
        assert_eq!(block.bytes(), empty.bytes() + columns + of_conversions);
        block.clear();
        assert_eq!(block, empty);
    }

    #[test]
    fn times_that_no_day_can_hold_are_cut() {
        let last = (u16::MAX, 86_399_999);
        for (ms, expected) in [
            (i64::MIN, (0, 0)),
            (-1, (0, 0)),
            (DAY_MS - 1, (0, 86_399_999)),
            (DAY_MS, (1, 0)),
            (DAY_MS * 65_536 - 1, last),
            (DAY_MS * 65_536, last),
            (i64::MAX, last),
        ] {
            assert_eq!(day_and_time(ms), expected, "{ms}");
        }
    }
}
