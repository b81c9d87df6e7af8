//! What a tally refuses, and what it says then.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
#![allow(clippy::struct_field_names, reason = "the contract's names")]

mod support;

use pageroles_core::{Error, KeyWidth, Scope, Tally};
use support::blocks::block;
use support::streams::{self, Streams};
use support::tallies::{empty, feed_unit, tally_of};
use support::{Form, Question, session, worked_case, written_once};

const ANY: Question = (1, false);

#[test]
fn an_open_unit_gives_no_counts() {
    let streams = Streams::of(&worked_case(), ANY);
    let open = |fed: &dyn Fn(&mut Tally)| {
        let mut tally = empty(ANY);
        fed(&mut tally);
        assert_eq!(tally.begin_unit(0, 9), Err(Error::UnitOpen));
        assert_eq!(empty(ANY).merge(&mut tally), Err(Error::UnitOpen));
        assert_eq!(tally.totals().sessions, 0, "nothing is counted so far");
        assert_eq!(tally.take().unwrap_err(), Error::UnitOpen);
    };
    open(&|tally| tally.feed_sessions(&streams.sessions).unwrap());
    open(&|tally| tally.feed_conversions(&streams.conversions).unwrap());
    open(&|tally| tally.feed_sessions(&streams.sessions[..1]).unwrap());
    let users = Streams::of(&[session(1, 7, "s", 1)], (2, false)).users;
    open(&|tally| tally.feed_users(&users).unwrap());

    let mut tally = tally_of(&worked_case(), ANY);
    assert_eq!(tally.begin_unit(0, 9), Ok(()));
    assert_eq!(empty(ANY).merge(&mut tally), Ok(()));
}

#[test]
fn tallies_of_different_questions_do_not_merge() {
    assert_eq!(empty((0, false)).merge(&mut empty((1, false))), Ok(()));
    let leading = empty(ANY).with_keys(KeyWidth::Leading);
    for other in [empty((0, true)), empty((2, false)), leading] {
        let mut one = tally_of(&worked_case(), ANY);
        let mut other = other;
        assert_eq!(one.merge(&mut other), Err(Error::OtherQuestion));
        assert_eq!(one.totals().sessions, 4);
    }
}

#[test]
fn scopes_are_those_of_the_contract() {
    assert_eq!(Scope::from_number(0), Scope::from_number(1));
    for number in [-1, 6, i64::MAX] {
        assert_eq!(Scope::from_number(number), Err(Error::UnknownScope(number)));
    }
}

fn reason(error: &Error) -> &str {
    match error {
        Error::Malformed { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_unit_has_its_users_and_no_others() {
    let converting = |user| {
        let mut session = worked_case()[1].clone();
        session.user = user;
        [session]
    };
    for user in [9, 21, u64::MAX] {
        let begun = |question| {
            let mut tally = empty(question);
            tally.begin_unit(10, 20).unwrap();
            tally
        };
        let says = format!("user {user} lies outside of the unit's range");
        for question in [ANY, (2, false)] {
            let sessions = Streams::of(&[session(user, 12, "s", 1)], question).sessions;
            let refused = begun(question).feed_sessions(&sessions).unwrap_err();
            assert_eq!(reason(&refused), says);
        }
        let first = (2, false);
        let conversions = Streams::of(&converting(user), first).conversions;
        let refused = begun(first).feed_conversions(&conversions).unwrap_err();
        assert_eq!(reason(&refused), says);
        let users = Streams::of(&[session(user, 7, "s", 1)], first).users;
        let mut tally = begun(first);
        let refused = tally.feed_users(&users).unwrap_err();
        assert_eq!(reason(&refused), says);
        assert_eq!(tally.finish_unit(), Err(refused));
    }
    // A range holds for one unit.
    let mut tally = empty(ANY);
    tally.begin_unit(10, 20).unwrap();
    feed_unit(&mut tally, &Streams::of(&[session(20, 12, "s", 1)], ANY));
    feed_unit(&mut tally, &Streams::of(&[session(21, 12, "s", 1)], ANY));
    assert_eq!(tally.totals().sessions, 2);
}

#[test]
fn blocks_of_a_unit_are_all_dated_or_none() {
    let plain = session(1, 12, "s", 1);
    let blocks = [false, true].map(|dated| block(&streams::session_columns(&[&&plain], dated)));
    for (first, second) in [(0, 1), (1, 0)] {
        let mut tally = empty(ANY);
        tally.feed_sessions(&blocks[first]).unwrap();
        let refused = tally.feed_sessions(&blocks[second]).unwrap_err();
        assert_eq!(
            reason(&refused),
            "columns started_at and session_key come in all blocks or in none"
        );
        assert_eq!(tally.finish_unit(), Err(refused));
        // The next unit may be different.
        let mut tally = empty(ANY);
        for number in [first, second] {
            tally.feed_sessions(&blocks[number]).unwrap();
            tally.finish_unit().unwrap();
        }
        assert_eq!(tally.totals().sessions, 2);
    }
}

#[test]
fn a_tally_takes_the_keys_that_it_counts() {
    let world = [worked_case()[0].clone()];
    let whole = Streams::of(&world, ANY).sessions;
    let packed = Streams::of_history(&written_once(&world), ANY, Form::PACKED).sessions;
    let refused = |mut tally: Tally, stream: &[u8]| {
        reason(&tally.feed_sessions(stream).unwrap_err()).to_owned()
    };
    let says = "column packed is for tallies of leading bits, and they need it";
    assert_eq!(refused(empty(ANY), &packed), says);
    assert_eq!(
        refused(empty(ANY).with_keys(KeyWidth::Leading), &whole),
        says
    );
    for column in ["user_key", "landing_key", "exit_key", "before_exit_key"] {
        let mut columns = streams::session_columns(&[&&world[0]], false);
        columns.retain(|(name, _)| *name != column);
        assert_eq!(
            refused(empty(ANY), &block(&columns)),
            "the block needs column packed, or columns user_key, landing_key, exit_key and before_exit_key"
        );
    }
}

/// The sentences that no other test reads.
#[test]
fn errors_say_what_to_do() {
    let sentences = [
        (
            Error::UnitOpen,
            "a unit is open: finish it before asking for its counts",
        ),
        (
            Error::Ambiguous,
            "two pages have the same leading bits of their keys: count with whole keys",
        ),
        (
            Error::TooMany("sessions"),
            "too many sessions: a tally holds at most 4294967295",
        ),
        (
            Error::UnknownScope(6),
            "touch scope 6 is unknown: 0 to 5 are accepted",
        ),
        (
            Error::OtherQuestion,
            "the tallies differ in touch scope or conversion filter: they can't be merged",
        ),
        (
            Error::Unnamed(2),
            "2 pages of the answer have no URL: feed the pages that are missing",
        ),
    ];
    for (error, sentence) in sentences {
        assert_eq!(error.to_string(), sentence);
    }
}
