//! Memory is in proportion to the bytes that came, whatever the headers announce.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
#![allow(clippy::struct_field_names, reason = "the contract's names")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use pageroles_core::{Scope, Tally};
use proptest::prelude::*;
use support::blocks::{Values, block, put_string, put_varuint};

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises, which are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the promises, which are the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A page of one row, 8 bytes of a stream, takes a number, an entry in a table and a row of counts on either side.
/// Tables grow by doubling.
const BYTES_PER_BYTE: usize = 32;
const CONSTANT: usize = 1 << 16;
/// What a tally takes for its first session: the first slab of rows (`group`), of 2^15 rows of 48 bytes.
const SLAB: usize = 48 << 15;

/// Feeds a stream to every feed, and compares the memory used with the bound.
fn check(stream: &[u8]) {
    check_from(stream, CONSTANT);
}

fn check_from(stream: &[u8], constant: usize) {
    for feed in [
        Tally::feed_sessions,
        Tally::feed_conversions,
        Tally::feed_users,
    ] {
        check_use(stream, constant, || {
            let mut tally = Tally::new(Scope::Any, false);
            let mut chunks = stream.chunks(4096);
            let _ = chunks.try_for_each(|chunk| feed(&mut tally, chunk));
            let _ = tally.finish_unit();
            let _ = tally.take().map(|counted| counted.missing_pages());
        });
    }
    check_use(stream, constant, || {
        let mut counted = Tally::new(Scope::Any, false).take().unwrap();
        let mut chunks = stream.chunks(4096);
        let _ = chunks.try_for_each(|chunk| counted.feed_pages(chunk));
        let answer = counted.answer(0, 0);
        let _ = answer.map(|answer| counted.read(|snapshot| answer.whole(snapshot)));
    });
}

fn check_use(stream: &[u8], constant: usize, run: impl FnOnce()) {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    run();
    let used = PEAK.load(Ordering::Relaxed) - before;
    let bound = constant + BYTES_PER_BYTE * stream.len();
    assert!(
        used <= bound,
        "{} bytes of a stream took {used}",
        stream.len()
    );
}

fn lies(column: &str, type_name: &str, rows: u64, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varuint(&mut out, 1);
    put_varuint(&mut out, rows);
    put_string(&mut out, column.as_bytes());
    put_string(&mut out, type_name.as_bytes());
    out.extend(data);
    out
}

/// Every version of a session for each key.
fn dated(keys: &[u64]) -> Vec<u8> {
    let mut columns = Vec::new();
    for name in ["landing_key", "exit_key", "before_exit_key", "session_key"] {
        columns.push((name, Values::U64(keys.to_vec())));
    }
    for name in ["started_at", "written_at"] {
        columns.push((name, Values::I64(vec![0; keys.len()])));
    }
    for name in ["converting", "gone"] {
        columns.push((name, Values::U8(vec![0; keys.len()])));
    }
    columns.push(("user_key", Values::U64(keys.to_vec())));
    block(&columns)
}

/// Sessions that viewed so many pages each, all pages different, and converted on each.
fn conversions(keys: &[u64], views: usize) -> Vec<u8> {
    let sessions = keys.chunks(views);
    let mut columns = Vec::new();
    for name in [
        "user_key",
        "landing_key",
        "exit_key",
        "before_exit_key",
        "session_key",
    ] {
        columns.push((
            name,
            Values::U64(sessions.clone().map(|keys| keys[0]).collect()),
        ));
    }
    let lengths = sessions
        .clone()
        .map(|keys| u32::try_from(keys.len()).unwrap());
    let pages = || Values::U64s(sessions.clone().map(<[u64]>::to_vec).collect());
    let assists = lengths.clone().map(|length| vec![length; length as usize]);
    columns.extend([
        ("started_at", Values::I64(vec![0; sessions.len()])),
        ("included", Values::U8(vec![1; sessions.len()])),
        ("conversions", Values::U32(lengths.collect())),
        ("page_keys", pages()),
        ("conversion_keys", pages()),
        ("assist_views", Values::U32s(assists.collect())),
    ]);
    block(&columns)
}

/// There is one test only, because the counters belong to the process.
#[test]
fn memory_follows_the_bytes_that_came() {
    let most = 1 << 22;
    check(&lies("user_key", "UInt64", most, &[0; 64]));
    check(&lies("url", "String", most, &[0; 64]));
    let mut long_string = Vec::new();
    put_varuint(&mut long_string, 1 << 20);
    check(&lies("url", "String", 1, &long_string));
    check(&lies("page_keys", "Array(UInt64)", most, &[0; 64]));
    check(&lies(
        "page_keys",
        "Array(UInt64)",
        1,
        &(1_u64 << 20).to_le_bytes(),
    ));

    let keys: Vec<u64> = (1..200_000_u64)
        .map(|key| key.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .collect();
    let zeros = vec![0; keys.len()];
    check(&block(&[
        ("user_key", Values::U64(zeros.clone())),
        ("landing_key", Values::U64(keys.clone())),
        (
            "exit_key",
            Values::U64(keys.iter().map(|key| !key).collect()),
        ),
        (
            "before_exit_key",
            Values::U64(keys.iter().map(|key| key.rotate_left(9)).collect()),
        ),
    ]));
    check_from(&dated(&keys[..1]), CONSTANT + SLAB);
    check(&conversions(&keys[..1], 1));
    check(&dated(&keys[..50_000]));
    check(&conversions(&keys[..50_000], 1));
    check(&conversions(&keys[..50_000], 50_000));
    check(&block(&[("user_key", Values::U64(keys.clone()))]));
    check(&block(&[
        ("page_key", Values::U64(keys)),
        ("url", Values::Text(vec![vec![]; zeros.len()])),
    ]));

    let mut noise = proptest::test_runner::TestRunner::new(support::config());
    noise
        .run(&proptest::collection::vec(any::<u8>(), 0..2000), |bytes| {
            check(&bytes);
            Ok(())
        })
        .unwrap();
}
