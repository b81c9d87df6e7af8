//! Made-up traffic: the sessions of one unit, in the streams of a host.
#![allow(dead_code, reason = "each bench uses a part")]

#[path = "../../tests/support/blocks.rs"]
mod blocks;

use std::sync::Arc;

use blocks::{Values, block};
use pageroles_core::roles::Roles;
use pageroles_core::{Days, Field, Incoming, Part, Question, Resident, Result, Scope, Selection};

/// Sessions of one unit.
pub const SESSIONS: usize = 1_000_000;
const DAYS: usize = 30;
/// Rows of ClickHouse's blocks.
const BLOCK: usize = 16_384;
/// What a host reads at once.
pub const CHUNK: usize = 64 << 10;
/// Bits of a page's key that a packed row lacks.
const DROPPED_BITS: u32 = 22;

fn mixed(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// One of `pages` pages. The first come far more often than the last: the place is an even spread from 0 to 1, squared.
fn page(pages: u64, seed: u64) -> u64 {
    let even = mixed(seed) >> 32;
    mixed((((even * even) >> 32) * pages) >> 32 | 1 << 40)
}

/// How the sessions stream comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Each session without conversions once.
    Once,
    /// Each session without conversions once, with its start.
    Dated,
    /// All versions, with their starts. One session in 16 was written twice, one in 25 converts.
    Versions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Session {
    user: u64,
    landing: u64,
    exit: u64,
    before_exit: u64,
    number: u64,
    day: usize,
    started_at: i64,
}

impl Session {
    fn converts(&self) -> bool {
        self.number % 25 == 7
    }

    /// The same session, seen from its end; none where it would be as it was.
    pub fn turned(mut self) -> Option<Self> {
        std::mem::swap(&mut self.landing, &mut self.exit);
        (self.landing != self.exit).then_some(self)
    }
}

/// The sessions of each day, sorted by user. A user has two sessions on average; half of the sessions have one page
/// only.
pub fn days(sessions: usize, pages: u64) -> Vec<Session> {
    days_from(0, sessions, pages)
}

/// The sessions of one of several ranges of users, sorted by user.
pub fn range_of_users(nth: usize, ranges: usize, sessions: usize, pages: u64) -> Vec<Session> {
    let width = (u64::MAX >> 4) / ranges as u64;
    let mut rows = days_from(nth * sessions, sessions, pages);
    for row in &mut rows {
        row.user = nth as u64 * width + row.user % width;
    }
    rows.sort_unstable();
    rows
}

fn days_from(first: usize, sessions: usize, pages: u64) -> Vec<Session> {
    let users = sessions as u64 / 2;
    let mut rows = Vec::with_capacity(sessions);
    for day in 0..DAYS {
        let numbers = first + day * sessions / DAYS..first + (day + 1) * sessions / DAYS;
        let mut run: Vec<_> = numbers
            .map(|number| {
                let seed = number as u64 * 4;
                // A unit has a part of all keys, so their leading bits are the same.
                let user = mixed(mixed(seed) % users) >> 4;
                let landing = page(pages, seed + 1);
                let (exit, before_exit) = if seed.is_multiple_of(8) {
                    (landing, 0)
                } else {
                    (page(pages, seed + 2), page(pages, seed + 3))
                };
                Session {
                    user,
                    landing,
                    exit,
                    before_exit,
                    number: number as u64,
                    day,
                    // All starts differ: ties are not measured here.
                    started_at: (number as u64).cast_signed(),
                }
            })
            .collect();
        run.sort_unstable();
        rows.extend(run);
    }
    rows
}

fn u64s(rows: &[Session], value: impl Fn(&Session) -> u64) -> Values {
    Values::U64(rows.iter().map(value).collect())
}

fn ends(rows: &[Session]) -> Vec<(&'static str, Values)> {
    vec![
        ("user_key", u64s(rows, |row| row.user)),
        ("landing_key", u64s(rows, |row| row.landing)),
        ("exit_key", u64s(rows, |row| row.exit)),
        ("before_exit_key", u64s(rows, |row| row.before_exit)),
    ]
}

/// User, pages and conversion flag in one column.
fn packed(rows: &[Session], form: Form) -> (&'static str, Values) {
    let leading = |key: u64| u128::from(key >> DROPPED_BITS);
    let pack = |row: &Session| {
        let pages = u128::from((form == Form::Versions) && row.converts()) << 126
            | leading(row.landing) << 84
            | leading(row.exit) << 42
            | leading(row.before_exit);
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&row.user.to_le_bytes());
        bytes[8..].copy_from_slice(&pages.to_le_bytes());
        bytes
    };
    ("packed", Values::Packed(rows.iter().map(pack).collect()))
}

fn starts(rows: &[Session]) -> (&'static str, Values) {
    let starts = rows.iter().map(|row| row.started_at).collect();
    ("started_at", Values::I64(starts))
}

fn session_keys(rows: &[Session]) -> (&'static str, Values) {
    ("session_key", u64s(rows, |row| mixed(row.number)))
}

/// A sessions stream of that many rows.
pub fn sessions(rows: usize, pages: u64, form: Form) -> Vec<u8> {
    let columns = |rows: &[Session]| {
        let mut columns = vec![packed(rows, form)];
        if form != Form::Once {
            columns.push(starts(rows));
            columns.push(session_keys(rows));
            columns.push(("included", Values::U8(vec![1; rows.len()])));
        }
        if form == Form::Versions {
            columns.push(("written_at", Values::I64(vec![0; rows.len()])));
        }
        columns
    };
    let mut sessions = days(
        if form == Form::Versions {
            rows - rows / 17
        } else {
            rows
        },
        pages,
    );
    if form == Form::Versions {
        let again = sessions.iter().step_by(16).copied().collect::<Vec<_>>();
        sessions.extend(again);
        sessions.truncate(rows);
    }
    let blocks = sessions.chunks(BLOCK);
    blocks.flat_map(|rows| block(&columns(rows))).collect()
}

/// The conversions stream that belongs to [`sessions`] in versions. Of three pages viewed, two assist the conversion on
/// the last.
pub fn conversions(sessions: usize, pages: u64) -> Vec<u8> {
    let mut rows = days(sessions, pages);
    rows.retain(Session::converts);
    let mut columns = ends(&rows);
    columns.extend([starts(&rows), session_keys(&rows)]);
    let viewed = |row: &Session| vec![row.landing, row.before_exit.max(1 << 40), row.exit];
    let converted = |row: &Session| vec![row.exit];
    columns.extend([
        ("included", Values::U8(vec![1; rows.len()])),
        ("conversions", Values::U32(vec![1; rows.len()])),
        ("page_keys", Values::U64s(rows.iter().map(viewed).collect())),
        (
            "conversion_keys",
            Values::U64s(rows.iter().map(converted).collect()),
        ),
        ("assist_views", Values::U32s(vec![vec![2]; rows.len()])),
    ]);
    block(&columns)
}

/// The key of a source.
pub fn source(number: u64) -> u64 {
    mixed(number)
}

/// The key of a type of conversion.
pub fn conversion_type(number: u64) -> u64 {
    mixed(number)
}

/// Places of sessions, as a domain in memory is fed with them, a tenth of them from each of ten sources.
pub fn places(rows: &[Session]) -> Vec<u8> {
    const DAY_MS: i64 = 86_400_000;
    let starts = rows.iter().map(|row| {
        let number = row.number.cast_signed();
        let day = 20_000 + (row.day as u64).cast_signed();
        day * DAY_MS + number % DAY_MS
    });
    let converting = |row: &&Session| row.converts();
    let u64_lists = |list: &dyn Fn(&Session) -> Vec<u64>| {
        let of_row = |row: &Session| Some(row).filter(converting).map_or(vec![], list);
        Values::U64s(rows.iter().map(of_row).collect())
    };
    let assists = rows
        .iter()
        .map(|row| if row.converts() { vec![2] } else { vec![] });
    let mut columns = ends(rows);
    let key = |values: u64| u64s(rows, move |row| mixed(mixed(row.number) % values));
    columns.extend([
        ("started_at", Values::I64(starts.collect())),
        session_keys(rows),
        ("gone", Values::U8(vec![0; rows.len()])),
        (
            "source_key",
            u64s(rows, |row| source(mixed(row.number) % 10)),
        ),
        ("medium_key", key(4)),
        ("campaign_key", key(7)),
        ("content_key", key(1)),
        ("term_key", key(1)),
        (
            "page_keys",
            u64_lists(&|row| vec![row.landing, row.before_exit.max(1 << 40), row.exit]),
        ),
        ("conversion_keys", u64_lists(&|row| vec![row.exit])),
        ("assist_views", Values::U32s(assists.collect())),
        ("conversion_url_keys", u64_lists(&|row| vec![row.exit])),
        (
            "conversion_type_keys",
            u64_lists(&|row| vec![conversion_type(row.number % 3)]),
        ),
        (
            "conversion_id_keys",
            u64_lists(&|row| vec![mixed(row.number)]),
        ),
    ]);
    block(&columns)
}

/// Gives places of a domain in memory the state of these sessions.
pub fn apply(resident: &Arc<Resident>, places: &[u8]) -> Result<()> {
    let mut incoming = Incoming::new(Arc::clone(resident));
    incoming.feed(places)?;
    incoming.apply()
}

/// What a domain in memory is asked.
pub fn questions() -> [(&'static str, Question); 6] {
    const DAY_MS: i64 = 86_400_000;
    let day = |nth: i64| (20_000 + nth) * DAY_MS;
    let any = Question {
        scope: Scope::Any,
        window: [day(0), day(30) - 1],
        traffic: [None; 5],
        landing: None,
        conversion: [None; 3],
    };
    let of_scope = |scope| Question { scope, ..any };
    let half = Question {
        window: [day(15), day(30) - 1],
        ..any
    };
    let of_source = Question {
        traffic: [Some(source(3)), None, None, None, None],
        ..any
    };
    let of_type = Question {
        scope: Scope::After,
        conversion: [None, Some(conversion_type(1)), None],
        ..any
    };
    [
        ("any", any),
        ("half of the days", half),
        ("one source of ten", of_source),
        ("first", of_scope(Scope::First)),
        ("assist", of_scope(Scope::Assist)),
        ("one type of conversion of three", of_type),
    ]
}

/// What else a domain in memory is asked: on as many threads, for something that is more than nothing.
pub type Ask = fn(&Resident, usize) -> u64;

/// The page that comes most often.
fn first_page() -> u64 {
    mixed(1 << 40)
}

fn days_of(resident: &Resident, page: Option<u64>, threads: usize) -> u64 {
    let [(_, any), ..] = questions();
    let mut days = Days::new(20_000, DAYS);
    resident.days(&any, page, None, &mut days, threads);
    days.message().len() as u64
}

fn values_of(resident: &Resident, scope: Scope, field: Field, threads: usize) -> u64 {
    let [(_, any), ..] = questions();
    let values = resident.values(&Question { scope, ..any }, field, threads);
    values.keys().len() as u64
}

fn latest_of(resident: &Resident, part: Part, threads: usize) -> u64 {
    let [(_, any), ..] = questions();
    let mut selection = Selection::new(1_000, None);
    resident.select(&any, part, &mut selection, threads);
    selection.take().len() as u64
}

/// The questions beside the report.
pub const FURTHER: [(&str, Ask); 9] = [
    ("days", |resident, threads| days_of(resident, None, threads)),
    ("days of a page", |resident, threads| {
        days_of(resident, Some(first_page()), threads)
    }),
    ("values of sources", |resident, threads| {
        values_of(resident, Scope::Any, Field::Traffic(0), threads)
    }),
    ("values of landing pages", |resident, threads| {
        values_of(resident, Scope::Any, Field::Landing, threads)
    }),
    ("values of types", |resident, threads| {
        values_of(resident, Scope::Any, Field::Conversion(1), threads)
    }),
    ("values of ids, after", |resident, threads| {
        values_of(resident, Scope::After, Field::Conversion(2), threads)
    }),
    ("latest 1,000", |resident, threads| {
        latest_of(resident, Part::All, threads)
    }),
    ("latest 1,000 of a page", |resident, threads| {
        latest_of(resident, Part::Roles(first_page(), Roles::ALL), threads)
    }),
    ("latest 1,000 that landed on a page", |resident, threads| {
        latest_of(resident, Part::Landing(first_page()), threads)
    }),
];

/// Names for these pages. `keys` are the leading bits of their keys.
pub fn names(keys: &[u64]) -> Vec<u8> {
    let whole: Vec<_> = keys.iter().map(|key| key << DROPPED_BITS).collect();
    names_of_whole(&whole)
}

/// Names for the pages of these keys.
pub fn names_of_whole(keys: &[u64]) -> Vec<u8> {
    let url = |key: &u64| format!("https://www.example.com/shop/articles/{key:016x}").into_bytes();
    let blocks = keys.chunks(BLOCK).map(|keys| {
        let columns = [
            ("page_key", Values::U64(keys.to_vec())),
            ("url", Values::Text(keys.iter().map(url).collect())),
        ];
        block(&columns)
    });
    blocks.flatten().collect()
}
