//! A domain's sessions, kept in memory: all that reports ask of them, in blocks.
//!
//! What is kept follows the store by *places*: a user, a day and a session, of which the store has one row. Rows come in
//! as the store has them now, and each place takes the state that its row gives. So a row may come twice, and rows may
//! come in any order of places; a row that is missing is what must not happen.
//!
//! Blocks never change: a change makes new ones of those that it touches. So a snapshot costs nothing, and a count works
//! on the blocks that are there when it begins, however many changes come meanwhile.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::{panic, thread};

use crate::block::{Block, FULL, Session, day_and_time};
use crate::chosen::{Chosen, Scratch};
use crate::counted::{Counted, SharedPages};
use crate::counts::{Balance, Counts};
use crate::days::Days;
use crate::error::Result;
use crate::included::Included;
use crate::index::BATCH;
use crate::journey::{Moment, Scope};
use crate::native::{Arrays, Fixed, Reader, layout};
use crate::pages::{PageId, Pages};
use crate::roles::Conversion;
use crate::selection::{Part, Selection};
use crate::streams::{Batch, flags, not_full};
use crate::values::{ByConversion, ByNumber, Field, Values};

layout! {
    /// Places as they are now. The lists are empty where a session has no conversion.
    pub struct PlaceColumns of "places" {
        /// The user.
        user_key: Fixed<u64>,
        /// A hash of the session's id.
        session_key: Fixed<u64>,
        /// Milliseconds since the epoch.
        started_at: Fixed<i64>,
        /// 1: no session counts at this place.
        gone: Fixed<u8>,
        /// The first page; 0: none.
        landing_key: Fixed<u64>,
        /// The last page; 0: none.
        exit_key: Fixed<u64>,
        /// The last page that is not the exit page; 0: none.
        before_exit_key: Fixed<u64>,
        /// The key of the effective source.
        source_key: Fixed<u64>,
        /// The key of the effective medium.
        medium_key: Fixed<u64>,
        /// The key of the campaign.
        campaign_key: Fixed<u64>,
        /// The key of the content.
        content_key: Fixed<u64>,
        /// The key of the term.
        term_key: Fixed<u64>,
        /// The pages viewed, in order.
        page_keys: Arrays<u64>,
        /// The page of each conversion; 0: none.
        conversion_keys: Arrays<u64>,
        /// How many of the first pages assist each conversion.
        assist_views: Arrays<u32>,
        /// The key of each conversion's URL as tracked.
        conversion_url_keys: Arrays<u64>,
        /// The key of each conversion's type.
        conversion_type_keys: Arrays<u64>,
        /// The key of each conversion's id.
        conversion_id_keys: Arrays<u64>,
    }
    optional {}
}

/// The keys of a session's source, medium, campaign, content and term.
pub type TrafficKeys = [u64; 5];

/// What is asked of a domain. A key of a value that is asked for is [`key`](crate::key) of its text.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// Which sessions of each journey.
    pub scope: Scope,
    /// The first and the last start, in milliseconds since the epoch.
    pub window: [i64; 2],
    /// Source, medium, campaign, content and term.
    pub traffic: [Option<u64>; 5],
    /// The page that sessions landed on.
    pub landing: Option<u64>,
    /// URL, type and id of conversions.
    pub conversion: [Option<u64>; 3],
}

/// The combinations of traffic values, each with a code. Codes count from 1.
#[derive(Debug, Default)]
struct Traffic {
    codes: HashMap<TrafficKeys, u32>,
    keys: Vec<TrafficKeys>,
}

impl Traffic {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "there are less than sessions"
    )]
    fn code(&mut self, keys: TrafficKeys) -> u32 {
        *self.codes.entry(keys).or_insert_with(|| {
            self.keys.push(keys);
            self.keys.len() as u32
        })
    }

    /// For each code, 1 if its values are those that are asked for.
    fn passes(&self, asked: &[Option<u64>; 5]) -> Vec<u8> {
        let passes = |keys: &TrafficKeys| {
            let mut values = asked.iter().zip(keys);
            values.all(|(asked, key)| asked.is_none_or(|asked| asked == *key))
        };
        let of_codes = self.keys.iter().map(|keys| u8::from(passes(keys)));
        std::iter::once(0).chain(of_codes).collect()
    }
}

/// A row of the stream.
#[derive(Debug, Clone)]
struct Place {
    user: u64,
    session: Session,
    gone: bool,
    /// Its parts of the common lists.
    views: Range<usize>,
    conversions: Range<usize>,
}

impl Place {
    fn key(&self) -> (u64, u16, u64) {
        let moment = self.session.moment;
        let (day, _) = day_and_time(moment.started_at);
        (self.user, day, moment.session_key)
    }

    /// The place, of a user that is known.
    fn of_user(&self) -> (u16, u64) {
        let (_, day, session_key) = self.key();
        (day, session_key)
    }
}

/// Places as they come for a resident. They count when they are applied; what is dropped before leaves no trace.
#[derive(Debug)]
pub struct Incoming {
    resident: Arc<Resident>,
    reader: Reader<PlaceColumns>,
    rows: Rows,
}

#[derive(Debug, Default)]
struct Rows {
    places: Vec<Place>,
    lists: Lists,
}

/// What sessions with conversions have of both kinds.
#[derive(Debug, Default)]
struct Lists {
    views: Vec<Option<PageId>>,
    conversions: Vec<Conversion>,
}

impl Lists {
    /// Adds those of a row, and returns where they lie.
    fn add(
        &mut self,
        pages: &mut Pages,
        viewed: &[u64],
        converted: &[u64],
        assists: &[u32],
        values: [&[u64]; 3],
    ) -> Result<(Range<usize>, Range<usize>), String> {
        if assists.len() != converted.len()
            || values.iter().any(|keys| keys.len() != converted.len())
        {
            return Err(format!(
                "a row of {} conversion_keys has {} assist_views and {:?} keys of values",
                converted.len(),
                assists.len(),
                values.map(<[u64]>::len)
            ));
        }
        let (first_view, first_conversion) = (self.views.len(), self.conversions.len());
        self.views
            .extend(viewed.iter().map(|&key| pages.id_of_whole(key)));
        let conversions = converted.iter().zip(assists).enumerate();
        self.conversions
            .extend(conversions.map(|(nth, (&key, &assist_views))| Conversion {
                page: PageId::number(pages.id_of_whole(key)),
                assist_views,
                values: values.map(|keys| keys.get(nth).copied().unwrap_or_default()),
            }));
        Ok((
            first_view..self.views.len(),
            first_conversion..self.conversions.len(),
        ))
    }

    /// Those of a place.
    fn of(&self, place: &Place) -> (&[Option<PageId>], &[Conversion]) {
        let views = self.views.get(place.views.clone());
        let conversions = self.conversions.get(place.conversions.clone());
        (views.unwrap_or_default(), conversions.unwrap_or_default())
    }
}

/// A domain in memory. It can be changed and counted from several threads at once.
#[derive(Debug)]
pub struct Resident {
    pages: SharedPages,
    traffic: Arc<RwLock<Traffic>>,
    /// Held by who makes new blocks.
    changing: Mutex<()>,
    blocks: RwLock<Arc<Vec<Arc<Block>>>>,
}

impl Incoming {
    /// Nothing yet, for a resident.
    #[must_use]
    pub fn new(resident: Arc<Resident>) -> Self {
        Self {
            resident,
            reader: Reader::default(),
            rows: Rows::default(),
        }
    }

    /// Takes a chunk of places ([`PlaceColumns`]).
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`](crate::Error::Malformed): nothing can be applied after that.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<()> {
        let (resident, rows) = (&self.resident, &mut self.rows);
        self.reader
            .feed(chunk, |block| Ok(rows.add(block, resident)?))
    }

    /// Gives all places that were fed their state.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`](crate::Error::Truncated) where the stream ended inside a block, or the error of a failed feed.
    /// Nothing is applied then.
    pub fn apply(&mut self) -> Result<()> {
        self.reader.finish()?;
        self.resident.apply(mem::take(&mut self.rows));
        Ok(())
    }
}

impl Rows {
    fn add(&mut self, block: &PlaceColumns, resident: &Resident) -> Result<(), String> {
        flags("gone", &block.gone)?;
        let pages = &mut *resident.pages.write();
        let mut traffic = resident
            .traffic
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut viewed = block.page_keys.iter();
        let mut converted = block.conversion_keys.iter();
        let mut assists = block.assist_views.iter();
        let mut values = [
            block.conversion_url_keys.iter(),
            block.conversion_type_keys.iter(),
            block.conversion_id_keys.iter(),
        ];
        let mut batch = Batch::EMPTY;
        let rows = block.user_key.values().len();
        for start in (0..rows).step_by(BATCH) {
            let part = start..(start + BATCH).min(rows);
            let [landing, exit, before] =
                [&block.landing_key, &block.exit_key, &block.before_exit_key]
                    .map(|column| column.values().get(part.clone()).unwrap_or_default());
            batch.look_up(pages, landing, exit, before);
            for (row, ends) in part.zip(batch.ends()) {
                let at =
                    |column: &Fixed<u64>| column.values().get(row).copied().unwrap_or_default();
                let started_at = block.started_at.values().get(row).copied();
                let values = values
                    .each_mut()
                    .map(|keys| keys.next().unwrap_or_default());
                let (views, conversions) = self.lists.add(
                    pages,
                    viewed.next().unwrap_or_default(),
                    converted.next().unwrap_or_default(),
                    assists.next().unwrap_or_default(),
                    values,
                )?;
                self.places.push(Place {
                    user: at(&block.user_key),
                    session: Session {
                        moment: Moment {
                            started_at: started_at.unwrap_or_default(),
                            session_key: at(&block.session_key),
                        },
                        ends,
                        traffic: traffic.code([
                            at(&block.source_key),
                            at(&block.medium_key),
                            at(&block.campaign_key),
                            at(&block.content_key),
                            at(&block.term_key),
                        ]),
                    },
                    gone: block.gone.values().get(row) == Some(&1),
                    views,
                    conversions,
                });
            }
        }
        not_full(pages)
    }
}

impl Default for Resident {
    fn default() -> Self {
        Self::with_seed(RandomState::new().hash_one(0))
    }
}

impl Resident {
    /// A domain without sessions, with a seed for the hash table of its pages. The seed must be unknown to those whose
    /// pages are counted.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self {
            pages: SharedPages::new(Pages::with_seed(seed)),
            traffic: Arc::default(),
            changing: Mutex::default(),
            blocks: RwLock::default(),
        }
    }

    /// The sessions as they are now, which stay so. Pages are shared, and so are their names.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self {
            pages: self.pages.clone(),
            traffic: Arc::clone(&self.traffic),
            changing: Mutex::default(),
            blocks: RwLock::new(self.now()),
        }
    }

    fn apply(&self, rows: Rows) {
        let Rows { mut places, lists } = rows;
        // Stable: of rows of one place, the last one holds.
        places.sort_by_key(Place::key);
        places.reverse();
        places.dedup_by_key(|place| place.key());
        places.reverse();
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.now();
        let mut new = Vec::with_capacity(old.len());
        let mut rest = &places[..];
        for (number, block) in old.iter().enumerate() {
            // Users before the first block belong to it, and each to the last block that begins before them.
            let next = old.get(number + 1).and_then(|next| next.users.first());
            let end = next.map_or(rest.len(), |&next| {
                rest.partition_point(|place| place.user < next)
            });
            let (places, later) = rest.split_at(end);
            rest = later;
            let changes = changes(block, places, &lists);
            if changes.is_empty() {
                new.push(Arc::clone(block));
            } else {
                changed(block, &changes, &lists, &mut new);
            }
        }
        let block = Block::default();
        changed(&block, &changes(&block, rest, &lists), &lists, &mut new);
        *self.blocks.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
    }

    /// Counts the sessions that are included, on as many threads. `balance` and `landings`: what they are, and those that
    /// landed on each page, are counted, too.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`](crate::Error::TooMany).
    pub fn count(
        &self,
        question: &Question,
        balance: bool,
        landings: bool,
        threads: usize,
    ) -> Result<Counted> {
        // The blocks first: all that they refer to is there then.
        let blocks = self.now();
        let included = self.included(question);
        let pages = self.pages.read().len();
        let count = |blocks: &[Arc<Block>]| {
            let mut counts = Counts::default();
            counts.balance = balance.then(Balance::default);
            if landings {
                counts = counts.with_landings();
            }
            counts.make_room(pages);
            for block in blocks {
                counts.add(block, &included)?;
            }
            Ok(counts)
        };
        let shares = shared(&blocks, threads, count).into_iter();
        let counts = shares.reduce(|counts, other| {
            let mut counts = counts?;
            counts.merge(&other?)?;
            Ok(counts)
        });
        let counts = counts.unwrap_or_else(|| count(&[]))?;
        Ok(Counted::new(self.pages.clone(), counts))
    }

    /// What a question asks of the blocks that are there now.
    fn included(&self, question: &Question) -> Included {
        let conversion_filter = question.conversion.iter().any(Option::is_some);
        let [start, end] = question.window;
        let mut included = Included::all(question.scope, conversion_filter).in_window(start, end);
        if conversion_filter {
            included = included.with_conversion(question.conversion);
        }
        if question.traffic.iter().any(Option::is_some) {
            included = included.with_traffic(self.traffic().passes(&question.traffic));
        }
        if let Some(landing) = question.landing {
            included = included.landed_on(self.number_of(landing));
        }
        included
    }

    /// The number of a page. One that is not known has the number of no page, and so has key 0.
    fn number_of(&self, page: u64) -> u32 {
        let number = self.pages.read().number_of(page);
        number.filter(|&number| number != 0).unwrap_or(u32::MAX)
    }

    /// Adds the included sessions to `days`, on as many threads, and what a page did in them. `landings` is the question
    /// whose sessions count where they landed on the page; none: the same question.
    pub fn days(
        &self,
        question: &Question,
        page: Option<u64>,
        landings: Option<&Question>,
        days: &mut Days,
        threads: usize,
    ) {
        let blocks = self.now();
        let included = self.included(question);
        let landings = landings.map(|question| self.included(question));
        let page = page.map(|page| self.number_of(page));
        let empty = days.empty();
        let count = |blocks: &[Arc<Block>]| {
            let mut days = empty.clone();
            let mut scratch = Scratch::default();
            for block in blocks {
                let chosen = Chosen::of(block, &included, &mut scratch);
                days.add(&chosen);
                let Some(page) = page else {
                    continue;
                };
                days.add_page(&chosen, page);
                match &landings {
                    None => days.add_landings(&chosen, page),
                    Some(landings) => {
                        days.add_landings(&Chosen::of(block, landings, &mut scratch), page);
                    }
                }
            }
            days
        };
        days.has_page |= page.is_some();
        for counted in shared(&blocks, threads, count) {
            days.absorb(&counted);
        }
    }

    /// Returns, for each value of a filter, how many sessions the question includes with that value set, counted on as
    /// many threads. The question's own value of the filter is left aside.
    #[must_use]
    pub fn values(&self, question: &Question, field: Field, threads: usize) -> Values {
        let blocks = self.now();
        let mut question = *question;
        let mut values = Values::default();
        match field {
            Field::Conversion(value) => {
                if let Some(asked) = question.conversion.get_mut(value) {
                    *asked = None;
                }
                let asked = self.included(&question);
                let passing = self.included(&Question {
                    scope: Scope::Any,
                    conversion: [None; 3],
                    ..question
                });
                let count = |blocks: &[Arc<Block>]| {
                    let mut counts = ByConversion::new(question.scope, &passing, &asked, value);
                    for block in blocks {
                        counts.add(block);
                    }
                    counts.values
                };
                for counted in shared(&blocks, threads, count) {
                    values.merge(&counted);
                }
            }
            Field::Traffic(value) => {
                if let Some(asked) = question.traffic.get_mut(value) {
                    *asked = None;
                }
                let codes = self.traffic().keys.len();
                let included = self.included(&question);
                let count = |blocks: &[Arc<Block>]| {
                    let mut counts = ByNumber::up_to(codes);
                    for block in blocks {
                        counts.add(block, &included, &block.traffic);
                    }
                    counts.sessions
                };
                for counted in shared(&blocks, threads, count) {
                    let traffic = self.traffic();
                    for (keys, &sessions) in traffic.keys.iter().zip(counted.iter().skip(1)) {
                        values.add(keys.get(value).copied().unwrap_or_default(), sessions);
                    }
                }
            }
            Field::Landing => {
                question.landing = None;
                let pages = self.pages.read().len();
                let included = self.included(&question);
                let count = |blocks: &[Arc<Block>]| {
                    let mut counts = ByNumber::up_to(pages);
                    for block in blocks {
                        counts.add(block, &included, &block.landing);
                    }
                    counts.sessions
                };
                for counted in shared(&blocks, threads, count) {
                    let pages = self.pages.read();
                    for (page, &sessions) in pages.iter().zip(counted.iter().skip(1)) {
                        values.add(pages.key(page), sessions);
                    }
                }
            }
        }
        values.without_empty()
    }

    /// Adds a part of the included sessions to a selection, on as many threads.
    pub fn select(
        &self,
        question: &Question,
        part: Part,
        selection: &mut Selection,
        threads: usize,
    ) {
        let blocks = self.now();
        let included = self.included(question);
        let page = match part {
            Part::All => 0,
            Part::Roles(page, _) | Part::Landing(page) => self.number_of(page),
        };
        let empty = selection.empty();
        let select = |blocks: &[Arc<Block>]| {
            let mut selection = empty.clone();
            let mut scratch = Scratch::default();
            for block in blocks {
                selection.add(&Chosen::of(block, &included, &mut scratch), part, page);
            }
            selection
        };
        for selected in shared(&blocks, threads, select) {
            selection.absorb(&selected);
        }
    }

    fn traffic(&self) -> RwLockReadGuard<'_, Traffic> {
        self.traffic.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of sessions.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.now().iter().map(|block| block.len()).sum()
    }

    /// The bytes that all of it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let blocks: usize = self.now().iter().map(|block| block.bytes()).sum();
        let of_code = 2 * size_of::<TrafficKeys>() + size_of::<u32>();
        blocks + self.traffic().keys.len() * of_code + self.pages.read().bytes()
    }

    fn now(&self) -> Arc<Vec<Arc<Block>>> {
        Arc::clone(&self.blocks.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Calls a function with a share of the blocks for each thread, and returns all results.
fn shared<T: Send>(
    blocks: &[Arc<Block>],
    threads: usize,
    of_share: impl Fn(&[Arc<Block>]) -> T + Sync,
) -> Vec<T> {
    let share = blocks.len().div_ceil(threads.max(1)).max(1);
    let mut shares = blocks.chunks(share);
    let own = shares.next().unwrap_or_default();
    let of_share = &of_share;
    thread::scope(|scope| {
        let others: Vec<_> = shares
            .map(|share| scope.spawn(move || of_share(share)))
            .collect();
        let own = of_share(own);
        let others = others.into_iter().map(|other| {
            other
                .join()
                .unwrap_or_else(|fault| panic::resume_unwind(fault))
        });
        std::iter::once(own).chain(others).collect()
    })
}

/// Those places whose state is another one in a block. When `ClickHouse` merges parts, many come that were read before.
fn changes<'a>(block: &Block, places: &'a [Place], lists: &Lists) -> Vec<&'a Place> {
    let mut changes = Vec::new();
    let mut is_known = Vec::new();
    for places in places.chunk_by(|one, other| one.user == other.user) {
        is_known.clear();
        is_known.extend(places.iter().map(|place| place.gone));
        // A user may have very many sessions, so each is looked for among the places.
        let user = places.first().map_or(0, |place| place.user);
        for session in block.sessions_of(user) {
            let Ok(number) = places.binary_search_by_key(&block.place(session), Place::of_user)
            else {
                continue;
            };
            if let (Some(place), Some(is_known)) = (places.get(number), is_known.get_mut(number)) {
                let (views, conversions) = lists.of(place);
                *is_known = !place.gone && block.is(session, &place.session, views, conversions);
            }
        }
        let both = places.iter().zip(&is_known);
        changes.extend(
            both.filter(|(_, is_known)| !**is_known)
                .map(|(place, _)| place),
        );
    }
    changes
}

/// Makes a block anew with changed places, as one or more blocks, or none.
fn changed(old: &Block, changes: &[&Place], lists: &Lists, blocks: &mut Vec<Arc<Block>>) {
    let most = old.len() + changes.len();
    // Between one and two times as many sessions as a full block, so that few changes make blocks of a few.
    let full = most.div_ceil((most / FULL).max(1));
    let mut new = Block::default();
    let mut end = |new: &mut Block, full: usize| {
        if new.len() >= full.max(1) {
            new.seal(false);
            // A copy takes no more memory than it needs.
            blocks.push(Arc::new(new.clone()));
            new.clear();
        }
    };
    let (mut user, mut session) = (0, 0);
    for places in changes.chunk_by(|one, other| one.user == other.user) {
        let key = places.first().map_or(0, |place| place.user);
        // The users before this one stay as they are.
        let next = user + old.users[user..].partition_point(|&user| user < key);
        let sessions = session..old.first_session_of(next);
        session = sessions.end;
        new.append_users(old, user..next, sessions);
        user = next;
        end(&mut new, full);
        let mut sessions = session..session;
        if old.users.get(user) == Some(&key) {
            user += 1;
            sessions.end = old.first_session_of(user);
            session = sessions.end;
        }
        let stays = |&session: &usize| {
            let place = old.place(session);
            places
                .binary_search_by_key(&place, |place| place.of_user())
                .is_err()
        };
        let mut stay = sessions.filter(stays).peekable();
        let mut come: Vec<&Place> = places.iter().copied().filter(|place| !place.gone).collect();
        come.sort_unstable_by_key(|place| place.session.moment);
        if stay.peek().is_some() || !come.is_empty() {
            new.begin_user(key);
        }
        for place in come {
            let moment = place.session.moment;
            while let Some(session) = stay.next_if(|&session| old.moment(session) < moment) {
                new.append_session(old, session);
            }
            new.push(&place.session);
            let (views, conversions) = lists.of(place);
            if !conversions.is_empty() {
                new.convert(
                    new.len() - 1,
                    views.iter().copied(),
                    conversions.iter().copied(),
                );
            }
        }
        stay.for_each(|session| new.append_session(old, session));
        end(&mut new, full);
    }
    new.append_users(old, user..old.users.len(), session..old.len());
    end(&mut new, 1);
}
