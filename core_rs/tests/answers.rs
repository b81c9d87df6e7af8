//! Messages and the names in them.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
#![allow(clippy::struct_field_names, reason = "the contract's names")]

mod support;

use pageroles_core::{Counted, Error, KeyWidth, Tally};
use proptest::prelude::*;
use prost::Message;
use support::blocks::{Values, block};
use support::messages::PagesResponse;
use support::streams::{self, Streams};
use support::tallies::{decoded, empty, feed_unit, named, tally_of, whole};
use support::{
    END_MS, Form, Question, START_MS, Session, oracle, page, questions, session, worked_case,
    worlds, written_once,
};

const ANY: Question = (0, false);

proptest! {
    #![proptest_config(support::config())]

    #[test]
    fn messages_say_what_the_whole_says(world in worlds(), max_bytes in 0_usize..300) {
        for question in questions() {
            let mut counted = named(tally_of(&world, question));
            let whole = whole(&mut counted);
            let mut answer = counted.answer(START_MS, END_MS).unwrap();
            let mut next = || counted.read(|snapshot| answer.next_message(snapshot, max_bytes));
            let head = next().unwrap();
            let decoded = PagesResponse::decode(&head[..]).unwrap();
            prop_assert!(decoded.conversion_performance.is_empty());
            prop_assert!(decoded.drop_off_performance.is_empty());
            let mut joined = head;
            while let Some(message) = next() {
                let rows = PagesResponse::decode(&message[..]).unwrap();
                let rows = rows.conversion_performance.len() + rows.drop_off_performance.len();
                prop_assert!(rows == 1 || (rows > 1 && message.len() <= max_bytes));
                joined.extend(message);
            }
            prop_assert_eq!(joined, whole);
            prop_assert_eq!(next(), None);
        }
    }
}

#[test]
fn times_before_the_epoch_round_down() {
    let mut counted = named(tally_of(&worked_case(), ANY));
    for (start, end) in [
        (-1, 0),
        (-1000, -999),
        (i64::MIN, i64::MAX),
        (1, 1_751_328_000_999),
    ] {
        let answer = counted.answer(start, end).unwrap();
        let bytes = counted.read(|snapshot| answer.whole(snapshot));
        let answer = decoded(&bytes);
        let time_frame = answer.time_frame.unwrap();
        assert_eq!(time_frame.start, Some(oracle::timestamp(start)));
        assert_eq!(time_frame.end, Some(oracle::timestamp(end)));
        assert_eq!(bytes, answer.encode_to_vec());
    }
}

#[test]
fn names_that_are_no_utf8_are_replaced_and_stay_in_order() {
    let mut counted = tally_of(&worked_case()[..1], ANY).take().unwrap();
    let keys = [page::HOME, page::FEATURES, page::PRICING];
    let urls = [b"\xff".to_vec(), b"\xfe".to_vec(), vec![]];
    let names = block(&[
        ("page_key", Values::U64(keys.to_vec())),
        ("url", Values::Text(urls.to_vec())),
    ]);
    counted.feed_pages(&names).unwrap();
    let bytes = whole(&mut counted);
    let answer = decoded(&bytes);
    let urls: Vec<_> = answer
        .drop_off_performance
        .iter()
        .map(|row| &row.url[..])
        .collect();
    assert_eq!(urls, ["", "\u{fffd}", "\u{fffd}"]);
    assert_eq!(bytes, answer.encode_to_vec());
}

#[test]
fn an_answer_needs_all_names() {
    let mut counted = tally_of(&worked_case(), ANY).take().unwrap();
    let keys = counted.page_keys();
    assert_eq!((keys.len(), counted.page_count()), (5, 5));
    assert_eq!(counted.missing_pages(), keys);
    counted.feed_pages(&streams::pages(&keys[1..])).unwrap();
    assert_eq!(counted.missing_pages(), keys[..1]);
    assert_eq!(counted.answer(0, 0).unwrap_err(), Error::Unnamed(1));
    counted.feed_pages(&streams::pages(&keys[..1])).unwrap();
    assert_eq!(counted.missing_pages(), []);
    assert_eq!(counted.totals(), tally_of(&worked_case(), ANY).totals());
    assert!(counted.answer(0, 0).is_ok());
}

/// A page has a role only where sessions count.
#[test]
fn pages_without_a_role_need_no_name() {
    let mut world = worked_case();
    for session in &mut world[1..] {
        session.passes = false;
    }
    let counted = tally_of(&world, ANY).take().unwrap();
    let mut keys = counted.page_keys();
    keys.sort_unstable();
    assert_eq!(keys, [page::HOME, page::FEATURES, page::PRICING]);
}

#[test]
fn a_page_keeps_its_first_name() {
    let mut counted = tally_of(&[session(1, 12, "s", page::HOME)], ANY)
        .take()
        .unwrap();
    for url in ["/one", "/other"] {
        let names = block(&[
            ("page_key", Values::U64(vec![page::HOME])),
            ("url", Values::Text(vec![url.into()])),
        ]);
        counted.feed_pages(&names).unwrap();
    }
    let answer = decoded(&whole(&mut counted));
    assert_eq!(answer.drop_off_performance[0].url, "/one");
}

/// The counts of a session on a page, by the leading bits of its key.
fn of_leading_bits(page: u64) -> Tally {
    let history = written_once(&[session(1, 12, "s", page)]);
    let mut tally = empty(ANY).with_keys(KeyWidth::Leading);
    feed_unit(
        &mut tally,
        &Streams::of_history(&history, ANY, Form::PACKED),
    );
    tally
}

#[test]
fn two_pages_with_the_same_leading_bits_are_noticed() {
    let page = 9 << 22;
    let counted = || -> Counted {
        let counted = of_leading_bits(page).take().unwrap();
        assert_eq!(counted.missing_pages(), [9]);
        counted
    };
    let mut once = counted();
    for names in [&[page][..], &[page, 10 << 22]] {
        once.feed_pages(&streams::pages(names)).unwrap();
    }
    for names in [&[page, page + 1][..], &[page, 1], &[7]] {
        let mut counted = counted();
        let refused = counted.feed_pages(&streams::pages(names));
        assert_eq!(refused, Err(Error::Ambiguous), "{names:?}");
        assert_eq!(counted.answer(0, 0).unwrap_err(), Error::Ambiguous);
    }
}

/// Such a page has no number. So no name of it is missed, and an answer that asked for names alone would leave it out.
#[test]
fn a_page_without_leading_bits_is_noticed() {
    let converting = Session {
        conversions: worked_case()[1].conversions.clone(),
        ..session(1, 12, "s", 0)
    };
    let streams = Streams::of(&[converting], ANY);
    let counted = |merged: bool| {
        let mut tally = empty(ANY).with_keys(KeyWidth::Leading);
        tally.feed_conversions(&streams.conversions).unwrap();
        tally.finish_unit().unwrap();
        if merged {
            let mut whole = of_leading_bits(9 << 22);
            whole.merge(&mut tally).unwrap();
            tally = whole;
        }
        tally.take().unwrap()
    };
    assert_eq!(counted(false).missing_pages(), []);
    assert_eq!(counted(false).answer(0, 0).unwrap_err(), Error::Ambiguous);
    assert_eq!(counted(true).answer(0, 0).unwrap_err(), Error::Ambiguous);
}
