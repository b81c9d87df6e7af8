//! The streams that a host would make of a world.

use super::blocks::{Values, block};
use super::{Conversion, Form, Question, START_MS, Session, Version, oracle, url};

/// A header without rows, then blocks, of a few rows each unless there are very many, whose columns change their order.
fn stream<R>(rows: &[R], columns: impl Fn(&[&R]) -> Vec<(&'static str, Values)>) -> Vec<u8> {
    let mut out = block(&columns(&[]));
    for (number, rows) in rows.chunks((rows.len() / 32).max(7)).enumerate() {
        let mut columns = columns(&rows.iter().collect::<Vec<_>>());
        let places = columns.len();
        columns.rotate_left(number % places);
        out.extend(block(&columns));
    }
    out
}

/// The three streams of a unit.
#[derive(Debug, Clone, Default)]
pub struct Streams {
    pub sessions: Vec<u8>,
    pub conversions: Vec<u8>,
    pub users: Vec<u8>,
}

impl Streams {
    /// What a host sends for a question about these users where the store has replaced sessions.
    pub fn of(world: &[Session], question: Question) -> Self {
        Self::of_history(&super::written_once(world), question, Form::REPLACED)
    }

    /// What a host sends where the core replaces a part of the sessions.
    pub fn of_history(history: &[Version], (scope, filter): Question, form: Form) -> Self {
        let world = oracle::last_written(history);
        let needs_order = matches!(scope, 2 | 4 | 5);
        let converting_only = scope == 3 || (scope < 2 && filter);
        let last = oracle::last_at_each_place(history);
        let plain: Vec<_> = last
            .iter()
            // Packed rows say whether they convert or are gone, so those that do come too.
            .filter(|session| session.is_in_window())
            .filter(|session| (session.conversions.is_empty() && !session.gone) || form.packed)
            .filter(|session| session.passes || needs_order)
            .filter(|session| !form.has_versions_of(session))
            .collect();
        let versions: Vec<_> = history
            .iter()
            // A later version may have started outside of the window.
            .filter(|version| version.session.is_in_days())
            .filter(|version| form.has_versions_of(&version.session))
            .collect();
        let converted: Vec<_> = world
            .iter()
            .filter(|session| !session.conversions.is_empty())
            .collect();
        let earlier: Vec<_> = world
            .iter()
            .filter(|session| session.started_at < START_MS)
            .collect();
        let mut streams = Self {
            conversions: stream(&converted, |rows| conversion_columns(rows, filter)),
            ..Self::default()
        };
        if !converting_only {
            streams.sessions = stream(&plain, |rows| {
                // All blocks of a unit are dated, or none.
                let mut columns = session_columns(rows, needs_order || form.versions != 0);
                // As hosts do without filters. Blocks may differ.
                let all_pass = rows.iter().all(|session| session.passes);
                columns.retain(|(name, _)| *name != "included" || !all_pass);
                if form.packed {
                    packed(columns, rows)
                } else {
                    columns
                }
            });
            if form.versions != 0 {
                let columns = |rows: &[&&Version]| {
                    let columns = version_columns(rows);
                    let sessions: Vec<_> = rows.iter().map(|version| &version.session).collect();
                    let sessions: Vec<_> = sessions.iter().collect();
                    if form.packed {
                        packed(columns, &sessions)
                    } else {
                        columns
                    }
                };
                streams.sessions.extend(stream(&versions, columns));
            }
        }
        if matches!(scope, 2 | 4) {
            streams.users = stream(&earlier, |rows| {
                let users = rows.iter().map(|session| session.user).collect();
                vec![("user_key", Values::U64(users))]
            });
        }
        streams
    }
}

/// The same sessions with user, pages and flags in one column, as the store packs them.
pub fn packed(
    mut columns: Vec<(&'static str, Values)>,
    rows: &[&&Session],
) -> Vec<(&'static str, Values)> {
    columns.retain(|(name, _)| !name.ends_with("_key") || *name == "session_key");
    columns.retain(|(name, _)| !matches!(*name, "converting" | "gone"));
    let leading = |page: Option<&u64>| u128::from(page.copied().unwrap_or(0) >> 22);
    let pack = |session: &&&Session| {
        let pages = u128::from(session.gone) << 127
            | u128::from(!session.conversions.is_empty()) << 126
            | leading(session.pages.first()) << 84
            | leading(session.pages.last()) << 42
            | leading(session.before_exit().as_ref());
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&session.user.to_le_bytes());
        bytes[8..].copy_from_slice(&pages.to_le_bytes());
        bytes
    };
    columns.insert(
        0,
        ("packed", Values::Packed(rows.iter().map(pack).collect())),
    );
    columns
}

/// Sessions in all their versions.
pub fn version_columns(versions: &[&&Version]) -> Vec<(&'static str, Values)> {
    let sessions: Vec<_> = versions.iter().map(|version| &version.session).collect();
    let rows: Vec<_> = sessions.iter().collect();
    let mut columns = session_columns(&rows, true);
    columns.retain(|(name, _)| *name != "included");
    let included = |session: &Session| u8::from(session.is_in_window() && session.passes);
    let included = rows.iter().map(|session| included(session)).collect();
    let times = versions.iter().map(|version| version.written_at).collect();
    let converting = rows.iter();
    let converting = converting.map(|session| u8::from(!session.conversions.is_empty()));
    let gone = rows.iter().map(|session| u8::from(session.gone)).collect();
    columns.extend([
        ("included", Values::U8(included)),
        ("written_at", Values::I64(times)),
        ("converting", Values::U8(converting.collect())),
        ("gone", Values::U8(gone)),
    ]);
    columns
}

fn u64s<'a>(rows: &[&&'a Session], value: impl Fn(&'a Session) -> Option<u64>) -> Values {
    Values::U64(
        rows.iter()
            .map(|session| value(session).unwrap_or(0))
            .collect(),
    )
}

pub fn session_columns(rows: &[&&Session], ordered: bool) -> Vec<(&'static str, Values)> {
    let mut columns = vec![
        ("before_exit_key", u64s(rows, Session::before_exit)),
        (
            "exit_key",
            u64s(rows, |session| session.pages.last().copied()),
        ),
        (
            "landing_key",
            u64s(rows, |session| session.pages.first().copied()),
        ),
        ("user_key", u64s(rows, |session| Some(session.user))),
    ];
    if ordered {
        columns.extend(moment_columns(rows));
        let included = rows
            .iter()
            .map(|session| u8::from(session.passes))
            .collect();
        columns.push(("included", Values::U8(included)));
    }
    columns
}

fn moment_columns(rows: &[&&Session]) -> [(&'static str, Values); 2] {
    let started_at = rows.iter().map(|session| session.started_at).collect();
    [
        ("started_at", Values::I64(started_at)),
        ("session_key", u64s(rows, |session| Some(session.key()))),
    ]
}

pub fn conversion_columns(rows: &[&&Session], filter: bool) -> Vec<(&'static str, Values)> {
    let included = |session: &Session| session.is_in_window() && session.passes;
    let mut columns = session_columns(rows, false);
    columns.extend(moment_columns(rows));
    columns.push((
        "included",
        Values::U8(
            rows.iter()
                .map(|session| u8::from(included(session)))
                .collect(),
        ),
    ));
    let matching = |session: &Session| u32::try_from(session.matching(filter).len()).unwrap();
    columns.push((
        "conversions",
        Values::U32(rows.iter().map(|session| matching(session)).collect()),
    ));
    let mut pages = Vec::new();
    let mut targets = Vec::new();
    let mut assists = Vec::new();
    for session in rows {
        let conversions = session.matching(filter);
        if included(session) {
            pages.push(session.pages.clone());
            targets.push(
                conversions
                    .iter()
                    .map(|conversion| conversion.page)
                    .collect(),
            );
            assists.push(
                conversions
                    .iter()
                    .map(|conversion| conversion.assist_views)
                    .collect(),
            );
        } else {
            pages.push(vec![]);
            targets.push(vec![]);
            assists.push(vec![]);
        }
    }
    columns.push(("page_keys", Values::U64s(pages)));
    columns.push(("conversion_keys", Values::U64s(targets)));
    columns.push(("assist_views", Values::U32s(assists)));
    columns
}

/// The keys of values that sessions pass by, and conversions match by.
pub const PASSING: u64 = 5;
pub const MATCHING: u64 = 7;

/// Places as a store has them, for a domain that is kept in memory.
pub fn places(sessions: &[Session]) -> Vec<u8> {
    stream(sessions, place_columns)
}

pub fn place_columns(rows: &[&Session]) -> Vec<(&'static str, Values)> {
    let rows: Vec<_> = rows.iter().collect();
    let mut columns = session_columns(&rows, true);
    columns.retain(|(name, _)| *name != "included");
    let source = |session: &Session| PASSING + u64::from(!session.passes);
    columns.push(("source_key", u64s(&rows, |session| Some(source(session)))));
    for (column, name) in ["medium_key", "campaign_key", "content_key", "term_key"]
        .into_iter()
        .enumerate()
    {
        // Many combinations of values, which none asks for.
        let value = |session: &Session| session.key() >> column & 1;
        columns.push((name, u64s(&rows, |session| Some(value(session)))));
    }
    let gone = rows.iter().map(|session| u8::from(session.gone)).collect();
    let pages = rows.iter().map(|session| session.pages.clone()).collect();
    let lists = |value: fn(&Conversion) -> u64| {
        let list = |session: &&&Session| session.conversions.iter().map(value).collect();
        Values::U64s(rows.iter().map(list).collect())
    };
    let assists = |session: &&&Session| {
        let conversions = session.conversions.iter();
        conversions
            .map(|conversion| conversion.assist_views)
            .collect()
    };
    columns.extend([
        ("gone", Values::U8(gone)),
        ("page_keys", Values::U64s(pages)),
        ("conversion_keys", lists(|conversion| conversion.page)),
        (
            "assist_views",
            Values::U32s(rows.iter().map(assists).collect()),
        ),
        ("conversion_url_keys", lists(|conversion| conversion.page)),
        (
            "conversion_type_keys",
            lists(|conversion| MATCHING + u64::from(!conversion.matches)),
        ),
        ("conversion_id_keys", lists(|_| 0)),
    ]);
    columns
}

/// Names of pages.
pub fn pages(keys: &[u64]) -> Vec<u8> {
    stream(keys, |keys| {
        let urls = keys.iter().map(|key| url(**key).into_bytes()).collect();
        vec![
            ("url", Values::Text(urls)),
            (
                "page_key",
                Values::U64(keys.iter().map(|key| **key).collect()),
            ),
        ]
    })
}
