//! The columns of a unit's streams, and its rows, kept compact until the unit ends.

use std::num::NonZeroU64;
use std::{iter, ops, slice};

use crate::firsts::{Firsts, Started};
use crate::group::{Keyed, Partitions, Range};
use crate::index::BATCH;
use crate::journey::{Moment, Selection};
use crate::native::{self, Arrays, Fixed, layout};
use crate::pages::{KeyWidth, PageId, Pages};
use crate::roles::{Conversions, Ends};

layout! {
    /// Sessions of the window. Without versions: each session without conversions, once. With versions: every version
    /// of every session.
    pub struct SessionColumns of "sessions" {
        /// User and pages in one column, for tallies of leading bits (`Packed`). The next four are absent then.
        packed: Fixed<[u8; 24]>,
        /// The user.
        user_key: Fixed<u64>,
        /// The first page; 0: none.
        landing_key: Fixed<u64>,
        /// The last page; 0: none.
        exit_key: Fixed<u64>,
        /// The last page that is not the exit page; 0: none.
        before_exit_key: Fixed<u64>,
        /// Milliseconds since the epoch.
        started_at: Fixed<i64>,
        /// A hash of the session's id. Of sessions that started together, the least comes first.
        session_key: Fixed<u64>,
        /// 1: passes the filters. 0: needed only for the user's journey. All pass where this column is absent.
        included: Fixed<u8>,
        /// When this version of the session was written. Of the versions at one place, only the last one counts.
        written_at: Fixed<i64>,
        /// The day of this version's start. User, day and key of a session are its place.
        day: Fixed<u16>,
        /// 1: this version has a conversion, so the conversions stream has it.
        converting: Fixed<u8>,
        /// 1: the session has left this place.
        gone: Fixed<u8>,
    }
    optional {
        packed, user_key, landing_key, exit_key, before_exit_key, started_at, session_key, included, written_at,
        day, converting, gone
    }
}

layout! {
    /// Sessions with conversions, of the whole history.
    pub struct ConversionColumns of "conversions" {
        /// The user.
        user_key: Fixed<u64>,
        /// Milliseconds since the epoch.
        started_at: Fixed<i64>,
        /// A hash of the session's id, as the sessions stream has it.
        session_key: Fixed<u64>,
        /// 1: in the window and passes the session filters.
        included: Fixed<u8>,
        /// Number of conversions that pass the conversion filters.
        conversions: Fixed<u32>,
        /// The first page; 0: none.
        landing_key: Fixed<u64>,
        /// The last page; 0: none.
        exit_key: Fixed<u64>,
        /// The last page that is not the exit page; 0: none.
        before_exit_key: Fixed<u64>,
        /// The pages viewed, in order.
        page_keys: Arrays<u64>,
        /// The page of each conversion that counts; 0: none.
        conversion_keys: Arrays<u64>,
        /// How many of the first pages assist each of these conversions.
        assist_views: Arrays<u32>,
    }
    optional {}
}

layout! {
    /// Users who have a session before the window.
    pub struct UserColumns of "users" {
        /// The user.
        user_key: Fixed<u64>,
    }
    optional {}
}

/// A part of a common buffer, in eight bytes: its start and its length, plus one.
#[derive(Debug, Clone, Copy)]
struct Span(NonZeroU64);

impl Span {
    const LENGTH_BITS: u32 = 21;
    const LENGTH_MASK: u64 = (1 << Self::LENGTH_BITS) - 1;

    fn push<T: Copy>(all: &mut Vec<T>, values: impl IntoIterator<Item = T>) -> Self {
        const {
            assert!(native::MAX_ARRAY <= Self::LENGTH_MASK);
        }
        let start = all.len() as u64;
        all.extend(values);
        let length = all.len() as u64 - start;
        Self(NonZeroU64::MIN.saturating_add(start << Self::LENGTH_BITS | length))
    }

    fn of<T>(self, all: &[T]) -> &[T] {
        let packed = self.0.get() - 1;
        let start = usize::try_from(packed >> Self::LENGTH_BITS).unwrap_or(usize::MAX);
        let length = usize::try_from(packed & Self::LENGTH_MASK).unwrap_or(usize::MAX);
        all.get(start..start.saturating_add(length))
            .unwrap_or_default()
    }
}

/// How a session of the sessions stream is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Standing {
    /// It passes the filters.
    #[default]
    Included,
    /// It is needed only for the user's journey.
    Evidence,
    /// It is not in this stream: the conversions stream has it, or it has left this place.
    Elsewhere,
}

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

/// What scopes that follow a journey need of a session.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct When {
    started_at: Word,
    session_key: Word,
    standing: Standing,
}

/// A session without conversions. There are millions: 20 bytes where its time does not matter, 40
/// where it does.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Session<T> {
    user: Word,
    pub(crate) ends: Ends,
    when: T,
}

impl Session<When> {
    pub(crate) fn is_included(&self) -> bool {
        self.when.standing == Standing::Included
    }

    #[inline]
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            started_at: self.when.started_at.get().cast_signed(),
            session_key: self.when.session_key.get(),
        }
    }

    /// The session without its time.
    pub(crate) fn undated(&self) -> Session<()> {
        Session::included(self.user(), self.ends)
    }
}

impl Session<()> {
    /// A session that is included.
    pub(crate) fn included(user: u64, ends: Ends) -> Self {
        Self {
            user: Word::new(user),
            ends,
            when: (),
        }
    }
}

/// A version of a session: 20 bytes more.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Version<T> {
    session: Session<T>,
    session_key: Word,
    written_at: Word,
    day: u16,
    standing: Standing,
}

impl<T> Version<T> {
    /// What a session has once, apart from its user. Versions at different places are different sessions here: one
    /// of them has left its place, and says so.
    fn place(&self) -> (u64, u16) {
        (self.session_key.get(), self.day)
    }

    fn written_at(&self) -> i64 {
        self.written_at.get().cast_signed()
    }
}

const _: () = {
    assert!(size_of::<Session<()>>() == 20 && size_of::<Session<When>>() == 40);
    assert!(size_of::<Version<()>>() == 40 && size_of::<Version<When>>() == 60);
};

/// A session with conversions, of which a filter may leave none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Converted {
    pub(crate) user: u64,
    pub(crate) moment: Moment,
    pub(crate) ends: Ends,
    pub(crate) included: bool,
    pub(crate) conversions: u32,
    viewed: Span,
    targets: Span,
}

impl<T> Keyed for Session<T> {
    #[inline]
    fn user(&self) -> u64 {
        self.user.get()
    }
}

impl<T> Keyed for Version<T> {
    #[inline]
    fn user(&self) -> u64 {
        self.session.user()
    }
}

/// The rows of one unit. Its buffers are kept for the next.
#[derive(Debug)]
pub(crate) struct Unit {
    range: Range,
    /// For scopes that do not need the time of sessions; `dated` for those that do.
    undated: Sessions<()>,
    dated: Sessions<When>,
    /// In place of `dated`, where only first sessions are asked for and the rows bring no more than that takes.
    starts: Partitions<Start>,
    firsts: Firsts<Start>,
    converted: Ahead<Converted>,
    earlier_users: Ahead<u64>,
    arena: Arena,
}

/// Rows that may come for several units at once. Units take theirs in the order of users.
#[derive(Debug)]
struct Ahead<R> {
    rows: Vec<R>,
    /// Rows before it were taken.
    front: usize,
    /// The end of this unit's rows.
    end: usize,
}

impl<R> Default for Ahead<R> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            front: 0,
            end: 0,
        }
    }
}

impl<R: Keyed> Ahead<R> {
    fn len(&self) -> usize {
        self.rows.len() - self.front
    }

    /// Sorts rows by user and finds those of a unit. Rows come in a few sorted runs, which a stable sort makes use of.
    fn sort(&mut self, range: Range) {
        let rows = &mut self.rows[self.front..];
        if !rows.is_sorted_by_key(Keyed::user) {
            rows.sort_by_key(Keyed::user);
        }
        self.end = self.front + rows.partition_point(|row| !range.is_before(row.user()));
    }

    /// The rows of the unit, and those of earlier users that no unit took.
    fn of_unit(&self) -> &[R] {
        &self.rows[self.front..self.end]
    }

    /// Takes the rows of the unit; true if none is left.
    fn take(&mut self) -> bool {
        self.front = self.end;
        let is_empty = self.len() == 0;
        if is_empty {
            self.clear();
        }
        is_empty
    }

    fn clear(&mut self) {
        self.rows.clear();
        (self.front, self.end) = (0, 0);
    }
}

impl Keyed for u64 {
    fn user(&self) -> u64 {
        *self
    }
}

impl Keyed for Converted {
    fn user(&self) -> u64 {
        self.user
    }
}

/// The rows of the sessions stream.
#[derive(Debug)]
struct Sessions<T> {
    once: Partitions<Session<T>>,
    versions: Partitions<Version<T>>,
    /// Of the partition that was asked for last, the latest version of each session.
    latest: Vec<Session<T>>,
}

impl<T> Default for Sessions<T> {
    fn default() -> Self {
        Self {
            once: Partitions::default(),
            versions: Partitions::default(),
            latest: Vec::new(),
        }
    }
}

/// What is kept of a session: with or without its time.
trait Matter: Copy + Default {
    /// Whether a session of that standing is needed.
    fn matters(standing: Standing) -> bool;
}

impl Matter for () {
    fn matters(standing: Standing) -> bool {
        standing == Standing::Included
    }
}

impl Matter for When {
    fn matters(standing: Standing) -> bool {
        standing != Standing::Elsewhere
    }
}

impl<T: Matter> Sessions<T> {
    fn len(&self) -> usize {
        self.once.len() + self.versions.len()
    }

    fn clear(&mut self) {
        self.once.clear();
        self.versions.clear();
    }

    /// Adds rows of a block that was checked.
    fn add(
        &mut self,
        range: Range,
        block: &SessionColumns,
        rows: ops::Range<usize>,
        pages: &mut Pages,
        mut when: impl FnMut(usize, Standing) -> T,
    ) {
        let (keys, written_at) = (block.session_key.values(), block.written_at.values());
        let days = block.day.values();
        let included = block.included.values();
        let mut session = |row, user, ends, standing| Session {
            user: Word::new(user),
            ends,
            when: when(row, standing),
        };
        if included.is_empty() && written_at.is_empty() {
            // The largest streams are of this form.
            each_row(block, rows, pages, |row, user, ends, is_elsewhere| {
                if !is_elsewhere {
                    self.once
                        .push(range, session(row, user, ends, Standing::Included));
                }
            });
            return;
        }
        each_row(block, rows, pages, |row, user, ends, is_elsewhere| {
            let standing = match included.get(row) {
                _ if is_elsewhere => Standing::Elsewhere,
                Some(0) => Standing::Evidence,
                _ => Standing::Included,
            };
            let session = session(row, user, ends, standing);
            let version = keys.get(row).zip(written_at.get(row)).zip(days.get(row));
            if let Some(((&session_key, &written_at), &day)) = version {
                let version = Version {
                    session,
                    session_key: Word::new(session_key),
                    written_at: Word::new(written_at.cast_unsigned()),
                    day,
                    standing,
                };
                self.versions.push(range, version);
            } else if T::matters(standing) {
                self.once.push(range, session);
            }
        });
    }

    /// The sessions of a partition by user, each in its latest version.
    fn grouped(&mut self, range: Range, place: usize) -> &[Session<T>] {
        if self.versions.len() == 0 {
            return self.once.grouped(range, place);
        }
        self.latest.clear();
        let versions = self.versions.grouped(range, place);
        for versions in versions.chunk_by(|one, next| one.user() == next.user()) {
            each_latest(versions, |session| self.latest.push(*session));
        }
        self.once.grouped_with(range, place, &self.latest)
    }
}

/// Visits the latest version of each of a user's sessions, where it is needed.
#[inline]
fn each_latest<T: Matter>(versions: &[Version<T>], mut visit: impl FnMut(&Session<T>)) {
    /// From this number on, sorting is faster than to look for a later version of each version.
    const MANY: usize = 16;
    let mut visit = |version: &Version<T>| {
        if T::matters(version.standing) {
            visit(&version.session);
        }
    };
    if versions.len() >= MANY {
        let mut sorted = versions.to_vec();
        // Stable: of versions written at the same time, the last one in the stream stays last.
        sorted.sort_by_key(|version| (version.place(), version.written_at()));
        let runs = sorted.chunk_by(|one, next| one.place() == next.place());
        runs.filter_map(<[_]>::last).for_each(visit);
        return;
    }
    for (place, version) in versions.iter().enumerate() {
        let is_replaced = versions.iter().enumerate().any(|(other_place, other)| {
            other.place() == version.place()
                && (other.written_at(), other_place) > (version.written_at(), place)
        });
        if !is_replaced {
            visit(version);
        }
    }
}

/// A session without conversions as it came, with its start. Most of them are dropped before their pages are looked up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Start {
    packed: [Word; 3],
    started_at: Word,
    session_key: Word,
}

const _: () = assert!(size_of::<Start>() == 40);

impl Start {
    /// Set in the last packed word of a session that is needed only for the user's journey. Packed rows say with that
    /// bit that they are gone, and these are not kept.
    const EVIDENCE: u64 = 1 << 63;

    fn new(packed: &Packed, started_at: i64, session_key: u64, is_included: bool) -> Self {
        let [user, low, high] = packed.0;
        let high = high & !Self::EVIDENCE | if is_included { 0 } else { Self::EVIDENCE };
        Self {
            packed: [user, low, high].map(Word::new),
            started_at: Word::new(started_at.cast_unsigned()),
            session_key: Word::new(session_key),
        }
    }

    fn packed(&self) -> Packed {
        Packed(self.packed.map(Word::get))
    }

    pub(crate) fn is_included(&self) -> bool {
        self.packed[2].get() & Self::EVIDENCE == 0
    }

    /// The session with its pages, which were looked up.
    pub(crate) fn dated(&self, ends: Ends) -> Session<When> {
        let standing = if self.is_included() {
            Standing::Included
        } else {
            Standing::Evidence
        };
        Session {
            user: self.packed[0],
            ends,
            when: When {
                started_at: self.started_at,
                session_key: self.session_key,
                standing,
            },
        }
    }
}

impl Keyed for Start {
    #[inline]
    fn user(&self) -> u64 {
        self.packed[0].get()
    }
}

impl Started for Start {
    #[inline]
    fn moment(&self) -> Moment {
        Moment {
            started_at: self.started_at.get().cast_signed(),
            session_key: self.session_key.get(),
        }
    }
}

/// The user and the pages of a session in 24 bytes, little-endian, as the store packs them: the user's key, then a
/// number of 128 bits. Its highest bit is 1 where the session has left this place, the next where it has a conversion;
/// then come the first 42 bits of the keys of the landing page, the exit page and the page before exit.
struct Packed([u64; 3]);

impl Packed {
    const BITS: u32 = KeyWidth::MASK.count_ones();

    #[inline]
    fn of(bytes: &[u8; 24]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let mut numbers = [0; 3];
        for (number, word) in numbers.iter_mut().zip(words) {
            *number = u64::from_le_bytes(*word);
        }
        Self(numbers)
    }

    #[inline]
    fn user(&self) -> u64 {
        self.0[0]
    }

    #[inline]
    fn landing(&self) -> u64 {
        self.0[2] >> (2 * Self::BITS - u64::BITS) & KeyWidth::MASK
    }

    #[inline]
    fn exit(&self) -> u64 {
        (self.0[1] >> Self::BITS | self.0[2] << (u64::BITS - Self::BITS)) & KeyWidth::MASK
    }

    #[inline]
    fn before_exit(&self) -> u64 {
        self.0[1] & KeyWidth::MASK
    }

    #[inline]
    fn is_elsewhere(&self) -> bool {
        self.0[2] >> 62 != 0
    }

    fn ends(&self, pages: &mut Pages) -> Ends {
        Ends {
            landing: pages.id(self.landing()),
            exit: pages.id(self.exit()),
            before_exit: pages.id(self.before_exit()),
        }
    }
}

/// The pages of a batch of sessions.
struct Batch {
    landings: [Option<PageId>; BATCH],
    exits: [Option<PageId>; BATCH],
    befores: [Option<PageId>; BATCH],
}

impl Batch {
    const EMPTY: Self = Self {
        landings: [None; BATCH],
        exits: [None; BATCH],
        befores: [None; BATCH],
    };

    #[inline]
    fn look_up(&mut self, pages: &mut Pages, landing: &[u64], exit: &[u64], before: &[u64]) {
        pages.ids(landing, &mut self.landings);
        pages.ids(exit, &mut self.exits);
        pages.ids(before, &mut self.befores);
    }

    #[inline]
    fn ends(&self) -> impl Iterator<Item = Ends> {
        let pages = self.landings.iter().zip(&self.exits).zip(&self.befores);
        pages.map(|((&landing, &exit), &before_exit)| Ends {
            landing,
            exit,
            before_exit,
        })
    }
}

/// Visits rows of a block in order: the user, the pages as this tally numbers them, and whether the row says that the
/// session converts or is gone.
#[inline]
fn each_row(
    block: &SessionColumns,
    rows: ops::Range<usize>,
    pages: &mut Pages,
    mut visit: impl FnMut(usize, u64, Ends, bool),
) {
    let mut batch = Batch::EMPTY;
    let mut row = rows.start;
    if pages.width() == KeyWidth::Leading {
        let mut keys = [[0; BATCH]; 3];
        let packed = block.packed.values().get(rows).unwrap_or_default();
        for packed in packed.chunks(BATCH) {
            let [landing, exit, before] = &mut keys;
            let slots = landing.iter_mut().zip(exit).zip(before);
            for (bytes, ((landing, exit), before)) in packed.iter().zip(slots) {
                let packed = Packed::of(bytes);
                (*landing, *exit, *before) =
                    (packed.landing(), packed.exit(), packed.before_exit());
            }
            let [landing, exit, before] = &keys;
            let count = packed.len();
            batch.look_up(pages, &landing[..count], &exit[..count], &before[..count]);
            for (bytes, ends) in packed.iter().zip(batch.ends()) {
                let packed = Packed::of(bytes);
                visit(row, packed.user(), ends, packed.is_elsewhere());
                row += 1;
            }
        }
        return;
    }
    let users = batches(&block.user_key, &rows);
    let first_pages = batches(&block.landing_key, &rows);
    let last_pages = batches(&block.exit_key, &rows).zip(batches(&block.before_exit_key, &rows));
    for ((users, landing), (exit, before)) in users.zip(first_pages).zip(last_pages) {
        batch.look_up(pages, landing, exit, before);
        for (&user, ends) in users.iter().zip(batch.ends()) {
            let says = |column: &Fixed<u8>| column.values().get(row) == Some(&1);
            visit(
                row,
                user,
                ends,
                says(&block.converting) || says(&block.gone),
            );
            row += 1;
        }
    }
}

fn batches<'a>(column: &'a Fixed<u64>, rows: &ops::Range<usize>) -> slice::Chunks<'a, u64> {
    let values = column.values().get(rows.clone()).unwrap_or_default();
    values.chunks(BATCH)
}

impl SessionColumns {
    /// The user of a row, if there is such a row.
    #[inline]
    pub(crate) fn user(&self, row: usize) -> Option<u64> {
        match self.packed.values().get(row) {
            Some(packed) => Some(Packed::of(packed).user()),
            None => self.user_key.values().get(row).copied(),
        }
    }

    /// Checks that a block has what a tally of that question needs.
    pub(crate) fn check(&self, width: KeyWidth, selection: Selection) -> Result<(), String> {
        let has_versions = !self.written_at.values().is_empty();
        let is_packed = !self.packed.values().is_empty();
        if is_packed != (width == KeyWidth::Leading) {
            return Err(
                "column packed is for tallies of leading bits, and they need it".to_owned(),
            );
        }
        let apart = [
            &self.user_key,
            &self.landing_key,
            &self.exit_key,
            &self.before_exit_key,
        ];
        if (apart.iter()).any(|column| column.values().is_empty() != is_packed) {
            return Err(
                "the block needs column packed, or columns user_key, landing_key, exit_key and \
                 before_exit_key"
                    .to_owned(),
            );
        }
        let has_keys = !self.session_key.values().is_empty();
        let has_days = !self.day.values().is_empty();
        if has_days != has_versions || (has_versions && !has_keys) {
            return Err("columns session_key, written_at and day come together".to_owned());
        }
        // A packed row itself says whether the session converts or is gone.
        let says = [&self.converting, &self.gone].map(|column| !column.values().is_empty());
        if says != [has_versions && !is_packed; 2] {
            return Err(
                "columns converting and gone come with versions whose keys are whole".to_owned(),
            );
        }
        if selection.scope.needs_order() && (self.started_at.values().is_empty() || !has_keys) {
            return Err("the touch scope needs columns started_at and session_key".to_owned());
        }
        flags("included", &self.included)?;
        flags("converting", &self.converting)?;
        flags("gone", &self.gone)
    }
}

/// The parts of rows that vary in size.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    viewed: Vec<Option<PageId>>,
    targets: Vec<Option<PageId>>,
    assist_views: Vec<u32>,
}

/// One user's rows, for scopes that need the time of sessions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User<'a> {
    pub(crate) sessions: &'a [Session<When>],
    pub(crate) converted: &'a [Converted],
    /// Whether the user's first session lies before the window.
    pub(crate) came_earlier: bool,
}

/// A user, where only first sessions are asked for.
pub(crate) enum Found<'a> {
    /// A user with conversions, and the first of those sessions that have none.
    Converted(User<'a>),
    /// The first session of a user without conversions, if it passes the filters.
    First(Session<()>),
}

impl Unit {
    /// No rows. The seed must be unknown to those whose sessions are counted.
    pub(crate) fn with_seed(seed: u64) -> Self {
        Self {
            range: Range::default(),
            undated: Sessions::default(),
            dated: Sessions::default(),
            starts: Partitions::default(),
            firsts: Firsts::with_seed(seed),
            converted: Ahead::default(),
            earlier_users: Ahead::default(),
            arena: Arena::default(),
        }
    }

    /// Says which users belong to the unit, before any row of it is added.
    pub(crate) fn begin(&mut self, range: Range) {
        self.range = range;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sessions() == 0 && self.earlier_users.len() == 0
    }

    /// Number of sessions, in all their versions, with those that came ahead.
    pub(crate) fn sessions(&self) -> usize {
        self.undated.len() + self.dated.len() + self.starts.len() + self.converted.len()
    }

    /// Whether rows of the sessions stream came, which are never ahead of their unit.
    pub(crate) fn has_sessions(&self) -> bool {
        self.undated.len() + self.dated.len() + self.starts.len() > 0
    }

    /// Forgets the unit's rows. The next unit may have any users until its range is set.
    pub(crate) fn clear(&mut self) {
        self.range = Range::default();
        self.undated.clear();
        self.dated.clear();
        self.starts.clear();
        self.earlier_users.take();
        if self.converted.take() {
            self.arena.viewed.clear();
            self.arena.targets.clear();
            self.arena.assist_views.clear();
        }
    }

    /// The rows of a block, from `start` on, that belong to the unit, up to the first that does not.
    pub(crate) fn run(&self, block: &SessionColumns, start: usize) -> ops::Range<usize> {
        let users = (start..).map_while(|row| block.user(row));
        let length = users.take_while(|&user| self.range.contains(user)).count();
        start..start + length
    }

    /// Adds rows of a [checked](SessionColumns::check) block, all of users that belong to the unit.
    pub(crate) fn add_sessions(
        &mut self,
        block: &SessionColumns,
        rows: ops::Range<usize>,
        pages: &mut Pages,
        selection: Selection,
    ) -> Result<(), String> {
        if !selection.scope.needs_order() {
            if selection.includes_undated() {
                (self.undated).add(self.range, block, rows, pages, |_, _| ());
            }
            return full(pages);
        }
        let started_at = block.started_at.values();
        let keys = block.session_key.values();
        if selection.may_include_unconverted()
            && pages.width() == KeyWidth::Leading
            && block.written_at.values().is_empty()
        {
            self.add_starts(block, rows);
            return Ok(());
        }
        let when = |row, standing| {
            let started_at: i64 = started_at.get(row).copied().unwrap_or_default();
            let session_key = keys.get(row).copied().unwrap_or_default();
            When {
                started_at: Word::new(started_at.cast_unsigned()),
                session_key: Word::new(session_key),
                standing,
            }
        };
        self.dated.add(self.range, block, rows, pages, when);
        full(pages)
    }

    fn add_starts(&mut self, block: &SessionColumns, rows: ops::Range<usize>) {
        let packed = block.packed.values().get(rows.clone());
        let started_at = block.started_at.values().get(rows.clone());
        let keys = block.session_key.values().get(rows.clone());
        // All are included where the column is absent.
        let included = block.included.values().get(rows).unwrap_or_default();
        let included = included
            .iter()
            .map(|&flag| flag == 1)
            .chain(iter::repeat(true));
        let moments = (started_at.unwrap_or_default().iter()).zip(keys.unwrap_or_default());
        let rows = packed.unwrap_or_default().iter().zip(moments);
        for ((packed, (&started_at, &session_key)), is_included) in rows.zip(included) {
            let packed = Packed::of(packed);
            if !packed.is_elsewhere() {
                let start = Start::new(&packed, started_at, session_key, is_included);
                self.starts.push(self.range, start);
            }
        }
    }

    pub(crate) fn add_conversions(
        &mut self,
        block: &ConversionColumns,
        pages: &mut Pages,
    ) -> Result<(), String> {
        flags("included", &block.included)?;
        let mut page_keys = block.page_keys.iter();
        let mut conversion_keys = block.conversion_keys.iter();
        let mut assist_views = block.assist_views.iter();
        for (row, &user) in block.user_key.values().iter().enumerate() {
            let at = |column: &Fixed<u64>| column.values().get(row).copied().unwrap_or_default();
            let viewed = page_keys.next().unwrap_or_default();
            let converted = conversion_keys.next().unwrap_or_default();
            let assists = assist_views.next().unwrap_or_default();
            let included = block.included.values().get(row) == Some(&1);
            let conversions = block
                .conversions
                .values()
                .get(row)
                .copied()
                .unwrap_or_default();
            if included {
                if converted.len() != conversions as usize || assists.len() != converted.len() {
                    return Err(format!(
                        "a row of {conversions} conversions has {} conversion_keys and {} \
                         assist_views",
                        converted.len(),
                        assists.len()
                    ));
                }
                if let Some(views) = assists.iter().find(|&&views| views as usize > viewed.len()) {
                    return Err(format!(
                        "{views} page views assist a conversion in a session of {}",
                        viewed.len()
                    ));
                }
            }
            // Rows that are needed only for the journey have no roles.
            let (viewed, converted, assists) = if included {
                (viewed, converted, assists)
            } else {
                Default::default()
            };
            let arena = &mut self.arena;
            Span::push(&mut arena.assist_views, assists.iter().copied());
            self.converted.rows.push(Converted {
                user,
                moment: Moment {
                    started_at: block
                        .started_at
                        .values()
                        .get(row)
                        .copied()
                        .unwrap_or_default(),
                    session_key: at(&block.session_key),
                },
                ends: Ends {
                    landing: pages.id_of_whole(at(&block.landing_key)),
                    exit: pages.id_of_whole(at(&block.exit_key)),
                    before_exit: pages.id_of_whole(at(&block.before_exit_key)),
                },
                included,
                conversions,
                viewed: Span::push(
                    &mut arena.viewed,
                    viewed.iter().map(|&key| pages.id_of_whole(key)),
                ),
                targets: Span::push(
                    &mut arena.targets,
                    converted.iter().map(|&key| pages.id_of_whole(key)),
                ),
            });
        }
        full(pages)
    }

    pub(crate) fn add_users(&mut self, block: &UserColumns) {
        self.earlier_users.rows.extend(block.user_key.values());
    }

    /// Sorts the rows that came ahead by user. Fails with the user of a row that belongs to an earlier unit.
    pub(crate) fn sort(&mut self) -> Result<(), u64> {
        self.converted.sort(self.range);
        self.earlier_users.sort(self.range);
        match self.converted().first() {
            Some(first) if !self.range.contains(first.user) => Err(first.user),
            _ => Ok(()),
        }
    }

    /// The unit's sessions with conversions, by user.
    pub(crate) fn converted(&self) -> &[Converted] {
        self.converted.of_unit()
    }

    /// Adds an included session to those whose time is not needed.
    pub(crate) fn add_undated(&mut self, session: Session<()>) {
        self.undated.once.push(self.range, session);
    }

    /// Visits the sessions whose time is not needed, user by user.
    pub(crate) fn each_undated(&mut self, mut visit: impl FnMut(&[Session<()>])) {
        if self.undated.len() > 0 {
            for place in 0..Partitions::<Session<()>>::COUNT {
                visit(self.undated.grouped(self.range, place));
            }
        }
    }

    /// Visits the users with their rows, for scopes that need the time of sessions.
    pub(crate) fn each_user(&mut self, mut visit: impl FnMut(&User<'_>)) {
        let mut converted = self.converted.of_unit();
        let mut earlier = self.earlier_users.of_unit();
        for place in 0..Partitions::<Session<When>>::COUNT {
            let mut sessions = self.dated.grouped(self.range, place);
            loop {
                let of_session = sessions.first().map(Keyed::user);
                let of_converted = converted.first().map(|row| row.user);
                let of_converted = of_converted.filter(|&user| self.range.is_up_to(place, user));
                let Some(user) = of_session.into_iter().chain(of_converted).min() else {
                    break;
                };
                take(&mut earlier, |&earlier| earlier < user);
                let user = User {
                    sessions: take(&mut sessions, |row| row.user() == user),
                    converted: take(&mut converted, |row| row.user == user),
                    came_earlier: earlier.first() == Some(&user),
                };
                visit(&user);
            }
        }
    }

    /// Whether all sessions are kept for [`each_first`](Self::each_first).
    pub(crate) fn has_starts_only(&self) -> bool {
        self.starts.len() > 0 && self.dated.len() == 0
    }

    /// Visits the users with their rows, for the scope of first sessions.
    pub(crate) fn each_first(&mut self, pages: &mut Pages, mut visit: impl FnMut(Found<'_>)) {
        let range = self.range;
        let mut converted = self.converted.of_unit();
        let mut earlier = self.earlier_users.of_unit();
        take(&mut earlier, |&user| !range.contains(user));
        let mut waiting = Waiting::default();
        for place in 0..Partitions::<Start>::COUNT {
            self.firsts.choose(self.starts.chunks(place));
            let earlier = take(&mut earlier, |&user| range.is_up_to(place, user));
            let converted = take(&mut converted, |row| range.is_up_to(place, row.user));
            for converted in converted.chunk_by(|one, next| one.user == next.user) {
                let user = converted.first().map_or(0, |row| row.user);
                let first = self.firsts.take(user);
                let session = first.map(|first| first.dated(first.packed().ends(pages)));
                let user = User {
                    sessions: session.as_slice(),
                    converted,
                    came_earlier: earlier.binary_search(&user).is_ok(),
                };
                visit(Found::Converted(user));
            }
            for &user in earlier {
                self.firsts.take(user);
            }
            for first in self.firsts.others().filter(|first| first.is_included()) {
                if waiting.add(&first.packed()) {
                    waiting.look_up(pages, |session| visit(Found::First(session)));
                }
            }
        }
        waiting.look_up(pages, |session| visit(Found::First(session)));
    }

    /// Moves the sessions that are kept for [`each_first`](Self::each_first) to those for
    /// [`each_user`](Self::each_user).
    pub(crate) fn date_starts(&mut self, pages: &mut Pages) {
        for place in 0..Partitions::<Start>::COUNT {
            for start in self.starts.chunks(place).flatten() {
                let session = start.dated(start.packed().ends(pages));
                self.dated.once.push(self.range, session);
            }
        }
        self.starts.clear();
    }

    pub(crate) fn arena(&self) -> &Arena {
        &self.arena
    }
}

/// Sessions whose pages are to be looked up together.
#[derive(Debug)]
struct Waiting {
    users: [u64; BATCH],
    /// Landing, exit and before-exit pages.
    keys: [[u64; BATCH]; 3],
    count: usize,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            users: [0; BATCH],
            keys: [[0; BATCH]; 3],
            count: 0,
        }
    }
}

impl Waiting {
    /// Adds a session. Returns true where there is no room for another.
    #[inline]
    fn add(&mut self, packed: &Packed) -> bool {
        let [landing, exit, before] = &mut self.keys;
        let place = self.count % BATCH;
        self.users[place] = packed.user();
        landing[place] = packed.landing();
        exit[place] = packed.exit();
        before[place] = packed.before_exit();
        self.count = place + 1;
        self.count == BATCH
    }

    /// Looks up the pages of all sessions, visits these and forgets them.
    fn look_up(&mut self, pages: &mut Pages, mut visit: impl FnMut(Session<()>)) {
        let [landing, exit, before] = &self.keys;
        let count = self.count;
        let mut batch = Batch::EMPTY;
        batch.look_up(pages, &landing[..count], &exit[..count], &before[..count]);
        for (&user, ends) in self.users.iter().take(count).zip(batch.ends()) {
            visit(Session::included(user, ends));
        }
        self.count = 0;
    }
}

/// Takes rows from the front.
#[inline]
fn take<'a, R>(rows: &mut &'a [R], belongs: impl Fn(&R) -> bool) -> &'a [R] {
    let run = rows.iter().take_while(|row| belongs(row)).count();
    let (taken, rest) = rows.split_at(run);
    *rows = rest;
    taken
}

impl Arena {
    pub(crate) fn conversions(&self, row: &Converted) -> Conversions<'_> {
        Conversions {
            pages: row.viewed.of(&self.viewed),
            converted: row.targets.of(&self.targets),
            assist_views: row.targets.of(&self.assist_views),
        }
    }
}

fn flags(name: &str, column: &Fixed<u8>) -> Result<(), String> {
    match column.values().iter().find(|&&flag| flag > 1) {
        Some(flag) => Err(format!("column {name} holds {flag}, neither 0 nor 1")),
        None => Ok(()),
    }
}

fn full(pages: &Pages) -> Result<(), String> {
    if pages.is_full() {
        return Err(format!("more than {} pages", pages.len()));
    }
    Ok(())
}
