//! The sessions behind a number, days and values of a domain in memory, against a naive reading of the same world.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
#![allow(clippy::struct_field_names, reason = "the contract's names")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pageroles_core::roles::ROLES;
use pageroles_core::{
    Days, Error, Field, Incoming, Names, Part, Question, Resident, Scope, Selected, Selection,
    Values, key,
};
use proptest::prelude::*;
use prost::Message;
use support::blocks::{self, block};
use support::crowds::{Crowd, mixed};
use support::messages::{Page, PagesResponse, RoleCount, SummaryTotals};
use support::streams::{self, MATCHING, PASSING};
use support::tallies::{decoded, whole};
use support::{DAY_MS, END_MS, START_MS, Session, histories, oracle, url};

#[derive(Clone, PartialEq, Message)]
struct PageDaysResponse {
    #[prost(message, repeated, tag = "1")]
    days: Vec<PageDay>,
}

#[derive(Clone, PartialEq, Message)]
struct PageDay {
    #[prost(string, tag = "1")]
    date: String,
    #[prost(message, optional, tag = "2")]
    summary_totals: Option<SummaryTotals>,
    #[prost(message, optional, tag = "3")]
    roles: Option<PageRoles>,
    #[prost(message, optional, tag = "4")]
    landing: Option<RoleCount>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct PageRoles {
    #[prost(message, optional, tag = "1")]
    conversion: Option<RoleCount>,
    #[prost(message, optional, tag = "2")]
    conversion_assist: Option<RoleCount>,
    #[prost(message, optional, tag = "3")]
    landing_assisted_conversion: Option<RoleCount>,
    #[prost(message, optional, tag = "4")]
    drop_off: Option<RoleCount>,
    #[prost(message, optional, tag = "5")]
    drop_off_assist: Option<RoleCount>,
    #[prost(message, optional, tag = "6")]
    landing_assisted_drop_off: Option<RoleCount>,
}

/// The pages that are asked about: those of test worlds, and one that they do not know.
const PAGES: [u64; 7] = [1, 2, 3, 4, 5, u64::MAX, 77];

/// The days that the window of test worlds touches.
const FIRST_DAY: i64 = START_MS / DAY_MS;
const DAYS: usize = 3;

fn resident_of(world: &[Session]) -> Arc<Resident> {
    let resident = Arc::new(Resident::default());
    let mut incoming = Incoming::new(Arc::clone(&resident));
    incoming.feed(&streams::places(world)).unwrap();
    incoming.apply().unwrap();
    resident
}

/// The users of each unit, as domains of their own.
fn units(world: &[Session], units: u64) -> Vec<Arc<Resident>> {
    let of_unit = (0..units).map(|unit| {
        let world = world.iter().filter(|session| session.user % units == unit);
        resident_of(&world.cloned().collect::<Vec<_>>())
    });
    of_unit.collect()
}

/// Any question: of each filter no value, one that occurs, or one that does not.
fn any_question() -> impl Strategy<Value = Question> {
    let instant = || (START_MS / DAY_MS * 5..=END_MS / DAY_MS * 5, -1_i64..=1);
    let instant = move || {
        instant().prop_map(|(tick, ms)| (tick * support::TICK_MS + ms).clamp(START_MS, END_MS))
    };
    let window = prop_oneof![
        2 => Just([START_MS, END_MS]),
        1 => (instant(), instant()).prop_map(|(one, other)| [one.min(other), one.max(other)]),
    ];
    let option = |values: Vec<u64>| prop::option::weighted(0.3, prop::sample::select(values));
    let traffic = (
        option(vec![PASSING, PASSING + 1]),
        option(vec![0, 1]),
        option(vec![0, 1, 2]),
    );
    let conversion = (
        option(vec![0, 1, 2, 5, 9]),
        option(vec![MATCHING, MATCHING, MATCHING + 1]),
        option(vec![0, 0, 1]),
    );
    (
        0_i64..=5,
        window,
        traffic,
        option(PAGES.to_vec()),
        conversion,
    )
        .prop_map(
            |(scope, window, (source, medium, campaign), landing, (url, kind, id))| Question {
                scope: Scope::from_number(scope).unwrap(),
                window,
                traffic: [source, medium, campaign, None, None],
                landing,
                conversion: [url, kind, id],
            },
        )
}

/// The keys of a session's source, medium, campaign, content and term, as [`streams::places`] has them.
fn traffic_of(session: &Session) -> [u64; 5] {
    let bit = |place: u32| session.key() >> place & 1;
    let source = PASSING + u64::from(!session.passes);
    [source, bit(0), bit(1), bit(2), bit(3)]
}

fn values_of(conversion: &support::Conversion) -> [u64; 3] {
    [
        conversion.page,
        MATCHING + u64::from(!conversion.matches),
        0,
    ]
}

fn all_match<const N: usize>(asked: [Option<u64>; N], values: [u64; N]) -> bool {
    let mut both = asked.iter().zip(values);
    both.all(|(asked, value)| asked.is_none_or(|asked| asked == value))
}

/// The world in which sessions and conversions pass that pass the question's filters, and the question's scope.
fn as_asked(world: &[Session], question: &Question) -> (Vec<Session>, support::Question) {
    let mut asked = world.to_vec();
    for (session, original) in asked.iter_mut().zip(world) {
        let [start, end] = question.window;
        session.passes = (start..=end).contains(&session.started_at)
            && all_match(question.traffic, traffic_of(original))
            && (question.landing).is_none_or(|page| session.pages.first() == Some(&page));
        for conversion in &mut session.conversions {
            conversion.matches = all_match(question.conversion, values_of(conversion));
        }
    }
    let scope = match question.scope {
        Scope::Any => 1,
        Scope::First => 2,
        Scope::Converting => 3,
        Scope::Assist => 4,
        Scope::After => 5,
    };
    let filter = question.conversion.iter().any(Option::is_some);
    (asked, (scope, filter))
}

/// The question whose sessions are those that `landing` of a report counts.
fn of_landings(question: &Question) -> Option<Question> {
    matches!(question.scope, Scope::Any | Scope::Converting).then_some(Question {
        scope: Scope::Any,
        conversion: [None; 3],
        ..*question
    })
}

fn report(resident: &Resident, question: &Question) -> PagesResponse {
    let mut counted = resident.count(question, false, false, 1).unwrap();
    let names = streams::pages(&counted.missing_pages());
    counted.feed_pages(&names).unwrap();
    decoded(&whole(&mut counted))
}

/// The counts of a page in each role, as a report has them.
fn cells(report: &PagesResponse, page: u64) -> [RoleCount; 6] {
    let row = |rows: &[Page]| {
        let row = rows.iter().find(|row| row.url == url(page)).cloned();
        let row = row.unwrap_or_default();
        [row.first, row.assist, row.landing].map(Option::unwrap_or_default)
    };
    let [one, other] = [&report.conversion_performance, &report.drop_off_performance];
    let both: Vec<_> = row(one).into_iter().chain(row(other)).collect();
    both.try_into().unwrap()
}

fn selected(
    residents: &[Arc<Resident>],
    question: &Question,
    part: Part,
    [limit, threads]: [usize; 2],
    before: Option<Selected>,
) -> (Vec<Selected>, RoleCount) {
    let mut selection = Selection::new(limit, before);
    for resident in residents {
        let mut of_unit = Selection::new(limit, before);
        resident.select(question, part, &mut of_unit, threads);
        selection.merge(&of_unit).unwrap();
    }
    let total = selection.total();
    let total = RoleCount {
        sessions: total.sessions,
        users: total.users,
    };
    (selection.take(), total)
}

/// The same, some sessions at a time.
fn selected_in_parts(
    residents: &[Arc<Resident>],
    question: &Question,
    part: Part,
    limit: usize,
) -> Vec<Selected> {
    let mut all = Vec::new();
    loop {
        let before = all.last().copied();
        let (next, _) = selected(residents, question, part, [limit, 1], before);
        if next.is_empty() {
            return all;
        }
        assert!(next.len() <= limit);
        all.extend(next);
    }
}

fn count_of(sessions: &[Selected]) -> RoleCount {
    let users: BTreeSet<u64> = sessions.iter().map(|(_, _, user)| *user).collect();
    RoleCount {
        sessions: sessions.len() as u64,
        users: users.len() as u64,
    }
}

fn days_of(
    residents: &[Arc<Resident>],
    question: &Question,
    page: Option<u64>,
    threads: usize,
) -> Vec<u8> {
    let mut days = Days::new(FIRST_DAY, DAYS);
    for resident in residents {
        let mut of_unit = Days::new(FIRST_DAY, DAYS);
        let landings = of_landings(question);
        resident.days(question, page, landings.as_ref(), &mut of_unit, threads);
        days.merge(&of_unit).unwrap();
    }
    days.message()
}

/// Each day as the report of its window.
fn naive_days(world: &[Session], question: &Question, page: Option<u64>) -> PageDaysResponse {
    let days = (FIRST_DAY..).zip(["1970-01-03", "1970-01-04", "1970-01-05"]);
    let days = days.map(|(day, date)| {
        let of_day = Question {
            window: [
                question.window[0].max(day * DAY_MS),
                question.window[1].min((day + 1) * DAY_MS - 1),
            ],
            ..*question
        };
        let (asked, plain) = as_asked(world, &of_day);
        let report = oracle::answer(&asked, plain);
        let counts = page.map(|page| cells(&report, page).map(Some));
        let landing = page.map(|page| {
            let of_landings = of_landings(&of_day).unwrap_or(of_day);
            let (asked, plain) = as_asked(world, &of_landings);
            let landed = oracle::landed(&asked, plain);
            landed.get(&url(page)).copied().unwrap_or_default()
        });
        PageDay {
            date: date.to_owned(),
            summary_totals: Some(report.summary_totals.unwrap_or_default()),
            roles: counts.map(
                |[
                    conversion,
                    conversion_assist,
                    landing_assisted_conversion,
                    drop_off,
                    drop_off_assist,
                    landing_assisted_drop_off,
                ]| PageRoles {
                    conversion,
                    conversion_assist,
                    landing_assisted_conversion,
                    drop_off,
                    drop_off_assist,
                    landing_assisted_drop_off,
                },
            ),
            landing,
        }
    });
    PageDaysResponse {
        days: days.collect(),
    }
}

/// The question with a value of a filter set.
fn with_value(question: &Question, field: usize, value: u64) -> Question {
    let mut question = *question;
    match field {
        0..3 => question.conversion[field] = Some(value),
        3..8 => question.traffic[field - 3] = Some(value),
        _ => question.landing = Some(value),
    }
    question
}

/// The values of a filter that occur anywhere in a world.
fn stored(world: &[Session], field: usize) -> BTreeSet<u64> {
    let values = world.iter().flat_map(|session| match field {
        0..3 => {
            let conversions = session.conversions.iter();
            conversions.map(|each| values_of(each)[field]).collect()
        }
        3..8 => vec![traffic_of(session)[field - 3]],
        _ => session.pages.first().copied().into_iter().collect(),
    });
    values.collect()
}

fn values_in(
    residents: &[Arc<Resident>],
    question: &Question,
    field: usize,
    threads: usize,
) -> Values {
    let field = Field::from_number(i64::try_from(field).unwrap()).unwrap();
    let mut values = Values::default();
    for resident in residents {
        values.merge(&resident.values(question, field, threads));
    }
    values
}

/// For each stored value the sessions of the question with that value set, without those that have none.
fn naive_values(world: &[Session], question: &Question, field: usize) -> BTreeMap<u64, u64> {
    let sessions = stored(world, field).into_iter().map(|value| {
        let (asked, plain) = as_asked(world, &with_value(question, field, value));
        let totals = oracle::answer(&asked, plain).summary_totals;
        (value, totals.unwrap_or_default().total_sessions)
    });
    sessions.filter(|(_, sessions)| *sessions > 0).collect()
}

fn as_map(values: &Values) -> BTreeMap<u64, u64> {
    let keys = values.keys().into_iter();
    keys.map(|value| (value, values.sessions(value))).collect()
}

/// Each page in each role, and all sessions.
fn parts() -> impl Iterator<Item = (Option<u64>, i64)> {
    let of_pages = PAGES
        .iter()
        .flat_map(|&page| (0..=7).map(move |role| (Some(page), role)));
    of_pages.chain([(None, 0)])
}

proptest! {
    #![proptest_config(support::config())]

    #[test]
    fn a_selection_has_the_sessions_of_a_number(
        history in histories(),
        question in any_question(),
        limit in 1_usize..5,
        unit_count in 1_u64..4,
    ) {
        let world = oracle::last_written(&history);
        let whole = [resident_of(&world)];
        let units = units(&world, unit_count);
        let (asked, plain) = as_asked(&world, &question);
        let report = report(&whole[0], &question);
        for (page, role) in parts() {
            let part = Part::from_numbers(page, role).unwrap();
            let role = usize::try_from(role).unwrap();
            let expected = oracle::behind(&asked, plain, page, role);
            let total = count_of(&expected);
            let (found, counted) = selected(&whole, &question, part, [usize::MAX, 1], None);
            prop_assert_eq!(&found, &expected, "{:?} of {:?}", part, question);
            prop_assert_eq!(counted, total);
            let cell = match (page, role) {
                (Some(page), 1..=6) => cells(&report, page)[role - 1],
                (None, _) => {
                    let totals = report.summary_totals.unwrap_or_default();
                    RoleCount { sessions: totals.total_sessions, users: totals.total_users }
                }
                _ => total,
            };
            prop_assert_eq!(counted, cell, "{:?} of {:?}", part, question);
            let (found, counted) = selected(&units, &question, part, [limit, 3], None);
            prop_assert_eq!(&found[..], &expected[..limit.min(expected.len())]);
            prop_assert_eq!(counted, total);
            prop_assert_eq!(selected_in_parts(&units, &question, part, limit), expected);
        }
    }

    #[test]
    fn sessions_that_landed_on_a_page_are_those_of_the_report(
        history in histories(),
        question in any_question(),
    ) {
        let world = oracle::last_written(&history);
        let whole = [resident_of(&world)];
        let (asked, plain) = as_asked(&world, &of_landings(&question).unwrap_or(question));
        let landed = oracle::landed(&asked, plain);
        for page in PAGES {
            let asked = of_landings(&question).unwrap_or(question);
            let (found, total) = selected(&whole, &asked, Part::Landing(page), [usize::MAX, 1], None);
            prop_assert_eq!(total, landed.get(&url(page)).copied().unwrap_or_default());
            prop_assert_eq!(count_of(&found), total);
        }
    }

    #[test]
    fn days_are_the_reports_of_their_windows(
        history in histories(),
        question in any_question(),
        unit_count in 1_u64..4,
    ) {
        let world = oracle::last_written(&history);
        let whole = [resident_of(&world)];
        let units = units(&world, unit_count);
        for page in PAGES.map(Some).into_iter().chain([None]) {
            let expected = naive_days(&world, &question, page);
            let message = days_of(&whole, &question, page, 1);
            let found = PageDaysResponse::decode(&message[..]).unwrap();
            prop_assert_eq!(&found, &expected, "page {:?} of {:?}", page, question);
            prop_assert_eq!(&message, &expected.encode_to_vec());
            prop_assert_eq!(days_of(&units, &question, page, 3), message);
            let sessions = found.days.iter().map(|day| day.summary_totals.unwrap().total_sessions);
            let all = report(&whole[0], &question).summary_totals.unwrap_or_default();
            prop_assert_eq!(sessions.sum::<u64>(), all.total_sessions);
        }
    }

    #[test]
    fn values_have_the_sessions_of_the_question_with_each_of_them(
        history in histories(),
        question in any_question(),
        unit_count in 1_u64..4,
    ) {
        let world = oracle::last_written(&history);
        let whole = [resident_of(&world)];
        let units = units(&world, unit_count);
        for field in 0..9 {
            let expected = naive_values(&world, &question, field);
            let found = values_in(&whole, &question, field, 1);
            prop_assert_eq!(as_map(&found), expected, "field {} of {:?}", field, question);
            prop_assert_eq!(&values_in(&units, &question, field, 3), &found);
            for (value, sessions) in as_map(&found) {
                let asked = with_value(&question, field, value);
                let counted = whole[0].count(&asked, false, false, 1).unwrap();
                prop_assert_eq!(counted.totals().sessions, sessions);
            }
        }
    }
}

/// Users lie in many blocks, which several threads share.
#[test]
fn a_crowd_is_asked_on_any_number_of_threads() {
    let crowd = Crowd {
        users: 4_000,
        key: mixed,
        sessions: |user| if user == 2_500 { 5_000 } else { 1 + user % 3 },
        all_count: false,
        converting_one_in: 30,
        converts: |_| false,
    };
    let world = oracle::last_written(&crowd.history());
    let residents = [resident_of(&world)];
    let plain = Question {
        scope: Scope::Any,
        window: [START_MS, END_MS],
        traffic: [Some(PASSING), None, None, None, None],
        landing: None,
        conversion: [None; 3],
    };
    let filters = [[None; 3], [None, Some(MATCHING), None]];
    for scope in (1..=5).map(|number| Scope::from_number(number).unwrap()) {
        for conversion in filters {
            let question = Question {
                scope,
                conversion,
                ..plain
            };
            let (asked, plain) = as_asked(&world, &question);
            let roles = ROLES.iter().map(|role| role.number());
            for role in [0].into_iter().chain(roles) {
                let part = Part::from_numbers(Some(1), i64::from(role)).unwrap();
                let expected = oracle::behind(&asked, plain, Some(1), role as usize);
                let first = &expected[..expected.len().min(7)];
                for threads in [1, 3] {
                    let (found, total) = selected(&residents, &question, part, [7, threads], None);
                    assert_eq!((&found[..], total), (first, count_of(&expected)));
                }
                assert_eq!(selected_in_parts(&residents, &question, part, 50), expected);
            }
            let expected = naive_days(&world, &question, Some(1)).encode_to_vec();
            for threads in [1, 3] {
                assert_eq!(days_of(&residents, &question, Some(1), threads), expected);
            }
            for field in [0, 1, 3, 4, 8] {
                let expected = naive_values(&world, &question, field);
                for threads in [1, 3] {
                    let found = values_in(&residents, &question, field, threads);
                    assert_eq!(as_map(&found), expected);
                }
            }
        }
    }
}

#[test]
fn days_that_differ_are_not_merged() {
    let mut days = Days::new(3, 2);
    for other in [Days::new(4, 2), Days::new(3, 1)] {
        assert_eq!(days.merge(&other), Err(Error::Unlike("days")));
    }
    days.merge(&Days::new(3, 2)).unwrap();
}

#[test]
fn selections_that_differ_are_not_merged() {
    let mut selection = Selection::new(2, None);
    for other in [Selection::new(1, None), Selection::new(2, Some((1, 2, 3)))] {
        assert_eq!(selection.merge(&other), Err(Error::Unlike("selections")));
    }
}

/// Names of values, as a store sends them.
fn named(texts: &[&[u8]]) -> Vec<u8> {
    let keys = texts.iter().map(|text| key(text)).collect();
    let texts = texts.iter().map(|text| text.to_vec()).collect();
    block(&[
        ("value", blocks::Values::Text(texts)),
        ("key", blocks::Values::U64(keys)),
    ])
}

/// A domain of sessions with these sources.
fn of_sources(sources: &[&str]) -> Arc<Resident> {
    let world: Vec<Session> = (0..sources.len())
        .map(|nth| support::session(nth as u64, 12, "s", 1))
        .collect();
    let mut columns = streams::place_columns(&world.iter().collect::<Vec<_>>());
    let keys = sources
        .iter()
        .map(|source| key(source.as_bytes()))
        .collect();
    let column = columns.iter_mut().find(|(name, _)| *name == "source_key");
    column.unwrap().1 = blocks::Values::U64(keys);
    let resident = Arc::new(Resident::default());
    let mut incoming = Incoming::new(Arc::clone(&resident));
    incoming.feed(&block(&columns)).unwrap();
    incoming.apply().unwrap();
    resident
}

#[test]
fn the_first_values_have_most_sessions() {
    let sources = [
        "b", "b", "a", "B", "Ärger", "Ärger", "ärmer", "", "", "", "no name", "ab",
    ];
    let question = Question {
        scope: Scope::Any,
        window: [START_MS, END_MS],
        traffic: [None; 5],
        landing: None,
        conversion: [None; 3],
    };
    let values = values_in(&[of_sources(&sources)], &question, 3, 1);
    let names = Names::default();
    assert_eq!(values.missing(&names).len(), 7);
    let texts: [&[u8]; 8] = [
        b"a",
        b"b",
        b"B",
        "Ärger".as_bytes(),
        "ärmer".as_bytes(),
        b"",
        b"ab",
        b"of no session",
    ];
    for chunk in named(&texts).chunks(3) {
        names.feed(chunk).unwrap();
    }
    assert_eq!(values.missing(&names), [key(b"no name")]);
    let top = |contains, limit| {
        let top = values.top(&names, contains, limit);
        let texts = top
            .into_iter()
            .map(|(text, sessions)| format!("{text} {sessions}"));
        texts.collect::<Vec<_>>()
    };
    let all = ["b 2", "Ärger 2", "B 1", "a 1", "ab 1", "ärmer 1"];
    for limit in 0..8 {
        assert_eq!(top("", limit), all[..limit.min(6)]);
    }
    assert_eq!(top("B", 9), ["b 2", "B 1", "ab 1"]);
    assert_eq!(top("äR", 9), ["Ärger 2", "ärmer 1"]);
    assert_eq!(top("ÄRM", 9), ["ärmer 1"]);
    assert_eq!(top("c", 9), Vec::<String>::new());
}

#[test]
fn names_of_a_stream_are_shared_whole() {
    let shared = Names::default();
    assert!(shared.is_empty());
    let none = shared.bytes();
    let stream = named(&[b"one", b"t\xffwo"]);
    let names = Names::default();
    names.feed(&stream[..stream.len() - 1]).unwrap();
    assert!(matches!(
        shared.merge(&names),
        Err(Error::Truncated {
            stream: "names",
            ..
        })
    ));
    assert!(shared.is_empty());
    names.feed(&stream[stream.len() - 1..]).unwrap();
    shared.merge(&names).unwrap();
    shared.merge(&shared).unwrap();
    assert_eq!(shared.len(), 2);
    assert!(shared.bytes() > none);
    let refused = Names::default();
    let error = refused.feed(b"\x01\x01\x01x\x01y").unwrap_err();
    assert_eq!(shared.merge(&refused), Err(error));
}
