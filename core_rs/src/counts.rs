//! Exact counts of the sessions and the distinct users of each page in each role, without sets.
//!
//! Users come one after another, each with all their sessions. So a page's cell needs no set: it remembers the last
//! session that it counted. That number tells whether this session was counted already; compared with the number before
//! the user's first session, it tells whether this user was. Sessions are numbered on and on, so nothing is cleared
//! between users or blocks. The two sides are counted one after the other, each with numbers of its own.

use crate::block::Block;
use crate::chosen::{Chosen, Scratch};
use crate::error::{Error, Result};
use crate::included::Included;
use crate::journey::marks;
use crate::pages::PageId;
use crate::roles::{MOST_ROLES, Side};

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

/// Sessions, and their distinct users.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoleCount {
    /// Sessions.
    pub sessions: u64,
    /// Users.
    pub users: u64,
}

impl RoleCount {
    /// Adds sessions of other users.
    pub(crate) fn add(&mut self, other: Self) {
        self.sessions += other.sessions;
        self.users += other.users;
    }
}

/// What the included sessions are, as `Balance` of the contract has it, in the order of its fields.
pub type Balance = [RoleCount; 6];

/// The counts of all pages.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) totals: Totals,
    /// What the included sessions are, if that is asked for.
    pub(crate) balance: Option<Balance>,
    /// For each side, a row for each page. Place 0 takes what belongs to no page.
    rows: [Vec<Row>; 2],
    /// The sessions that landed on each page, if that is asked for.
    landings: Option<Vec<Cell>>,
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
        if let Some(landings) = &mut self.landings {
            landings.resize(landings.len().max(pages + 1), Cell::default());
        }
    }

    /// Counts the sessions that landed on each page, too.
    pub(crate) fn with_landings(mut self) -> Self {
        self.landings = Some(Vec::new());
        self
    }

    pub(crate) fn counts_landings(&self) -> bool {
        self.landings.is_some()
    }

    /// How many sessions landed on a page, and their users; `None` where that is not counted.
    pub(crate) fn landing(&self, page: usize) -> Option<Cell> {
        let landings = self.landings.as_ref()?;
        Some(landings.get(page).copied().unwrap_or_default())
    }

    /// Has others' sessions that landed on `page`, here at `place`, for its own.
    pub(crate) fn take_landing(&mut self, other: &Self, page: usize, place: usize) {
        let landings = self.landings.get_or_insert_default();
        landings.resize(landings.len().max(place + 1), Cell::default());
        if let Some((cell, other)) = landings.get_mut(place).zip(other.landing(page)) {
            *cell = other;
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
        let chosen = Chosen::of(block, included, &mut scratch);
        match chosen.places {
            None => self.add_each(&chosen, 0..block.len()),
            Some(places) => self.add_each(&chosen, places.iter().map(|&place| place as usize)),
        }
        self.add_conversions(&chosen);
        self.scratch = scratch;
        Ok(())
    }

    /// Counts the sessions at these places, without their conversions. It stands apart: beside what else a block takes, its
    /// loop would have too few registers.
    #[inline(never)]
    fn add_each(&mut self, chosen: &Chosen<'_>, places: impl Iterator<Item = usize> + Clone) {
        let (block, marks) = (chosen.block, chosen.marks);
        self.add_landings(block, places.clone());
        self.add_sessions(block, marks, places.clone());
        self.add_balance(block, marks, places);
    }

    /// Counts sessions, and their pages on the drop-off side.
    #[inline]
    fn add_sessions(&mut self, block: &Block, marks: &[u8], sessions: impl Iterator<Item = usize>) {
        let [_, cells] = &mut self.rows;
        let length = block.len();
        let (users, marks) = (&block.user[..length], &marks[..length]);
        let pages = block.drop_off_pages().map(|pages| &pages[..length]);
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

    /// Counts where sessions landed, if that is asked for.
    fn add_landings(&mut self, block: &Block, sessions: impl Iterator<Item = usize>) {
        let Some(landings) = &mut self.landings else {
            return;
        };
        // These numbers are of no other cell, so they may be those that other cells have.
        let (mut session, mut session_before_user) = (self.session, self.session);
        let mut last_user = None;
        for place in sessions {
            let user = block.user.get(place);
            if last_user != user {
                last_user = user;
                session_before_user = session;
            }
            session += 1;
            let page = block.landing.get(place).copied().unwrap_or_default();
            if let Some(cell) = landings.get_mut(page as usize) {
                cell.count(session, session_before_user);
            }
        }
    }

    /// Counts what sessions are, if that is asked for.
    fn add_balance(&mut self, block: &Block, marks: &[u8], sessions: impl Iterator<Item = usize>) {
        let Some(balance) = &mut self.balance else {
            return;
        };
        let mut last_users = [None; 6];
        for place in sessions {
            let is = |mark| marks.get(place).is_some_and(|marks| marks & mark != 0);
            let (converting, dropping_off) = (is(marks::CONVERTING), is(marks::DROPS_OFF));
            // A session with views has a landing page.
            let without_views = block.landing.get(place).is_none_or(|&page| page == 0);
            let kinds = [
                true,
                converting,
                dropping_off,
                converting && dropping_off,
                converting && without_views,
                dropping_off && without_views,
            ];
            let user = block.user.get(place);
            for ((count, last_user), is) in balance.iter_mut().zip(&mut last_users).zip(kinds) {
                if is {
                    count.sessions += 1;
                    count.users += u64::from(*last_user != user);
                    *last_user = user;
                }
            }
        }
    }

    /// Counts the conversion side of the converting sessions. It stands apart like the others.
    #[inline(never)]
    fn add_conversions(&mut self, chosen: &Chosen<'_>) {
        let mut last_user = None;
        let mut session_before_user = self.session;
        for (nth, place) in chosen.converting() {
            let user = chosen.block.user.get(place);
            if last_user != user {
                last_user = user;
                session_before_user = self.session;
                self.totals.conversion_users += 1;
            }
            self.session += 1;
            let session = self.session;
            let [rows, _] = &mut self.rows;
            let events = chosen.conversion_side((nth, place), |role, page| {
                if let Some(row) = rows.get_mut(page as usize)
                    && row[role.place()].last_session != session
                {
                    row[role.place()].count(session, session_before_user);
                }
            });
            self.totals.conversion_events += events;
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

    /// Whether anything of a page was counted.
    pub(crate) fn has(&self, page: PageId) -> bool {
        self.has_role(page)
            || self
                .landing(page.index())
                .is_some_and(|cell| cell.sessions > 0)
    }

    /// Adds the totals of others, whose users are others.
    pub(crate) fn merge_totals(&mut self, other: &Self) -> Result<()> {
        u32::try_from(self.totals.sessions + other.totals.sessions)
            .map_err(|_| Error::TooMany("sessions"))?;
        self.totals.add(other.totals);
        let counts = self.balance.iter_mut().flatten();
        for (count, other) in counts.zip(other.balance.iter().flatten()) {
            count.add(*other);
        }
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
        if let Some((landings, other)) = self.landings.as_mut().zip(other.landing(page)) {
            landings.resize(landings.len().max(place + 1), Cell::default());
            if let Some(cell) = landings.get_mut(place) {
                cell.sessions += other.sessions;
                cell.users += other.users;
            }
        }
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

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the numbers made up here are small"
)]
mod tests {
    use super::*;
    use crate::block::{DAY_MS, Session, day_and_time};
    use crate::included::{LAST_TIME, is_within, places};
    use crate::journey::{Moment, Scope};
    use crate::roles::{Conversion, Ends};

    const SCOPES: [Scope; 5] = [
        Scope::Any,
        Scope::First,
        Scope::Converting,
        Scope::Assist,
        Scope::After,
    ];

    fn mixed(mut value: u64) -> u64 {
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    #[test]
    fn places_are_those_of_the_ones() {
        let mut found = vec![7; 3];
        for length in 0..60_u32 {
            for seed in 0..6 {
                // No one, all ones, and others.
                let bits =
                    [0, u64::MAX, mixed(seed), mixed(seed) & mixed(!seed)][seed as usize % 4];
                let passes: Vec<u8> = (0..length).map(|place| (bits >> place & 1) as u8).collect();
                places(&passes, &mut found);
                let ones = (0..length).filter(|place| bits >> place & 1 == 1);
                assert_eq!(found, ones.collect::<Vec<_>>(), "{passes:?}");
            }
        }
    }

    /// A session, of a user by number. It begins and ends on one page.
    #[derive(Debug, Clone, Default)]
    struct Made {
        user: u64,
        started_at: i64,
        traffic: u32,
        page: u32,
        /// The values of its conversions.
        conversions: Vec<[u64; 3]>,
    }

    /// The block of a world, whose sessions lie user by user, in order of start.
    fn block_of(world: &[Made]) -> Block {
        let mut block = Block::default();
        for of_user in world.chunk_by(|one, next| one.user == next.user) {
            block.begin_user(of_user[0].user);
            for made in of_user {
                let page = PageId::at(made.page as usize);
                block.push(&Session {
                    moment: Moment {
                        started_at: made.started_at,
                        session_key: 0,
                    },
                    ends: Ends {
                        landing: page,
                        exit: page,
                        before_exit: None,
                    },
                    traffic: made.traffic,
                });
                if !made.conversions.is_empty() {
                    let conversions = made.conversions.iter().map(|&values| Conversion {
                        page: made.page,
                        assist_views: 1,
                        values,
                    });
                    block.convert(block.len() - 1, [page], conversions);
                }
            }
        }
        block.seal(false);
        block
    }

    fn counted(world: &[Made], included: &Included) -> Counts {
        let mut counts = Counts::default();
        counts.make_room(PAGES as usize);
        counts.add(&block_of(world), included).unwrap();
        counts
    }

    const PAGES: u32 = 3;

    fn starts() -> impl Iterator<Item = i64> + Clone {
        let times = [0, 1, DAY_MS / 2, DAY_MS - 2, DAY_MS - 1];
        (10..14).flat_map(move |day| times.map(|time| day * DAY_MS + time))
    }

    #[test]
    fn a_window_has_its_ends_and_nothing_outside() {
        let at = |started_at| Made {
            started_at,
            ..Made::default()
        };
        let world: Vec<Made> = starts().map(at).collect();
        for first in starts() {
            for last in starts().filter(|&last| last >= first) {
                let included = Included::all(Scope::Any, false).in_window(first, last);
                let sessions = |world: &[Made]| counted(world, &included).totals.sessions;
                let inside = starts().filter(|start| (first..=last).contains(start));
                assert_eq!(sessions(&world), inside.count() as u64, "{first} to {last}");
                for made in &world {
                    let is_inside = (first..=last).contains(&made.started_at);
                    assert_eq!(sessions(std::slice::from_ref(made)), u64::from(is_inside));
                }
                let window = [day_and_time(first), day_and_time(last)];
                // Whole days are seen at once, and never wrongly.
                let of_days: Vec<Made> = (world.iter())
                    .filter(|made| {
                        (window[0].0..=window[1].0).contains(&day_and_time(made.started_at).0)
                    })
                    .cloned()
                    .collect();
                let is_whole = window[0].1 == 0 && window[1].1 == LAST_TIME;
                assert_eq!(is_within(&block_of(&of_days), window), is_whole);
                assert!(!is_within(&block_of(&world), window) || world.len() == of_days.len());
            }
        }
    }

    #[test]
    fn traffic_passes_by_its_code() {
        let world = |codes: &[u32]| -> Vec<Made> {
            let made = codes.iter().map(|&traffic| Made {
                traffic,
                ..Made::default()
            });
            made.collect()
        };
        for (passes, codes, sessions) in [
            (&[1][..], &[0, 0][..], 2),
            (&[0], &[0, 0], 0),
            (&[0, 1], &[0, 0], 0),
            (&[], &[0], 0),
            (&[0, 1], &[0, 1, 1], 2),
            (&[1, 0], &[1, 1, 0], 1),
            // A code that came after the question.
            (&[1, 1], &[0, 2, 1], 2),
        ] {
            for scope in [Scope::Any, Scope::First, Scope::After] {
                let included = Included::all(scope, false).with_traffic(passes.to_vec());
                let first_passes = passes.get(codes[0] as usize) == Some(&1);
                let expected = match scope {
                    Scope::Any => sessions,
                    Scope::First => u64::from(first_passes),
                    _ => 0,
                };
                let found = counted(&world(codes), &included).totals.sessions;
                assert_eq!(found, expected, "{passes:?} of {codes:?}, {scope:?}");
            }
        }
    }

    #[derive(Debug, Clone)]
    struct Question {
        scope: Scope,
        window: Option<[i64; 2]>,
        traffic: Option<Vec<u8>>,
        landing: Option<u32>,
        conversion: Option<[Option<u64>; 3]>,
    }

    impl Question {
        fn included(&self) -> Included {
            let mut included = Included::all(self.scope, self.conversion.is_some());
            if let Some([first, last]) = self.window {
                included = included.in_window(first, last);
            }
            if let Some(passes) = self.traffic.clone() {
                included = included.with_traffic(passes);
            }
            if let Some(page) = self.landing {
                included = included.landed_on(page);
            }
            if let Some(values) = self.conversion {
                included = included.with_conversion(values);
            }
            included
        }

        fn events(&self, made: &Made) -> u64 {
            let asked = self.conversion.unwrap_or_default();
            let matches = |values: &&[u64; 3]| {
                (0..3).all(|place| asked[place].is_none_or(|asked| asked == values[place]))
            };
            made.conversions.iter().filter(matches).count() as u64
        }

        /// Totals, and of each page the sessions and users who landed there, on each side.
        fn naive(&self, world: &[Made]) -> (Totals, Vec<[(u32, u32); 2]>) {
            let mut totals = Totals::default();
            let mut landings = vec![[(0, 0); 2]; PAGES as usize + 1];
            for of_user in world.chunk_by(|one, next| one.user == next.user) {
                let first_converting = of_user.iter().position(|made| self.events(made) > 0);
                let included = of_user.iter().enumerate().filter(|&(place, made)| {
                    let is_before = first_converting.is_some_and(|first| place < first);
                    let is_after = first_converting.is_some_and(|first| place > first);
                    let in_scope = match self.scope {
                        Scope::Any => self.conversion.is_none() || self.events(made) > 0,
                        Scope::First => {
                            place == 0 && (self.conversion.is_none() || first_converting.is_some())
                        }
                        Scope::Converting => self.events(made) > 0,
                        Scope::Assist => place > 0 && is_before,
                        Scope::After => is_after,
                    };
                    let at = made.started_at;
                    in_scope
                        && self
                            .window
                            .is_none_or(|[first, last]| first <= at && at <= last)
                        && self
                            .traffic
                            .as_ref()
                            .is_none_or(|passes| passes[made.traffic as usize] == 1)
                        && self.landing.is_none_or(|page| page == made.page)
                });
                let included: Vec<(usize, &Made)> = included.collect();
                let events = || included.iter().map(|(_, made)| self.events(made));
                totals.sessions += included.len() as u64;
                totals.users += u64::from(!included.is_empty());
                totals.conversion_events += events().sum::<u64>();
                totals.conversion_users += u64::from(events().any(|events| events > 0));
                for page in 1..=PAGES {
                    let here = || included.iter().filter(move |(_, made)| made.page == page);
                    let converting = here().filter(|(_, made)| self.events(made) > 0).count();
                    let is_after = |place| first_converting.is_some_and(|first| place > first);
                    let dropping =
                        here().filter(|(place, made)| self.events(made) == 0 || is_after(*place));
                    let of_page = &mut landings[page as usize];
                    for (counts, sessions) in of_page.iter_mut().zip([converting, dropping.count()])
                    {
                        counts.0 += sessions as u32;
                        counts.1 += u32::from(sessions > 0);
                    }
                }
            }
            (totals, landings)
        }
    }

    fn world(seed: u64) -> Vec<Made> {
        let mut world: Vec<Made> = (0..120)
            .map(|number| {
                let bits = mixed(seed << 32 | number);
                let converts = bits >> 60 < 5;
                let conversions =
                    (0..bits >> 40 & 3).map(|nth| [1, bits >> nth & 1, bits >> (2 * nth) & 3]);
                Made {
                    user: bits % 40,
                    started_at: starts().nth((bits >> 8) as usize % 20).unwrap()
                        + number.cast_signed() % 2,
                    // In one world, all sessions have the same code.
                    traffic: (bits >> 16) as u32 % 3 * u32::from(seed > 0),
                    page: (bits >> 24) as u32 % (PAGES + 1),
                    conversions: if converts {
                        conversions.collect()
                    } else {
                        vec![]
                    },
                }
            })
            .collect();
        world.sort_by_key(|made| (made.user, made.started_at));
        world
    }

    /// Every combination of filters and scopes, on one block and on two.
    #[test]
    fn any_question_counts_what_a_naive_reading_counts() {
        let mut starts = starts().step_by(7);
        let [early, late] = [starts.next().unwrap(), starts.next().unwrap()];
        let windows = [
            None,
            Some([0, i64::MAX]),
            Some([early + 1, late]),
            Some([10 * DAY_MS, 12 * DAY_MS - 1]),
        ];
        let traffic = [None, Some(vec![1, 0, 1]), Some(vec![0, 1, 0])];
        let conversions = [
            None,
            Some([Some(1), None, None]),
            Some([Some(1), Some(1), Some(3)]),
        ];
        let mut sessions = 0;
        for world in (0..3).map(world) {
            for scope in SCOPES {
                for window in windows {
                    for (landing, conversion) in [None, Some(0), Some(2)]
                        .into_iter()
                        .flat_map(|landing| conversions.map(|conversion| (landing, conversion)))
                    {
                        for traffic in traffic.clone() {
                            let question = Question {
                                scope,
                                window,
                                traffic,
                                landing,
                                conversion,
                            };
                            let (totals, landings) = question.naive(&world);
                            sessions += totals.sessions;
                            let cut = world.partition_point(|made| made.user < 17);
                            for blocks in [vec![&world[..]], vec![&world[..cut], &world[cut..]]] {
                                let mut counts = Counts::default();
                                counts.make_room(PAGES as usize);
                                for block in blocks {
                                    counts.add(&block_of(block), &question.included()).unwrap();
                                }
                                assert_eq!(counts.totals, totals, "{question:?}");
                                let found = (0..=PAGES as usize).map(|page| {
                                    [0, 1].map(|side| {
                                        let cell = counts.rows[side][page][2];
                                        if page == 0 {
                                            (0, 0)
                                        } else {
                                            (cell.sessions, cell.users)
                                        }
                                    })
                                });
                                assert_eq!(found.collect::<Vec<_>>(), landings, "{question:?}");
                            }
                        }
                    }
                }
            }
        }
        assert!(sessions > 1000, "{sessions}");
    }
}
