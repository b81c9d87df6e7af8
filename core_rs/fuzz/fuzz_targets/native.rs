//! Any bytes, in chunks of any size, fed to any stream, bring an error or an answer, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pageroles_core::{Counted, KeyWidth, Scope, Tally};

fn answer(counted: &mut Counted) -> Option<Vec<u8>> {
    let answer = counted.answer(0, 0).ok()?;
    Some(counted.read(|snapshot| answer.whole(snapshot)))
}

fuzz_target!(|input: &[u8]| {
    let [question, size, stream @ ..] = input else {
        return;
    };
    let Ok(scope) = Scope::from_number(i64::from(question % 6)) else {
        return;
    };
    let conversion_filter = *question >= 128;
    let width = if size.is_multiple_of(2) {
        KeyWidth::Whole
    } else {
        KeyWidth::Leading
    };
    let empty = || Tally::with_seed(scope, conversion_filter, 0x5eed).with_keys(width);
    let chunks = || stream.chunks(usize::from(*size).max(1));
    let feeds = [
        Tally::feed_sessions,
        Tally::feed_conversions,
        Tally::feed_users,
    ];
    let (mut in_chunks, mut at_once) = (empty(), empty());
    let Some(feed) = feeds.get(usize::from(question / 6) % (feeds.len() + 1)) else {
        let names = |mut tally: Tally| tally.take().expect("no unit is open");
        let (mut in_chunks, mut at_once) = (names(in_chunks), names(at_once));
        let cut = chunks().try_for_each(|chunk| in_chunks.feed_pages(chunk));
        assert_eq!(cut.is_ok(), at_once.feed_pages(stream).is_ok());
        assert_eq!(answer(&mut in_chunks), answer(&mut at_once));
        return;
    };

    let cut = chunks().try_for_each(|chunk| feed(&mut in_chunks, chunk));
    let whole = feed(&mut at_once, stream);
    assert_eq!(cut.is_ok(), whole.is_ok());
    // Errors may name different places: an error's place is where the reader began its item.
    let is_finished = at_once.finish_unit().is_ok();
    assert_eq!(
        in_chunks.finish_unit().is_ok(),
        is_finished,
        "cut every {size} bytes"
    );
    assert_eq!(in_chunks.totals(), at_once.totals());
    if is_finished {
        let counted = |mut tally: Tally| tally.take().expect("the unit is finished");
        let (mut in_chunks, mut at_once) = (counted(in_chunks), counted(at_once));
        assert_eq!(in_chunks.page_keys(), at_once.page_keys());
        assert_eq!(answer(&mut in_chunks), answer(&mut at_once));
    }
});
