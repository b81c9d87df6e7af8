//! The counts against a naive reading of the same world, in whatever units, chunks and forms the rows come.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
#![allow(clippy::struct_field_names, reason = "the contract's names")]

mod support;

use pageroles_core::Tally;
use proptest::prelude::*;
use support::crowds::{BLOCK, Crowd, mixed};
use support::streams::{self, Streams};
use support::tallies::{
    count, empty, empty_of, feed_unit, make_leading, response, response_of, same, whole,
};
use support::{Form, Session, Version, forms, histories, oracle, questions, worlds};

/// The users of each unit, from none to all of them.
fn units(world: &[Session], units: u64) -> Vec<Vec<Session>> {
    (0..units)
        .map(|unit| {
            let of_unit = |session: &&Session| session.user % units == unit;
            world.iter().filter(of_unit).cloned().collect()
        })
        .collect()
}

/// The same sessions of other users.
fn shifted(world: &[Session]) -> Vec<Session> {
    let mut world = world.to_vec();
    for session in &mut world {
        session.user ^= 1 << 40;
    }
    world
}

fn cut<'a>(mut stream: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    sizes.iter().cycle().map_while(move |&size| {
        let (chunk, rest) = stream.split_at(size.min(stream.len()));
        stream = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

proptest! {
    #![proptest_config(support::config())]

    #[test]
    fn counts_are_those_of_a_naive_reading(world in worlds()) {
        for question in questions() {
            same(&count(&world, question), &oracle::answer(&world, question), question);
        }
    }

    #[test]
    fn the_last_version_of_a_session_counts(history in histories(), form in forms()) {
        let world = oracle::last_written(&history);
        for question in questions() {
            let expected = oracle::answer(&world, question);
            let mut tally = empty(question);
            feed_unit(&mut tally, &Streams::of_history(&history, question, form));
            same(&response(tally), &expected, question);
        }
    }

    #[test]
    fn units_and_merged_tallies_are_the_whole(world in worlds(), parts in 1_u64..5) {
        for question in questions() {
            let mut tallies = [empty(question), empty(question)];
            for (number, unit) in units(&world, parts).iter().enumerate() {
                feed_unit(&mut tallies[number % 2], &Streams::of(unit, question));
            }
            let [mut whole, mut other] = tallies;
            let rows = [whole.rows(), other.rows()];
            whole.merge(&mut other).unwrap();
            prop_assert_eq!(rows.iter().sum::<u64>(), whole.rows());
            prop_assert!(whole.rows() >= whole.totals().sessions);
            same(&response(whole), &oracle::answer(&world, question), question);
            same(&response(other), &oracle::answer(&[], question), question);
        }
    }

    #[test]
    fn units_may_be_begun_with_their_users(
        history in histories(),
        form in forms(),
        packed in any::<bool>(),
        cuts in prop::collection::btree_set(0_u64..8, 0..4),
        begun in any::<u8>(),
    ) {
        let mut history = history;
        if packed {
            for version in &mut history {
                make_leading(&mut version.session);
            }
        }
        let form = Form { packed, ..form };
        let world = oracle::last_written(&history);
        let firsts: Vec<u64> = std::iter::once(0).chain(cuts.into_iter().map(|cut| cut + 1)).collect();
        let lasts = firsts.iter().skip(1).map(|next| next - 1).chain([u64::MAX]);
        for question in questions() {
            let mut tally = empty_of(form, question);
            for (number, (&first, last)) in firsts.iter().zip(lasts.clone()).enumerate() {
                let of_unit = history.iter().filter(|version| (first..=last).contains(&version.session.user));
                let of_unit: Vec<Version> = of_unit.cloned().collect();
                if begun >> number & 1 == 1 {
                    tally.begin_unit(first, last).unwrap();
                }
                feed_unit(&mut tally, &Streams::of_history(&of_unit, question, form));
            }
            same(&response_of(form, tally), &oracle::answer(&world, question), question);
        }
    }

    #[test]
    fn leading_bits_of_keys_count_the_same(
        history in histories(),
        form in forms(),
        all_pass in any::<bool>(),
    ) {
        let mut history = history;
        for version in &mut history {
            version.session.passes |= all_pass;
            make_leading(&mut version.session);
        }
        let world = oracle::last_written(&history);
        let form = Form { packed: true, ..form };
        for question in questions() {
            let mut tally = empty_of(form, question);
            feed_unit(&mut tally, &Streams::of_history(&history, question, form));
            same(&response_of(form, tally), &oracle::answer(&world, question), question);
        }
    }

    #[test]
    fn a_merged_tally_counts_on(
        world in worlds(),
        question in prop::sample::select(questions().collect::<Vec<_>>()),
    ) {
        let mut whole = empty(question);
        for unit in units(&world, 4) {
            let mut other = empty(question);
            feed_unit(&mut whole, &Streams::default());
            feed_unit(&mut other, &Streams::of(&unit, question));
            whole.merge(&mut other).unwrap();
            // The emptied tally works like a new one.
            prop_assert_eq!(other.totals(), empty(question).totals());
        }
        let mut twice = empty(question);
        for unit in units(&world, 4) {
            feed_unit(&mut whole, &Streams::of(&shifted(&unit), question));
            feed_unit(&mut twice, &Streams::of(&unit, question));
            feed_unit(&mut twice, &Streams::of(&shifted(&unit), question));
        }
        prop_assert_eq!(response(whole), response(twice));
    }

    #[test]
    fn chunks_may_cut_anywhere_and_streams_take_turns(
        world in worlds(),
        sizes in prop::collection::vec(1_usize..40, 1..8),
    ) {
        type Feed = fn(&mut Tally, &[u8]) -> pageroles_core::Result<()>;
        for question in questions() {
            let streams = Streams::of(&world, question);
            let feeds: [(Feed, _); 3] = [
                (Tally::feed_conversions, &streams.conversions),
                (Tally::feed_sessions, &streams.sessions),
                (Tally::feed_users, &streams.users),
            ];
            let mut turns = feeds.map(|(feed, stream)| (feed, cut(stream, &sizes)));
            let mut tally = empty(question);
            loop {
                let fed = turns.iter_mut().filter_map(|(feed, chunks)| {
                    chunks.next().map(|chunk| feed(&mut tally, chunk).unwrap())
                });
                if fed.count() == 0 {
                    break;
                }
            }
            tally.finish_unit().unwrap();
            let mut counted = tally.take().unwrap();
            let names = streams::pages(&counted.missing_pages());
            for chunk in cut(&names, &sizes) {
                counted.feed_pages(chunk).unwrap();
            }
            same(&whole(&mut counted), &oracle::answer(&world, question), question);
        }
    }
}

/// Checks the counts of a unit that has many sessions: with versions and without, in both widths of keys.
fn check(crowd: Crowd) {
    let whole = crowd.history();
    let mut leading = whole.clone();
    for version in &mut leading {
        make_leading(&mut version.session);
    }
    for (packed, history) in [(false, whole), (true, leading)] {
        let world = oracle::last_written(&history);
        assert!(world.len() > 2 * usize::try_from(BLOCK).unwrap());
        for question in questions().skip(2) {
            let expected = oracle::answer(&world, question);
            for versions in [0, u8::MAX] {
                let form = Form { versions, packed };
                let mut tally = empty_of(form, question);
                feed_unit(&mut tally, &Streams::of_history(&history, question, form));
                same(&response_of(form, tally), &expected, question);
            }
        }
    }
}

#[test]
fn a_unit_has_many_partitions() {
    check(Crowd {
        users: 5_000,
        key: mixed,
        sessions: |user| 1 + user % 3,
        all_count: false,
        converting_one_in: 30,
        converts: |_| false,
    });
}

/// Keys that differ in their last bits alone belong to one partition.
#[test]
fn a_partition_has_many_blocks() {
    check(Crowd {
        users: 5_000,
        key: |user| user,
        sessions: |user| 1 + user % 3,
        all_count: false,
        converting_one_in: 30,
        converts: |_| false,
    });
}

/// Runs of users who do not convert are longer than a block, and users lie over its edges.
#[test]
fn hardly_anyone_may_convert() {
    check(Crowd {
        users: 4_000,
        key: |user| user,
        sessions: |user| 3 + user % 2,
        all_count: false,
        converting_one_in: u64::MAX,
        converts: |user| user == 1_900,
    });
}

#[test]
fn a_user_may_have_more_sessions_than_a_block() {
    check(Crowd {
        users: 3_000,
        key: |user| user,
        sessions: |user| match user {
            1_000 => BLOCK - 1_000,
            1_500 => BLOCK + 1,
            2_999 => BLOCK / 2,
            _ => 1,
        },
        all_count: false,
        converting_one_in: u64::MAX,
        converts: |user| user % 500 == 0,
    });
}

/// Users who convert stand at the last places of a block and at the first of the next, wherever its edge lies.
#[test]
fn users_convert_at_the_edges_of_blocks() {
    check(Crowd {
        users: 4_500,
        key: |user| user,
        sessions: |user| 1 + user % 3,
        all_count: true,
        converting_one_in: u64::MAX,
        converts: |user| (2 * user + 60) % BLOCK < 120,
    });
}
