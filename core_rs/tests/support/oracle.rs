//! The report, worked out the simple way: read the whole history for each session, collect sets, count them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::messages::{Page, PagesResponse, RoleCount, SummaryTotals, TimeFrame, Timestamp};
use super::{END_MS, Question, START_MS, Session, Version, url};

/// For each page and each of three roles, who had it: the user and the number of the session.
type Sightings = BTreeMap<u64, [BTreeSet<(u64, usize)>; 3]>;

pub fn answer(world: &[Session], (scope, filter): Question) -> PagesResponse {
    let mut conversion_side = Sightings::new();
    let mut drop_off_side = Sightings::new();
    let mut included = BTreeSet::new();
    let mut converting_users = BTreeSet::new();
    let mut events = 0;
    for (number, session) in world.iter().enumerate() {
        if !session.is_in_window() || !session.passes || !includes(world, session, scope, filter) {
            continue;
        }
        included.insert((session.user, number));
        let see = |sightings: &mut Sightings, role: usize, page: Option<u64>| {
            if let Some(page) = page.filter(|&page| page != 0) {
                sightings.entry(page).or_default()[role].insert((session.user, number));
            }
        };
        let conversions = session.matching(filter);
        if !conversions.is_empty() {
            converting_users.insert(session.user);
            see(&mut conversion_side, 2, session.pages.first().copied());
        }
        for conversion in &conversions {
            events += 1;
            see(&mut conversion_side, 0, Some(conversion.page));
            for view in 0..conversion.assist_views as usize {
                see(&mut conversion_side, 1, Some(session.pages[view]));
            }
        }
        if conversions.is_empty() || is_after_first_conversion(world, session, filter) {
            see(&mut drop_off_side, 0, session.pages.last().copied());
            see(&mut drop_off_side, 1, session.before_exit());
            see(&mut drop_off_side, 2, session.pages.first().copied());
        }
    }
    if included.is_empty() {
        return PagesResponse {
            message: "No page data found for the given parameters.".to_owned(),
            ..PagesResponse::default()
        };
    }
    PagesResponse {
        time_frame: Some(TimeFrame {
            start: Some(timestamp(START_MS)),
            end: Some(timestamp(END_MS)),
        }),
        summary_totals: Some(SummaryTotals {
            total_sessions: included.len() as u64,
            total_users: users(&included),
            total_conversion_events: events,
            total_conversion_users: converting_users.len() as u64,
        }),
        conversion_performance: rows(conversion_side),
        drop_off_performance: rows(drop_off_side),
        message: String::new(),
    }
}

/// The sessions that count: of each session at its place the version written last, unless it says that the session is
/// gone.
pub fn last_written(history: &[Version]) -> Vec<Session> {
    let mut last = last_at_each_place(history);
    last.retain(|session| !session.gone);
    last
}

/// Of each session at its place the version written last; of versions written at the same time, the last one that was
/// read.
pub fn last_at_each_place(history: &[Version]) -> Vec<Session> {
    let is_replaced = |number: usize, version: &Version| {
        let mut others = history.iter().enumerate();
        others.any(|(other_number, other)| {
            other.session.place() == version.session.place()
                && (other.written_at, other_number) > (version.written_at, number)
        })
    };
    let last = history
        .iter()
        .enumerate()
        .filter(|(number, version)| !is_replaced(*number, version));
    last.map(|(_, version)| version.session.clone()).collect()
}

fn includes(world: &[Session], session: &Session, scope: i64, filter: bool) -> bool {
    let of_user = || world.iter().filter(|other| other.user == session.user);
    let converts = |other: &Session| !other.matching(filter).is_empty();
    let is_first = !of_user().any(|other| is_before(other, session));
    match scope {
        2 => is_first && (!filter || of_user().any(converts)),
        3 => converts(session),
        4 => {
            let converted_by_now =
                of_user().any(|other| converts(other) && !is_before(session, other));
            !is_first && of_user().any(converts) && !converted_by_now
        }
        5 => is_after_first_conversion(world, session, filter),
        _ => !filter || converts(session),
    }
}

fn is_after_first_conversion(world: &[Session], session: &Session, filter: bool) -> bool {
    world.iter().any(|other| {
        other.user == session.user
            && !other.matching(filter).is_empty()
            && is_before(other, session)
    })
}

fn is_before(one: &Session, other: &Session) -> bool {
    (one.started_at, one.key()) < (other.started_at, other.key())
}

fn users(sightings: &BTreeSet<(u64, usize)>) -> u64 {
    let users: BTreeSet<u64> = sightings.iter().map(|(user, _)| *user).collect();
    users.len() as u64
}

fn rows(sightings: Sightings) -> Vec<Page> {
    let mut rows: Vec<_> = sightings
        .into_iter()
        .map(|(page, roles)| {
            let counts = roles.map(|seen| RoleCount {
                sessions: seen.len() as u64,
                users: users(&seen),
            });
            (url(page), counts)
        })
        .collect();
    rows.sort_by_key(|(url, counts)| (Reverse(counts.map(|count| count.sessions)), url.clone()));
    rows.into_iter()
        .map(|(url, [first, assist, landing])| Page {
            url,
            first: Some(first),
            assist: Some(assist),
            landing: Some(landing),
        })
        .collect()
}

pub fn timestamp(ms: i64) -> Timestamp {
    Timestamp {
        seconds: ms.div_euclid(1000),
        nanos: i32::try_from(ms.rem_euclid(1000) * 1_000_000).unwrap(),
    }
}
