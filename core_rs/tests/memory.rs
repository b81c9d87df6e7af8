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
const BYTES_PER_BYTE: usize = 64;
const CONSTANT: usize = 1 << 16;

/// Feeds a stream to every feed, and compares the memory used with the bound.
fn check(stream: &[u8]) {
    let feeds = [
        Tally::feed_sessions,
        Tally::feed_conversions,
        Tally::feed_users,
        Tally::feed_pages,
    ];
    for feed in feeds {
        let before = NOW.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let mut tally = Tally::new(Scope::Any, false);
        let _ = stream
            .chunks(4096)
            .try_for_each(|chunk| feed(&mut tally, chunk));
        let _ = tally.finish_units();
        let _ = tally
            .answer(0, 0)
            .map(|answer| answer.whole(tally.snapshot()));
        let used = PEAK.load(Ordering::Relaxed) - before;
        let bound = CONSTANT + BYTES_PER_BYTE * stream.len();
        assert!(
            used <= bound,
            "{} bytes of a stream took {used}",
            stream.len()
        );
    }
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
