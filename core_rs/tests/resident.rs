//! A domain in memory against a naive reading of the same world, however its places came.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
#![allow(clippy::struct_field_names, reason = "the contract's names")]

mod support;

use std::sync::Arc;

use pageroles_core::{Counted, Error, Incoming, Resident, Scope};
use proptest::prelude::*;
use support::blocks::Values;
use support::crowds::{BLOCK, Crowd, mixed};
use support::streams::{self, MATCHING, PASSING};
use support::tallies::{decoded, same, whole};
use support::{
    END_MS, Question, START_MS, Session, Version, histories, oracle, questions, session,
};

fn asked((scope, filter): Question, landing: Option<u64>) -> pageroles_core::Question {
    pageroles_core::Question {
        scope: Scope::from_number(scope).unwrap(),
        window: [START_MS, END_MS],
        traffic: [Some(PASSING), None, None, None, None],
        landing,
        conversion: [None, filter.then_some(MATCHING), None],
    }
}

fn apply(resident: &Arc<Resident>, sessions: &[Session], chunk: usize) {
    let mut incoming = Incoming::new(Arc::clone(resident));
    for chunk in streams::places(sessions).chunks(chunk) {
        incoming.feed(chunk).unwrap();
    }
    incoming.apply().unwrap();
}

fn answer(resident: &Resident, question: &pageroles_core::Question, threads: usize) -> Vec<u8> {
    named(resident.count(question, false, false, threads).unwrap())
}

fn named(mut counted: Counted) -> Vec<u8> {
    let names = streams::pages(&counted.missing_pages());
    counted.feed_pages(&names).unwrap();
    whole(&mut counted)
}

/// The versions in the order in which they were written.
fn as_written(mut history: Vec<Version>) -> Vec<Session> {
    history.sort_by_key(|version| version.written_at);
    history.into_iter().map(|version| version.session).collect()
}

/// The same world, in which sessions pass only if they landed on a page too.
fn landed_on(page: u64, mut world: Vec<Session>) -> Vec<Session> {
    for session in &mut world {
        session.passes &= session.pages.first() == Some(&page);
    }
    world
}

proptest! {
    #![proptest_config(support::config())]

    #[test]
    fn places_may_come_in_parts_and_again(
        history in histories(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        again in any::<prop::sample::Index>(),
        chunk in 1_usize..2000,
        threads in 1_usize..4,
        page in 1_u64..6,
    ) {
        let written = as_written(history.clone());
        let world = oracle::last_written(&history);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(written.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(written.len());
        let resident = Arc::new(Resident::default());
        let mut start = 0;
        for end in cuts {
            apply(&resident, &written[start..end], chunk);
            start = end;
        }
        // What the store has now may be read again.
        let now = oracle::last_at_each_place(&history);
        apply(&resident, &now[again.index(now.len() + 1)..], chunk);
        prop_assert_eq!(resident.sessions(), world.len());
        let landed = landed_on(page, world.clone());
        for question in questions() {
            same(&answer(&resident, &asked(question, None), threads), &oracle::answer(&world, question), question);
            let balanced = resident.count(&asked(question, None), true, false, threads).unwrap();
            let balance = decoded(&named(balanced)).balance;
            prop_assert_eq!(balance, Some(oracle::balance(&world, question)));
            let found = answer(&resident, &asked(question, Some(page)), threads);
            same(&found, &oracle::answer(&landed, question), question);
        }
    }

    #[test]
    fn damaged_places_never_panic(
        history in histories(),
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..4),
        chunk in 1_usize..200,
    ) {
        let mut stream = streams::places(&as_written(history));
        for (index, byte, damage) in damages {
            let at = index.index(stream.len());
            match damage {
                0 => stream[at] = byte,
                1 => stream[at] ^= 1 << (byte % 8),
                2 => stream.insert(at, byte),
                _ => drop(stream.drain(at..stream.len().min(at + usize::from(byte)))),
            }
        }
        let resident = Arc::new(Resident::default());
        let mut incoming = Incoming::new(Arc::clone(&resident));
        let fed = stream.chunks(chunk).try_for_each(|chunk| incoming.feed(chunk));
        let applied = incoming.apply();
        prop_assert!(fed.is_ok() || applied == fed);
        prop_assert!(applied.is_ok() || resident.sessions() == 0);
        for question in questions() {
            answer(&resident, &asked(question, Some(1)), 2);
        }
    }
}

/// Blocks are made anew, split and emptied.
#[test]
fn a_crowd_may_come_in_parts_and_go() {
    for key in [mixed, |user| user] {
        let crowd = Crowd {
            users: 4_000,
            key,
            sessions: |user| {
                if user == 2_500 {
                    BLOCK + 1
                } else {
                    1 + user % 3
                }
            },
            all_count: false,
            converting_one_in: 30,
            converts: |_| false,
        };
        let history = crowd.history();
        let written = as_written(history.clone());
        let world = oracle::last_written(&history);
        let resident = Arc::new(Resident::default());
        let (few, rest) = written.split_at(100);
        apply(&resident, few, 1 << 16);
        for part in rest.chunks(rest.len() / 3) {
            apply(&resident, part, 1 << 16);
        }
        assert_eq!(resident.sessions(), world.len());
        for question in questions().skip(2) {
            let expected = oracle::answer(&world, question);
            for threads in [1, 3] {
                same(
                    &answer(&resident, &asked(question, None), threads),
                    &expected,
                    question,
                );
            }
        }
        // A part goes, and then all.
        let mut gone = oracle::last_at_each_place(&history);
        for session in &mut gone {
            session.gone = true;
        }
        let (first, all) = (&gone[..gone.len() / 2], &gone[..]);
        apply(&resident, first, 1 << 16);
        let mut left = history;
        left.extend(first.iter().map(|session| Version {
            session: session.clone(),
            written_at: 1,
        }));
        let world = oracle::last_written(&left);
        assert_eq!(resident.sessions(), world.len());
        for question in [(1, false), (2, true), (4, false)] {
            let expected = oracle::answer(&world, question);
            same(
                &answer(&resident, &asked(question, None), 2),
                &expected,
                question,
            );
        }
        apply(&resident, all, 1 << 16);
        assert_eq!(resident.sessions(), 0);
        let question = (1, false);
        let expected = oracle::answer(&[], question);
        same(
            &answer(&resident, &asked(question, None), 2),
            &expected,
            question,
        );
    }
}

/// Places are searched for, not compared one by one, which would take minutes.
#[test]
fn a_user_may_have_very_many_sessions() {
    let sessions: Vec<Session> = (0..100_000_i64)
        .map(|number| session(1, 10 + number % 10, &number.to_string(), 1))
        .collect();
    let resident = Arc::new(Resident::default());
    for _ in 0..2 {
        apply(&resident, &sessions, 1 << 16);
        let counted = resident.count(&asked((1, false), None), false, false, 2);
        let counted = counted.unwrap();
        let totals = counted.totals();
        assert_eq!((totals.sessions, totals.users), (100_000, 1));
    }
}

#[test]
fn what_is_not_applied_leaves_no_session() {
    let resident = Arc::new(Resident::default());
    let stream = streams::places(&[session(1, 12, "s", 1)]);
    let mut incoming = Incoming::new(Arc::clone(&resident));
    incoming.feed(&stream).unwrap();
    drop(incoming);
    assert_eq!(resident.sessions(), 0);
    let mut incoming = Incoming::new(Arc::clone(&resident));
    incoming.feed(&stream[..stream.len() - 1]).unwrap();
    assert!(matches!(
        incoming.apply(),
        Err(Error::Truncated {
            stream: "places",
            ..
        })
    ));
    assert_eq!(resident.sessions(), 0);
    incoming.feed(&stream[stream.len() - 1..]).unwrap();
    incoming.apply().unwrap();
    assert_eq!(resident.sessions(), 1);
}

#[test]
fn places_must_agree_with_themselves() {
    let converting = Session {
        conversions: support::worked_case()[1].conversions.clone(),
        ..session(1, 12, "s", 1)
    };
    let columns = streams::place_columns(&[&converting]);
    let refused = |name: &str, values: Values| {
        let mut columns = columns.clone();
        let column = columns.iter_mut().find(|(column, _)| *column == name);
        column.unwrap().1 = values;
        let resident = Arc::new(Resident::default());
        let mut incoming = Incoming::new(Arc::clone(&resident));
        let error = incoming
            .feed(&support::blocks::block(&columns))
            .unwrap_err();
        assert_eq!(incoming.apply(), Err(error.clone()));
        assert_eq!(resident.sessions(), 0);
        match error {
            Error::Malformed { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        refused("gone", Values::U8(vec![2])),
        "column gone holds 2, neither 0 nor 1"
    );
    assert_eq!(
        refused("assist_views", Values::U32s(vec![vec![]])),
        "a row of 1 conversion_keys has 0 assist_views and [1, 1, 1] keys of values"
    );
    for name in [
        "conversion_url_keys",
        "conversion_type_keys",
        "conversion_id_keys",
    ] {
        let reason = refused(name, Values::U64s(vec![vec![1, 2]]));
        assert!(
            reason.starts_with("a row of 1 conversion_keys has 1 assist_views"),
            "{reason}"
        );
    }
}
