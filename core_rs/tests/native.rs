//! Bytes that are no valid stream bring an error, never a panic.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
#![allow(clippy::struct_field_names, reason = "the contract's names")]

mod support;

use pageroles_core::{Counted, Error, Scope, Tally};
use proptest::collection::vec;
use proptest::prelude::*;
use support::blocks::{Values, block, put_string, put_varuint};
use support::streams::{self, Streams};
use support::{session, worlds};

/// What takes a stream.
#[derive(Debug, Clone, Copy)]
enum Feed {
    /// A tally, for a unit.
    Unit(fn(&mut Tally, &[u8]) -> Result<(), Error>),
    /// The counts, for the names of their pages.
    Names,
}

const SESSIONS: Feed = Feed::Unit(Tally::feed_sessions);
const CONVERSIONS: Feed = Feed::Unit(Tally::feed_conversions);
const USERS: Feed = Feed::Unit(Tally::feed_users);
const FEEDS: [Feed; 4] = [SESSIONS, CONVERSIONS, USERS, Feed::Names];

fn tally() -> Tally {
    Tally::new(Scope::First, false)
}

/// Feeds a stream in chunks and finishes it. After an error, one more byte must bring the error again, and so must the
/// end.
fn feed_all(feed: Feed, stream: &[u8], chunk: usize) -> Result<(), Error> {
    fn all<T>(
        taker: &mut T,
        feed: impl Fn(&mut T, &[u8]) -> Result<(), Error>,
        finish: impl Fn(&mut T) -> Result<(), Error>,
        mut chunks: std::slice::Chunks<'_, u8>,
    ) -> Result<(), Error> {
        let outcome = chunks.try_for_each(|chunk| feed(taker, chunk));
        let finished = finish(taker);
        if outcome.is_err() {
            assert_eq!(feed(taker, b"\x01"), outcome);
            assert_eq!(finished, outcome);
        }
        outcome.and(finished)
    }
    let answer = |counted: &mut Counted| {
        let answer = counted.answer(0, 0)?;
        counted.read(|snapshot| drop(answer.whole(snapshot)));
        Ok(())
    };
    let chunks = stream.chunks(chunk);
    match feed {
        Feed::Unit(feed) => {
            let mut tally = tally();
            all(&mut tally, feed, Tally::finish_unit, chunks)?;
            // Whatever came, it has an answer.
            let mut counted = tally.take().unwrap();
            let names = streams::pages(&counted.missing_pages());
            counted.feed_pages(&names).unwrap();
            answer(&mut counted)
        }
        Feed::Names => {
            let mut counted = tally().take().unwrap();
            all(&mut counted, Counted::feed_pages, answer, chunks)
        }
    }
}

/// A valid stream of each of the four kinds.
fn valid(world: &[support::Session]) -> [Vec<u8>; 4] {
    let Streams {
        sessions,
        conversions,
        users,
    } = Streams::of(world, (2, false));
    [
        sessions,
        conversions,
        users,
        streams::pages(&[1, 2, 3, 4, 5]),
    ]
}

proptest! {
    #![proptest_config(support::config())]

    #[test]
    fn noise_never_panics(noise in vec(any::<u8>(), 0..400), chunk in 1_usize..50) {
        for feed in FEEDS {
            let _ = feed_all(feed, &noise, chunk);
        }
    }

    #[test]
    fn damaged_streams_never_panic(
        world in worlds(),
        damages in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..4),
        chunk in 1_usize..200,
    ) {
        let mut versions = support::written_once(&world);
        for (version, written_at) in versions.iter_mut().zip([-1, 0, 1].into_iter().cycle()) {
            version.written_at = written_at;
        }
        let form = support::Form { versions: u8::MAX, packed: false };
        let keyed = Streams::of_history(&versions, (2, false), form);
        let keyed = [keyed.sessions, keyed.conversions];
        let streams = valid(&world).into_iter().chain(keyed);
        for (feed, mut stream) in FEEDS.into_iter().cycle().zip(streams) {
            for (index, byte, damage) in &damages {
                let at = index.index(stream.len());
                match damage {
                    0 => stream[at] = *byte,
                    1 => stream[at] ^= 1 << (byte % 8),
                    2 => stream.insert(at, *byte),
                    _ => drop(stream.drain(at..stream.len().min(at + usize::from(*byte)))),
                }
                if stream.is_empty() {
                    break;
                }
            }
            let _ = feed_all(feed, &stream, chunk);
        }
    }
}

#[test]
fn a_stream_cut_inside_a_block_is_truncated() {
    let converting = support::Session {
        conversions: vec![one_conversion()],
        ..session(8, 13, "converting", 1)
    };
    let earlier = session(9, 6, "earlier", 1);
    let world = [session(7, 12, "plain", 1), converting, earlier];
    for (feed, stream) in FEEDS.into_iter().zip(valid(&world)) {
        let mut whole_blocks = 0;
        for end in 0..=stream.len() {
            match feed_all(feed, &stream[..end], usize::MAX) {
                Ok(()) => whole_blocks += 1,
                Err(Error::Truncated { at, .. }) => assert_eq!(at, end as u64),
                Err(other) => panic!("cut at {end}: {other}"),
            }
        }
        // Nothing, the header alone, and the header with the block.
        assert_eq!(whole_blocks, 3);
    }
}

#[test]
fn names_may_go_on_after_an_answer_was_refused() {
    let stream = streams::pages(&[1]);
    let mut counted = tally().take().unwrap();
    counted.feed_pages(&stream[..stream.len() - 1]).unwrap();
    assert!(matches!(
        counted.answer(0, 0),
        Err(Error::Truncated {
            stream: "pages",
            ..
        })
    ));
    counted.feed_pages(&stream[stream.len() - 1..]).unwrap();
    assert!(counted.answer(0, 0).is_ok());
}

/// The reason of an error. Chunks do not change it, though they change the place, which is where reading began.
fn refusal(feed: Feed, stream: &[u8]) -> String {
    let reason = |chunk| match feed_all(feed, stream, chunk) {
        Err(Error::Malformed { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(5), reason(stream.len()));
    reason(5)
}

fn users(columns: &[(&str, Values)]) -> String {
    refusal(USERS, &block(columns))
}

#[test]
fn columns_must_be_the_ones_of_the_stream() {
    let keys = || Values::U64(vec![1]);
    assert_eq!(
        users(&[("user_key", Values::U32(vec![1]))]),
        "column user_key is \"UInt32\", not UInt64"
    );
    assert_eq!(
        users(&[("user_key", keys()), ("user_key", keys())]),
        "column \"user_key\" comes twice"
    );
    assert_eq!(users(&[("USER", keys())]), "unexpected column \"USER\"");
    assert_eq!(
        refusal(Feed::Names, &block(&[("page_key", keys())])),
        "column url is missing"
    );
    assert_eq!(
        refusal(Feed::Names, &block(&[("page_key", Values::U64(vec![]))])),
        "column url is missing"
    );
    let odd = format!("a\u{1b}[31m{}", "x".repeat(99));
    assert_eq!(
        users(&[(&odd, keys())]),
        format!("unexpected column \"a\\u{{1b}}[31m{}…\"", "x".repeat(34))
    );
}

#[test]
fn an_error_text_in_place_of_a_block_is_refused() {
    for text in [
        &b"Code: 241. DB::Exception: Memory limit"[..],
        b"__exception__\r\n",
        b"<html>",
    ] {
        for feed in FEEDS {
            assert!(refusal(feed, text).starts_with("a block of "));
        }
    }
}

#[test]
fn counts_in_headers_have_limits() {
    let header = |numbers: &[u64]| {
        let mut out = Vec::new();
        for &number in numbers {
            put_varuint(&mut out, number);
        }
        out
    };
    let refused = |stream: &[u8]| refusal(Feed::Names, stream);
    assert_eq!(
        refused(&header(&[25])),
        "a block of 25 columns: at most 24 are accepted"
    );
    assert_eq!(
        refused(&header(&[2, 1 << 40])),
        "a block of 1099511627776 rows: at most 4194304 are accepted"
    );
    assert_eq!(
        refused(&header(&[2, 1, u64::MAX])),
        format!("a string of {} bytes: at most 256 are accepted", u64::MAX)
    );
    assert_eq!(refused(&[0xff; 11]), "a count of more than 64 bits");
    assert_eq!(refused(&header(&[0, 1])), "column page_key is missing");
    let mut url = header(&[2, 1]);
    put_string(&mut url, b"url");
    put_string(&mut url, b"String");
    url.extend(header(&[(1 << 20) + 1]));
    assert_eq!(
        refused(&url),
        "column url: a string of 1048577 bytes: at most 1048576 are accepted"
    );
}

#[test]
fn a_block_without_columns_and_rows_is_empty() {
    for feed in FEEDS {
        assert_eq!(feed_all(feed, &[0; 6], 1), Ok(()));
        assert!(matches!(
            feed_all(feed, &[0; 5], 1),
            Err(Error::Truncated { at: 5, .. })
        ));
    }
}

fn arrays(offsets: &[u64]) -> String {
    let mut stream = Vec::new();
    put_varuint(&mut stream, 1);
    put_varuint(&mut stream, offsets.len() as u64);
    put_string(&mut stream, b"page_keys");
    put_string(&mut stream, b"Array(UInt64)");
    stream.extend(offsets.iter().flat_map(|offset| offset.to_le_bytes()));
    refusal(CONVERSIONS, &stream)
}

#[test]
fn array_offsets_must_rise_in_measure() {
    assert_eq!(
        arrays(&[3, 2]),
        "column page_keys: array offsets fall from 3 to 2"
    );
    assert_eq!(
        arrays(&[u64::MAX]),
        format!(
            "column page_keys: an array of {} elements: at most 1048576 are accepted",
            u64::MAX
        )
    );
    let steps: Vec<u64> = (1..=257).map(|row| row << 20).collect();
    assert_eq!(
        arrays(&steps),
        "column page_keys: 269484032 array elements in a block: at most 268435456 are accepted"
    );
}

fn one_conversion() -> support::Conversion {
    support::Conversion {
        page: 1,
        assist_views: 1,
        matches: true,
    }
}

/// A session of one view with one conversion, with some columns replaced.
fn conversion(replaced: &[(&str, Values)]) -> Vec<u8> {
    let session = support::Session {
        conversions: vec![one_conversion()],
        ..session(1, 12, "s", 1)
    };
    let mut columns = streams::conversion_columns(&[&&session], false);
    for (name, values) in replaced {
        let column = columns.iter_mut().find(|(column, _)| column == name);
        column.unwrap().1 = values.clone();
    }
    block(&columns)
}

#[test]
fn rows_must_agree_with_themselves() {
    let refused = |replaced: &[(&str, Values)]| refusal(CONVERSIONS, &conversion(replaced));
    assert_eq!(
        refused(&[("assist_views", Values::U32s(vec![vec![2]]))]),
        "2 page views assist a conversion in a session of 1"
    );
    assert_eq!(
        refused(&[("assist_views", Values::U32s(vec![vec![]]))]),
        "a row of 1 conversions has 1 conversion_keys and 0 assist_views"
    );
    assert_eq!(
        refused(&[("conversions", Values::U32(vec![3]))]),
        "a row of 3 conversions has 1 conversion_keys and 1 assist_views"
    );
    assert_eq!(
        refused(&[("included", Values::U8(vec![2]))]),
        "column included holds 2, neither 0 nor 1"
    );
    // The arrays of a row that is not included are not looked at.
    let evidence = [
        ("included", Values::U8(vec![0])),
        ("assist_views", Values::U32s(vec![vec![9]])),
    ];
    assert_eq!(feed_all(CONVERSIONS, &conversion(&evidence), 9), Ok(()));
}

#[test]
fn moments_come_whole_and_where_they_are_needed() {
    let session = session(1, 12, "s", 1);
    let undated = block(&streams::session_columns(&[&&session], false));
    let without = |column: &str| {
        let mut columns = streams::session_columns(&[&&session], true);
        columns.retain(|(name, _)| *name != column);
        block(&columns)
    };
    for column in ["started_at", "session_key"] {
        assert_eq!(
            refusal(SESSIONS, &without(column)),
            "columns started_at and session_key come together, and written_at with them"
        );
    }
    assert_eq!(
        refusal(SESSIONS, &undated),
        "the touch scope needs columns started_at and session_key"
    );
    assert_eq!(feed_all(SESSIONS, &without("included"), 9), Ok(()));
    for scope in [Scope::Any, Scope::Converting] {
        let mut tally = Tally::new(scope, false);
        tally.feed_sessions(&undated).unwrap();
        tally.finish_unit().unwrap();
    }
}

#[test]
fn included_may_stand_alone_in_any() {
    let session = session(1, 12, "s", 1);
    let mut any = Tally::new(Scope::Any, false);
    for included in [0, 1, 0] {
        let mut columns = streams::session_columns(&[&&session], false);
        columns.push(("included", Values::U8(vec![included])));
        any.feed_sessions(&block(&columns)).unwrap();
    }
    any.finish_unit().unwrap();
    assert_eq!(any.totals().sessions, 1);
}

#[test]
fn versions_come_whole() {
    let version = support::Version {
        session: session(1, 12, "s", 1),
        written_at: 1,
    };
    let complete = streams::version_columns(&[&&version]);
    let without = |left_out: &[&str]| {
        let mut columns = complete.clone();
        columns.retain(|(name, _)| !left_out.contains(name));
        block(&columns)
    };
    for columns in [
        &["session_key"][..],
        &["started_at"],
        &["started_at", "session_key"],
    ] {
        assert_eq!(
            refusal(SESSIONS, &without(columns)),
            "columns started_at and session_key come together, and written_at with them"
        );
    }
    for columns in [&["converting"][..], &["gone"], &["written_at"]] {
        assert_eq!(
            refusal(SESSIONS, &without(columns)),
            "columns converting and gone come with versions whose keys are whole"
        );
    }
    for name in ["converting", "gone", "included"] {
        let mut columns = complete.clone();
        let column = columns.iter_mut().find(|(column, _)| *column == name);
        column.unwrap().1 = Values::U8(vec![2]);
        assert_eq!(
            refusal(SESSIONS, &block(&columns)),
            format!("column {name} holds 2, neither 0 nor 1")
        );
    }
    // A key may come alone: it puts the session in order, and replaces nothing.
    let stream = without(&["written_at", "converting", "gone"]);
    assert_eq!(feed_all(SESSIONS, &stream, 9), Ok(()));
}
