//! Any bytes, in chunks of any size, fed to any stream, bring an error or an answer, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pageroles_core::{Scope, Tally};

fuzz_target!(|input: &[u8]| {
    let [question, size, stream @ ..] = input else {
        return;
    };
    let Ok(scope) = Scope::from_number(i64::from(question % 6)) else {
        return;
    };
    let conversion_filter = *question >= 128;
    let feeds = [
        Tally::feed_sessions,
        Tally::feed_conversions,
        Tally::feed_users,
        Tally::feed_pages,
    ];
    let feed = feeds[usize::from(question / 6) % feeds.len()];
    let size = usize::from(*size).max(1);
    let mut in_chunks = Tally::new(scope, conversion_filter);
    let mut at_once = Tally::new(scope, conversion_filter);

    let cut = stream
        .chunks(size)
        .try_for_each(|chunk| feed(&mut in_chunks, chunk));
    let whole = feed(&mut at_once, stream);
    assert_eq!(cut.is_ok(), whole.is_ok());
    // Errors may name different places: an error's place is where the reader began its item.
    assert_eq!(
        in_chunks.finish_units().is_ok(),
        at_once.finish_units().is_ok(),
        "cut every {size} bytes"
    );
    assert_eq!(in_chunks.totals(), at_once.totals());
    assert_eq!(in_chunks.page_keys(), at_once.page_keys());
    if let Ok(answer) = at_once.answer(0, 0) {
        let _ = answer.whole(at_once.snapshot());
    }
});
