//! The counts against a naive reading of the same world, in whatever units, chunks and forms the rows come.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
#![allow(clippy::struct_field_names, reason = "the contract's names")]

mod support;

use pageroles_core::{Error, KeyWidth, Scope, Tally};
use proptest::prelude::*;
use prost::Message;
use support::blocks::{Values, block};
use support::messages::{Page, PagesResponse, RoleCount, SummaryTotals};
use support::streams::{self, Streams};
use support::{
    Conversion, END_MS, Form, Question, START_MS, Session, Version, forms, histories, oracle,
    questions, worlds,
};

fn empty((scope, filter): Question) -> Tally {
    Tally::new(Scope::from_number(scope).unwrap(), filter)
}

fn feed_unit(tally: &mut Tally, streams: &Streams) {
    tally.feed_sessions(&streams.sessions).unwrap();
    tally.feed_users(&streams.users).unwrap();
    tally.feed_conversions(&streams.conversions).unwrap();
    tally.finish_units().unwrap();
}

fn name_pages(tally: &mut Tally) {
    let mut keys = tally.missing_pages();
    keys.push(4711);
    tally.feed_pages(&streams::pages(&keys)).unwrap();
}

fn response(tally: &mut Tally) -> Vec<u8> {
    name_pages(tally);
    let answer = tally.answer(START_MS, END_MS).unwrap();
    answer.whole(tally.snapshot()).unwrap()
}

fn count(world: &[Session], question: Question) -> Vec<u8> {
    let mut tally = empty(question);
    feed_unit(&mut tally, &Streams::of(world, question));
    response(&mut tally)
}

/// The users of each unit, from none to all of them.
fn units(world: &[Session], units: u64) -> Vec<Vec<Session>> {
    (0..units)
        .map(|unit| {
            let of_unit = |session: &&Session| session.user % units == unit;
            world.iter().filter(of_unit).cloned().collect()
        })
        .collect()
}

fn same(bytes: &[u8], expected: &PagesResponse, question: Question) {
    let decoded = PagesResponse::decode(bytes).unwrap();
    assert_eq!(&decoded, expected, "scope and filter {question:?}");
    assert_eq!(
        bytes,
        expected.encode_to_vec(),
        "scope and filter {question:?}"
    );
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
            same(&response(&mut tally), &expected, question);
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
            // Names may come before merging, too.
            if parts % 2 == 0 {
                name_pages(&mut other);
            }
            whole.merge(&mut other).unwrap();
            same(&response(&mut whole), &oracle::answer(&world, question), question);
            same(&response(&mut other), &oracle::answer(&[], question), question);
        }
    }

    #[test]
    fn conversions_and_users_may_come_ahead_and_sessions_of_units_in_one_stream(
        history in histories(),
        form in forms(),
        cuts in prop::collection::btree_set(0_u64..8, 0..4),
        at_once in 1_usize..4,
        chunk in 1_usize..400,
        packed in any::<bool>(),
    ) {
        let mut history = history;
        if packed {
            for version in &mut history {
                make_leading(&mut version.session);
            }
        }
        // Rows of either kind come in the order of units. One kind after the other would not.
        let versions = if form.versions % 2 == 0 { 0 } else { u8::MAX };
        let form = Form { versions, packed };
        let world = oracle::last_written(&history);
        let firsts: Vec<u64> = std::iter::once(0).chain(cuts.into_iter().map(|cut| cut + 1)).collect();
        let lasts = firsts.iter().skip(1).map(|next| next - 1).chain([u64::MAX]);
        let units: Vec<(u64, u64)> = firsts.iter().copied().zip(lasts).collect();
        let of_units = |units: &[(u64, u64)], question, form| {
            let is_in = |user: u64, &(first, last): &(u64, u64)| (first..=last).contains(&user);
            let rows = units.iter().flat_map(|unit| {
                history.iter().filter(|version| is_in(version.session.user, unit)).cloned()
            });
            Streams::of_history(&rows.collect::<Vec<Version>>(), question, form)
        };
        for question in questions() {
            let mut tally = empty_of(form, question);
            let all = Streams::of_history(&history, question, form);
            tally.feed_users(&all.users).unwrap();
            tally.feed_conversions(&all.conversions).unwrap();
            for together in units.chunks(at_once) {
                tally.begin_units(together).unwrap();
                let sessions = of_units(together, question, form).sessions;
                for chunk in sessions.chunks(chunk) {
                    tally.feed_sessions(chunk).unwrap();
                }
                tally.finish_units().unwrap();
            }
            same(&response_of(form, &mut tally), &oracle::answer(&world, question), question);
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
            same(&response_of(form, &mut tally), &oracle::answer(&world, question), question);
        }
    }

    #[test]
    fn a_merged_tally_counts_on(world in worlds()) {
        for question in questions() {
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
            prop_assert_eq!(response(&mut whole), response(&mut twice));
        }
    }

    #[test]
    fn chunks_may_cut_anywhere(world in worlds(), sizes in prop::collection::vec(1_usize..40, 1..8)) {
        for question in questions() {
            let streams = Streams::of(&world, question);
            let mut tally = empty(question);
            for chunk in cut(&streams.conversions, &sizes) {
                tally.feed_conversions(chunk).unwrap();
            }
            for chunk in cut(&streams.sessions, &sizes) {
                tally.feed_sessions(chunk).unwrap();
            }
            for chunk in cut(&streams.users, &sizes) {
                tally.feed_users(chunk).unwrap();
            }
            tally.finish_units().unwrap();
            let names = streams::pages(&tally.missing_pages());
            for chunk in cut(&names, &sizes) {
                tally.feed_pages(chunk).unwrap();
            }
            same(&response(&mut tally), &oracle::answer(&world, question), question);
        }
    }

    #[test]
    fn messages_say_what_the_whole_says(world in worlds(), max_bytes in 0_usize..300) {
        for question in questions() {
            let mut tally = empty(question);
            feed_unit(&mut tally, &Streams::of(&world, question));
            let whole = response(&mut tally);
            let mut answer = tally.answer(START_MS, END_MS).unwrap();
            let head = answer.next_message(tally.snapshot(), max_bytes).unwrap().unwrap();
            let decoded = PagesResponse::decode(&head[..]).unwrap();
            prop_assert!(decoded.conversion_performance.is_empty());
            prop_assert!(decoded.drop_off_performance.is_empty());
            let mut joined = head;
            while let Some(message) = answer.next_message(tally.snapshot(), max_bytes).unwrap() {
                let rows = PagesResponse::decode(&message[..]).unwrap();
                let rows = rows.conversion_performance.len() + rows.drop_off_performance.len();
                prop_assert!(rows == 1 || (rows > 1 && message.len() <= max_bytes));
                joined.extend(message);
            }
            prop_assert_eq!(joined, whole);
            prop_assert_eq!(answer.next_message(tally.snapshot(), max_bytes), Ok(None));
        }
    }
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

/// A user's sessions, given by start and number of conversions, with keys that rise. Each is on a page of its own.
fn journey(sessions: &[(i64, usize)]) -> Vec<Session> {
    let session = |id: String| Session {
        user: 7,
        started_at: 0,
        session_id: id,
        passes: true,
        pages: vec![],
        conversions: vec![],
        gone: false,
    };
    let mut world: Vec<_> = (0..sessions.len())
        .map(|id| session(id.to_string()))
        .collect();
    world.sort_by_key(Session::key);
    for ((session, page), &(started_at, conversions)) in world.iter_mut().zip(1..).zip(sessions) {
        session.started_at = started_at;
        session.pages = vec![page];
        session.conversions = vec![
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
            let version = |session: &Session| Version {
                session: session.clone(),
                written_at: 0,
            };
            let history: Vec<_> = world.iter().map(version).collect();
            let mut tally = empty_of(form, question);
            feed_unit(&mut tally, &Streams::of_history(&history, question, form));
            let expected = oracle::answer(&world, question);
            same(&response_of(form, &mut tally), &expected, question);
            tally.totals().sessions
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

fn empty_of(form: Form, question: Question) -> Tally {
    let width = if form.packed {
        KeyWidth::Leading
    } else {
        KeyWidth::Whole
    };
    empty(question).with_keys(width)
}

/// The answer where pages have keys as [`make_leading`] makes them, if sessions are packed.
fn response_of(form: Form, tally: &mut Tally) -> Vec<u8> {
    let whole = |key: u64| if form.packed { key << 22 | 5 } else { key };
    let wholes: Vec<u64> = tally.missing_pages().into_iter().map(whole).collect();
    tally.feed_pages(&streams::pages(&wholes)).unwrap();
    let answer = tally.answer(START_MS, END_MS).unwrap();
    answer.whole(tally.snapshot()).unwrap()
}

/// Gives a session pages whose keys differ in their leading bits, as hashes do.
fn make_leading(session: &mut Session) {
    let targets = (session.conversions.iter_mut()).map(|conversion| &mut conversion.page);
    let pages = session.pages.iter_mut().chain(targets);
    for page in pages.filter(|page| **page != 0) {
        *page = *page << 22 | 5;
    }
}

#[test]
fn sessions_that_started_together_follow_their_keys() {
    let (any, first, assist, after) = ((1, false), (2, false), (4, false), (5, false));
    let pages = |world: &[Session], question| {
        let answer = PagesResponse::decode(&count(world, question)[..]).unwrap();
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
    let at = |started_at, gone| Session {
        started_at,
        gone,
        ..journey(&[(0, 0)])[0].clone()
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

/// Versions are sorted, not compared pair by pair, which would take more than a minute.
#[test]
fn a_user_may_have_very_many_sessions() {
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
        ("session_key", Values::U64(keys.clone())),
        ("written_at", Values::I64(vec![0; keys.len()])),
        ("day", Values::U16(vec![0; keys.len()])),
        ("gone", Values::U8(vec![0; keys.len()])),
    ];
    let mut tally = empty((1, false));
    tally.feed_sessions(&block(&columns)).unwrap();
    tally.finish_units().unwrap();
    let totals = tally.totals();
    assert_eq!((totals.sessions, totals.users), (sessions / 4 * 3, 1));
}

mod page {
    pub const HOME: u64 = 1;
    pub const FEATURES: u64 = 2;
    pub const PRICING: u64 = 3;
    pub const SIGNUP: u64 = 4;
    pub const DOCS: u64 = 5;
}

/// The worked case of `docs/semantics.md`.
fn worked_case() -> Vec<Session> {
    let session = |user, started_at, id: &str, pages: &[u64]| Session {
        user,
        started_at,
        session_id: id.to_owned(),
        passes: true,
        pages: pages.to_vec(),
        conversions: vec![],
        gone: false,
    };
    let signup = |assist_views| Conversion {
        page: page::SIGNUP,
        assist_views,
        matches: true,
    };
    let mut world = vec![
        session(1, 13, "s1", &[page::HOME, page::FEATURES, page::PRICING]),
        session(1, 15, "s2", &[page::PRICING, page::SIGNUP]),
        session(1, 19, "s3", &[page::DOCS, page::DOCS]),
        session(2, 16, "s4", &[page::SIGNUP]),
    ];
    world[1].conversions = vec![signup(1)];
    world[3].conversions = vec![signup(1)];
    world
}

fn row(page: u64, counts: [(u64, u64); 3]) -> Page {
    let [first, assist, landing] =
        counts.map(|(sessions, users)| Some(RoleCount { sessions, users }));
    Page {
        url: support::url(page),
        first,
        assist,
        landing,
    }
}

#[test]
fn the_worked_case_of_any() {
    let answer = PagesResponse::decode(&count(&worked_case(), (0, false))[..]).unwrap();
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
    let answer = |scope| PagesResponse::decode(&count(&worked_case(), (scope, false))[..]).unwrap();
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

#[test]
fn times_before_the_epoch_round_down() {
    let mut tally = empty((0, false));
    feed_unit(&mut tally, &Streams::of(&worked_case(), (0, false)));
    name_pages(&mut tally);
    for (start, end) in [
        (-1, 0),
        (-1000, -999),
        (i64::MIN, i64::MAX),
        (1, 1_751_328_000_999),
    ] {
        let bytes = tally
            .answer(start, end)
            .unwrap()
            .whole(tally.snapshot())
            .unwrap();
        let answer = PagesResponse::decode(&bytes[..]).unwrap();
        let time_frame = answer.time_frame.unwrap();
        assert_eq!(time_frame.start, Some(oracle::timestamp(start)));
        assert_eq!(time_frame.end, Some(oracle::timestamp(end)));
        assert_eq!(bytes, answer.encode_to_vec());
    }
}

#[test]
fn names_that_are_no_utf8_are_replaced_and_stay_in_order() {
    let question = (0, false);
    let mut tally = empty(question);
    let mut world = worked_case();
    world.truncate(1);
    feed_unit(&mut tally, &Streams::of(&world, question));
    let keys = [page::HOME, page::FEATURES, page::PRICING];
    let urls = [b"\xff".to_vec(), b"\xfe".to_vec(), vec![]];
    let names = block(&[
        ("page_key", Values::U64(keys.to_vec())),
        ("url", Values::Text(urls.to_vec())),
    ]);
    tally.feed_pages(&names).unwrap();
    let bytes = tally.answer(0, 0).unwrap().whole(tally.snapshot()).unwrap();
    let answer = PagesResponse::decode(&bytes[..]).unwrap();
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
    let question = (0, false);
    let mut tally = empty(question);
    feed_unit(&mut tally, &Streams::of(&worked_case(), question));
    let keys = tally.page_keys();
    assert_eq!((keys.len(), tally.page_count()), (5, 5));
    assert_eq!(tally.missing_pages(), keys);
    tally.feed_pages(&streams::pages(&keys[1..])).unwrap();
    assert_eq!(tally.missing_pages(), keys[..1]);
    assert_eq!(tally.answer(0, 0).unwrap_err(), Error::Unnamed(1));
}

#[test]
fn an_open_unit_gives_no_answer() {
    let question = (0, false);
    let streams = Streams::of(&worked_case(), question);
    let mut tally = empty(question);
    tally.feed_sessions(&streams.sessions).unwrap();
    assert_eq!(tally.answer(0, 0).unwrap_err(), Error::UnitOpen);
    assert_eq!(empty(question).merge(&mut tally), Err(Error::UnitOpen));
    tally.finish_units().unwrap();
    assert_eq!(empty(question).merge(&mut tally), Ok(()));
}

#[test]
fn tallies_of_different_questions_do_not_merge() {
    assert_eq!(empty((0, false)).merge(&mut empty((1, false))), Ok(()));
    for other in [(0, true), (2, false)] {
        let refusal = empty((0, false)).merge(&mut empty(other));
        assert_eq!(refusal, Err(Error::OtherQuestion));
    }
}

#[test]
fn an_answer_does_not_outlive_its_counts() {
    let question = (0, false);
    let mut tally = empty(question);
    feed_unit(&mut tally, &Streams::of(&worked_case(), question));
    name_pages(&mut tally);
    let mut answer = tally.answer(0, 0).unwrap();
    feed_unit(&mut tally, &Streams::default());
    assert_eq!(
        answer.next_message(tally.snapshot(), 1000),
        Err(Error::Changed)
    );
}

#[test]
fn scopes_are_those_of_the_contract() {
    assert_eq!(Scope::from_number(0), Scope::from_number(1));
    for number in [-1, 6, i64::MAX] {
        assert_eq!(Scope::from_number(number), Err(Error::UnknownScope(number)));
    }
}

#[test]
fn a_unit_has_its_users_and_no_others() {
    let session = |user| Session {
        user,
        ..worked_case()[0].clone()
    };
    let question = (1, false);
    let mut tally = empty(question);
    tally.begin_units(&[(10, 20)]).unwrap();
    let error = tally
        .feed_sessions(&Streams::of(&[session(21)], question).sessions)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "sessions stream, byte 184: user 21 lies outside of the units' ranges"
    );

    let mut tally = empty(question);
    tally
        .feed_sessions(&Streams::of(&[session(1)], question).sessions)
        .unwrap();
    assert_eq!(tally.begin_units(&[(0, 9)]), Err(Error::UnitOpen));
    tally.finish_units().unwrap();
    tally.begin_units(&[(0, 9)]).unwrap();
}

#[test]
fn a_session_of_a_unit_that_was_counted_is_refused() {
    let session = |user: u64| Session {
        user,
        session_id: user.to_string(),
        ..worked_case()[0].clone()
    };
    let question = (1, false);
    let stream = |users: &[u64]| {
        let sessions: Vec<Session> = users.iter().map(|&user| session(user)).collect();
        Streams::of(&sessions, question).sessions
    };
    let units = [(0, 9), (10, 19), (20, 29)];
    let mut tally = empty(question);
    tally.begin_units(&units).unwrap();
    tally.feed_sessions(&stream(&[1, 9, 20])).unwrap();
    assert_eq!(
        tally.totals().sessions,
        2,
        "the first two units are counted"
    );
    let refused = tally.feed_sessions(&stream(&[21, 10])).unwrap_err();
    assert_eq!(refused, Error::Unordered);
    assert!(refused.to_string().ends_with("each unit by itself"));
    assert_eq!(tally.finish_units(), Err(Error::Unordered));

    let mut tally = empty(question);
    tally.begin_units(&units).unwrap();
    tally.feed_sessions(&stream(&[1, 9, 20])).unwrap();
    tally.finish_units().unwrap();
    assert_eq!((tally.totals().sessions, tally.totals().users), (3, 3));
}

#[test]
fn conversions_that_a_unit_passed_over_are_refused() {
    let mut converting = worked_case()
        .into_iter()
        .find(|session| !session.conversions.is_empty())
        .unwrap();
    converting.user = 5;
    let question = (1, false);
    let streams = Streams::of(&[converting], question);
    let mut tally = empty(question);
    tally.begin_units(&[(6, 9)]).unwrap();
    tally.feed_conversions(&streams.conversions).unwrap();
    let error = tally.finish_units().unwrap_err();
    assert_eq!(error, Error::PassedOver(5));
    assert_eq!(
        error.to_string(),
        "the conversions of user 5 came after the unit that they belong to"
    );
    // None may be left over either.
    let mut tally = empty(question);
    tally.begin_units(&[(0, 4)]).unwrap();
    tally.feed_conversions(&streams.conversions).unwrap();
    tally.finish_units().unwrap();
    assert_eq!(tally.answer(0, 0).unwrap_err(), Error::UnitOpen);
}

#[test]
fn two_pages_with_the_same_leading_bits_are_noticed() {
    let page = 9 << 22;
    let question = (1, false);
    let history = [Version {
        session: Session {
            pages: vec![page],
            ..worked_case()[0].clone()
        },
        written_at: 0,
    }];
    let counted = || {
        let mut tally = empty(question).with_keys(KeyWidth::Leading);
        feed_unit(
            &mut tally,
            &Streams::of_history(&history, question, Form::PACKED),
        );
        assert_eq!(tally.missing_pages(), [9]);
        tally
    };
    let mut once = counted();
    for names in [&[page][..], &[page, 10 << 22]] {
        once.feed_pages(&streams::pages(names)).unwrap();
    }
    for names in [&[page, page + 1][..], &[page, 1], &[7]] {
        let mut tally = counted();
        assert_eq!(
            tally.feed_pages(&streams::pages(names)),
            Err(Error::Ambiguous),
            "{names:?}"
        );
    }
    let mut whole = empty(question);
    assert_eq!(whole.merge(&mut counted()), Err(Error::OtherQuestion));
}

#[test]
fn a_tally_takes_the_keys_that_it_counts() {
    let question = (1, false);
    let world = [worked_case()[0].clone()];
    let history = [Version {
        session: world[0].clone(),
        written_at: 0,
    }];
    let whole = Streams::of(&world, question).sessions;
    let packed = Streams::of_history(&history, question, Form::PACKED).sessions;
    let refused =
        |mut tally: Tally, stream: &[u8]| tally.feed_sessions(stream).unwrap_err().to_string();
    let ends_with = "column packed is for tallies of leading bits, and they need it";
    assert!(refused(empty(question), &packed).ends_with(ends_with));
    assert!(refused(empty(question).with_keys(KeyWidth::Leading), &whole).ends_with(ends_with));
    let mut columns = streams::session_columns(&[&&world[0]], false);
    columns.retain(|(name, _)| *name != "exit_key");
    let ends_with = "the block needs column packed, or columns user_key, landing_key, exit_key and before_exit_key";
    assert!(refused(empty(question), &block(&columns)).ends_with(ends_with));
}
