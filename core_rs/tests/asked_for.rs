//! What an answer carries where it is asked for: how the sessions add up, and its first rows alone.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
#![allow(clippy::struct_field_names, reason = "the contract's names")]

#[path = "support/as_json.rs"]
mod as_json;
mod support;

use as_json::{balance_json, count_json};
use pageroles_core::{JsonAnswer, Tally};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::messages::{Page, RoleCount};
use support::streams::Streams;
use support::tallies::{decoded, empty, feed_unit, named, whole};
use support::{END_MS, Question, START_MS, Session, oracle, questions, worlds};

/// The tally of a world whose users are shared out among some tallies, which are merged.
fn shared_out(
    world: &[Session],
    question: Question,
    tallies: u64,
    with: impl Fn(Tally) -> Tally,
) -> Tally {
    let mut all = with(empty(question));
    for nth in 0..tallies {
        let users = |session: &&Session| session.user % tallies == nth;
        let part: Vec<Session> = world.iter().filter(users).cloned().collect();
        let mut tally = with(empty(question));
        feed_unit(&mut tally, &Streams::of(&part, question));
        all.merge(&mut tally).unwrap();
    }
    all
}

fn balanced(world: &[Session], question: Question, tallies: u64) -> Tally {
    shared_out(world, question, tallies, Tally::with_balance)
}

fn sessions_of(pages: &[Page], role: impl Fn(&Page) -> Option<RoleCount>) -> u64 {
    (pages.iter())
        .map(|page| role(page).unwrap().sessions)
        .sum()
}

fn json_of(messages: &[Vec<u8>]) -> Value {
    let mut answer = JsonAnswer::default();
    let mut bytes = Vec::new();
    for message in messages {
        bytes.extend(answer.feed(message).unwrap());
    }
    bytes.extend(answer.finish().unwrap());
    serde_json::from_slice(&bytes).unwrap()
}

proptest! {
    #![proptest_config(support::config())]

    #[test]
    fn a_balance_is_that_of_the_sessions_and_adds_up(world in worlds(), tallies in 1_u64..3) {
        for question in questions() {
            let answer = decoded(&whole(&mut named(balanced(&world, question, tallies))));
            let balance = answer.balance.clone().unwrap();
            prop_assert_eq!(&balance, &oracle::balance(&world, question));
            let expected = oracle::answer(&world, question);
            prop_assert_eq!(&answer.summary_totals, &expected.summary_totals);
            prop_assert_eq!(&answer.message, &expected.message);

            let sessions = |count: Option<RoleCount>| count.unwrap().sessions;
            let (converting, dropping_off) = (sessions(balance.converting), sessions(balance.dropping_off));
            prop_assert_eq!(sessions(balance.included) + sessions(balance.both), converting + dropping_off);
            let (conversions, drop_offs) = (&answer.conversion_performance, &answer.drop_off_performance);
            prop_assert_eq!(
                sessions_of(conversions, |page| page.landing) + sessions(balance.converting_without_views),
                converting
            );
            for role in [|page: &Page| page.first, |page: &Page| page.landing] {
                prop_assert_eq!(
                    sessions_of(drop_offs, role) + sessions(balance.dropping_off_without_views),
                    dropping_off
                );
            }
        }
    }

    #[test]
    fn rows_have_the_sessions_that_landed_on_them(world in worlds(), tallies in 1_u64..4) {
        for question @ (scope, _) in questions() {
            let counts_itself = matches!(scope, 2 | 4 | 5);
            let mut counted = named(shared_out(&world, question, tallies, |tally| {
                if counts_itself { tally.with_landings() } else { tally }
            }));
            if !counts_itself {
                // Sessions that the question leaves out count, too.
                let mut all = shared_out(&world, (0, false), tallies, Tally::with_landings);
                counted.take_landings(&all.take().unwrap());
            }
            let bytes = whole(&mut counted);
            let answer = decoded(&bytes);
            let expected = oracle::landed(&world, question);
            let json = json_of(&[bytes]);
            let lists = [&answer.conversion_performance, &answer.drop_off_performance];
            for (name, rows) in ["conversion_performance", "drop_off_performance"].iter().zip(lists) {
                for (nth, row) in rows.iter().enumerate() {
                    let landed = row.landed.unwrap();
                    prop_assert_eq!(landed, expected.get(&row.url).copied().unwrap_or_default(), "{}", row.url);
                    prop_assert_eq!(&json[*name][nth]["landing"], &count_json(Some(landed)));
                }
            }
            // All else is what it was.
            let mut bare = answer.clone();
            for row in bare.conversion_performance.iter_mut().chain(&mut bare.drop_off_performance) {
                row.landed = None;
            }
            prop_assert_eq!(bare, oracle::answer(&world, question));
        }
    }

    #[test]
    fn a_limit_leaves_the_first_rows_and_says_how_many_it_omits(world in worlds(), limit in 0_usize..5) {
        for question in questions() {
            let mut counted = named(balanced(&world, question, 1));
            let all = decoded(&whole(&mut counted));
            let mut limited = counted.answer(START_MS, END_MS).unwrap().limited_to(limit);
            let bytes = counted.read(|snapshot| limited.whole(snapshot));
            let mut expected = all.clone();
            expected.conversion_performance.truncate(limit);
            expected.drop_off_performance.truncate(limit);
            let mut answer = decoded(&bytes);
            let omitted = answer.omitted.take();
            prop_assert_eq!(&answer, &expected);
            if all.message.is_empty() {
                let omitted = omitted.clone().unwrap();
                prop_assert_eq!(
                    [omitted.conversion_performance, omitted.drop_off_performance],
                    [&all.conversion_performance, &all.drop_off_performance]
                        .map(|rows| rows.len().saturating_sub(limit) as u64)
                );
            } else {
                prop_assert_eq!(&omitted, &None, "nothing is left out of an empty answer");
            }

            // In the JSON both come last, however the messages are cut, and wherever in them they stand.
            let mut messages = Vec::new();
            while let Some(message) = counted.read(|snapshot| limited.next_message(snapshot, 100)) {
                messages.push(message);
            }
            let json = json_of(&messages);
            prop_assert_eq!(&json, &json_of(&[bytes]));
            let mut in_order = answer.clone();
            in_order.omitted = omitted.clone();
            prop_assert_eq!(&json, &json_of(&[prost::Message::encode_to_vec(&in_order)]));
            prop_assert_eq!(&json["balance"], &balance_json(&answer.balance.unwrap()));
            prop_assert_eq!(
                &json["omitted"],
                &omitted.map_or(Value::Null, |omitted| json!({
                    "conversion_performance": omitted.conversion_performance,
                    "drop_off_performance": omitted.drop_off_performance,
                }))
            );
        }
    }
}
