//! Which sessions a touch scope includes: ties, versions that moved, users of many sessions, the worked case.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
#![allow(clippy::struct_field_names, reason = "the contract's names")]

mod support;

use support::blocks::{Values, block};
use support::messages::{Page, PagesResponse, RoleCount, SummaryTotals};
use support::streams::Streams;
use support::tallies::{
    count, decoded, empty, empty_of, feed_unit, make_leading, response_of, same,
};
use support::{
    Conversion, DAY_MS, Form, Question, Session, Version, oracle, page, session, worked_case,
    written_once,
};

/// A user's sessions, given by start in ticks and number of conversions, with keys that rise. Each has its own
/// page.
fn journey(sessions: &[(i64, usize)]) -> Vec<Session> {
    let mut world: Vec<_> = (0..sessions.len())
        .map(|id| session(7, 0, &id.to_string(), 0))
        .collect();
    world.sort_by_key(Session::key);
    for ((each, page), &(ticks, conversions)) in world.iter_mut().zip(1..).zip(sessions) {
        *each = session(7, ticks, &each.session_id, page);
        each.conversions = vec![
            Conversion {
                page,
                assist_views: 1,
                matches: true,
            };
            conversions
        ];
    }
    world
}

/// The number of sessions counted, with the answer that the oracle gives: from versions and from packed rows, in the
/// order given and the other way round.
fn counted(world: &[Session], question: Question) -> u64 {
    let versions = Form {
        versions: u8::MAX,
        packed: false,
    };
    let forms = [versions, Form::REPLACED, Form::PACKED];
    let found = forms.map(|form| {
        [false, true].map(|reversed| {
            let mut world = world.to_vec();
            if form.packed {
                world.iter_mut().for_each(make_leading);
            }
            if reversed {
                world.reverse();
            }
            let history = written_once(&world);
            let mut tally = empty_of(form, question);
            feed_unit(&mut tally, &Streams::of_history(&history, question, form));
            let expected = oracle::answer(&world, question);
            let sessions = tally.totals().sessions;
            same(&response_of(form, tally), &expected, question);
            sessions
        })
    });
    assert!(
        found
            .iter()
            .flatten()
            .all(|sessions| *sessions == found[0][0])
    );
    found[0][0]
}

#[test]
fn sessions_that_started_together_follow_their_keys() {
    let (any, first, assist, after) = ((1, false), (2, false), (4, false), (5, false));
    let pages = |world: &[Session], question| {
        let answer = decoded(&count(world, question));
        let rows = [answer.conversion_performance, answer.drop_off_performance].concat();
        rows.into_iter().map(|row| row.url).collect::<Vec<_>>()
    };
    let two_first = journey(&[(11, 0), (11, 0), (13, 1)]);
    assert_eq!(counted(&two_first, first), 1);
    assert_eq!(pages(&two_first, first), [support::url(1)]);
    assert_eq!(counted(&two_first, assist), 1);
    assert_eq!(pages(&two_first, assist), [support::url(2)]);
    assert_eq!(counted(&two_first, after), 0);

    let two_converting = journey(&[(11, 1), (11, 1), (13, 0)]);
    assert_eq!(counted(&two_converting, any), 3);
    assert_eq!(counted(&two_converting, first), 1);
    assert_eq!(counted(&two_converting, after), 2);

    // The first converts, and the second.
    for (sessions, of_assist, of_after) in [([(11, 1), (11, 0)], 0, 1), ([(11, 0), (11, 1)], 0, 0)]
    {
        let world = journey(&sessions);
        assert_eq!(counted(&world, first), 1);
        assert_eq!(counted(&world, assist), of_assist);
        assert_eq!(counted(&world, after), of_after);
    }
    let before_the_conversion = journey(&[(11, 0), (12, 0), (12, 1), (12, 0)]);
    assert_eq!(counted(&before_the_conversion, first), 1);
    assert_eq!(counted(&before_the_conversion, assist), 1);
    assert_eq!(pages(&before_the_conversion, assist), [support::url(2)]);
    assert_eq!(counted(&before_the_conversion, after), 1);
    assert_eq!(pages(&before_the_conversion, after), [support::url(4)]);

    let none_converts = journey(&[(11, 0), (11, 0)]);
    assert_eq!(counted(&none_converts, (2, true)), 0);
    assert_eq!(counted(&none_converts, assist), 0);
    // A first session that the filters drop stays the first.
    for (place, sessions) in [(0, 0), (1, 1)] {
        let mut half_filtered = journey(&[(11, 0), (11, 0), (13, 1)]);
        half_filtered[place].passes = false;
        assert_eq!(counted(&half_filtered, first), sessions);
        half_filtered.pop();
        assert_eq!(counted(&half_filtered, first), sessions);
    }
    let seen_before = journey(&[(9, 0), (11, 0), (11, 0)]);
    assert_eq!(counted(&seen_before, first), 0);
}

/// A session that moved left a row behind that says so. Both rows were written at the same time.
#[test]
fn a_session_that_moved_counts_where_it_is() {
    let at = |ticks, gone| Session {
        gone,
        ..session(7, ticks, "s", 1)
    };
    let (here, there) = (11, 18);
    let version = |session: Session, written_at| Version {
        session,
        written_at,
    };
    let before = version(at(here, false), 1);
    let mark = version(at(here, true), 2);
    let after = version(at(there, false), 2);
    let back = version(at(here, false), 3);
    let all = |versions: &[&Version]| versions.iter().map(|&version| version.clone()).collect();
    let cases: [(Vec<Version>, u64); 6] = [
        (all(&[&before]), 1),
        (all(&[&before, &mark]), 0),
        (all(&[&before, &mark, &after]), 1),
        (all(&[&after, &mark, &before]), 1),
        (all(&[&after, &back, &mark, &before]), 2),
        // Written at the same time: what was stored last holds.
        (all(&[&version(at(here, false), 2), &mark]), 0),
    ];
    for (history, sessions) in cases {
        for packed in [false, true] {
            for versions in [0, u8::MAX] {
                let form = Form { versions, packed };
                for question in [(1, false), (2, false)] {
                    let mut tally = empty_of(form, question);
                    feed_unit(&mut tally, &Streams::of_history(&history, question, form));
                    let expected = if question.0 == 2 {
                        sessions.min(1)
                    } else {
                        sessions
                    };
                    assert_eq!(tally.totals().sessions, expected, "{form:?}: {history:?}");
                }
            }
        }
    }
}

/// The place of a version is a day. On the same day it replaces one that started at another time.
#[test]
fn a_version_that_started_later_on_the_same_day_replaces_another() {
    let at = |started_at, written_at| Version {
        session: Session {
            started_at,
            ..session(7, 0, "s", 1)
        },
        written_at,
    };
    let day = 3 * DAY_MS;
    for (one, other, sessions) in [
        (day, day + DAY_MS - 1, 1),
        (day + DAY_MS - 1, day + DAY_MS, 2),
        (day - 1, day, 2),
    ] {
        for written in [[1, 2], [2, 1], [1, 1]] {
            let history = [at(one, written[0]), at(other, written[1])];
            for packed in [false, true] {
                let form = Form {
                    packed,
                    versions: u8::MAX,
                };
                for (scope, expected) in [(1, sessions), (2, 1)] {
                    let question = (scope, false);
                    let mut tally = empty_of(form, question);
                    feed_unit(&mut tally, &Streams::of_history(&history, question, form));
                    assert_eq!(tally.totals().sessions, expected, "{form:?}: {history:?}");
                }
            }
        }
    }
}

/// Versions are sorted, not compared pair by pair, which would take more than a minute.
#[test]
fn a_user_may_have_very_many_versions() {
    let sessions = 100_000_u64;
    let numbers = || (0..2 * sessions).map(|number| number % sessions);
    let keys: Vec<_> = numbers()
        .map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .collect();
    let converting = numbers().map(|number| u8::from(number % 4 == 0));
    let ones = || Values::U64(vec![1; keys.len()]);
    let columns = [
        ("user_key", ones()),
        ("landing_key", ones()),
        ("exit_key", ones()),
        ("before_exit_key", ones()),
        ("converting", Values::U8(converting.collect())),
        ("started_at", Values::I64(vec![0; keys.len()])),
        ("session_key", Values::U64(keys.clone())),
        ("written_at", Values::I64(vec![0; keys.len()])),
        ("gone", Values::U8(vec![0; keys.len()])),
    ];
    let mut tally = empty((1, false));
    tally.feed_sessions(&block(&columns)).unwrap();
    tally.finish_unit().unwrap();
    let totals = tally.totals();
    assert_eq!((totals.sessions, totals.users), (sessions / 4 * 3, 1));
}

fn row(page: u64, counts: [(u64, u64); 3]) -> Page {
    let [first, assist, landing] =
        counts.map(|(sessions, users)| Some(RoleCount { sessions, users }));
    Page {
        url: support::url(page),
        first,
        assist,
        landing,
        landed: None,
    }
}

#[test]
fn the_worked_case_of_any() {
    let answer = decoded(&count(&worked_case(), (0, false)));
    assert_eq!(
        answer.summary_totals,
        Some(SummaryTotals {
            total_sessions: 4,
            total_users: 2,
            total_conversion_events: 2,
            total_conversion_users: 2,
        })
    );
    assert_eq!(
        answer.conversion_performance,
        [
            row(page::SIGNUP, [(2, 2), (1, 1), (1, 1)]),
            row(page::PRICING, [(0, 0), (1, 1), (1, 1)]),
        ]
    );
    assert_eq!(
        answer.drop_off_performance,
        [
            row(page::DOCS, [(1, 1), (0, 0), (1, 1)]),
            row(page::PRICING, [(1, 1), (0, 0), (0, 0)]),
            row(page::FEATURES, [(0, 0), (1, 1), (0, 0)]),
            row(page::HOME, [(0, 0), (0, 0), (1, 1)]),
        ]
    );
}

#[test]
fn the_worked_case_of_other_scopes() {
    let answer = |scope| decoded(&count(&worked_case(), (scope, false)));
    let sessions = |scope| {
        answer(scope)
            .summary_totals
            .map(|totals| totals.total_sessions)
    };
    assert_eq!(sessions(2), Some(2));
    assert_eq!(sessions(3), Some(2));
    assert_eq!(sessions(5), Some(1));
    assert_eq!(
        answer(4),
        PagesResponse {
            message: "No page data found for the given parameters.".to_owned(),
            ..PagesResponse::default()
        }
    );
}
