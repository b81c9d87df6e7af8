//! The report, worked out the simple way: sort each user's whole history, collect sets, count them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::messages::{
    Balance, Page, PagesResponse, RoleCount, SummaryTotals, TimeFrame, Timestamp,
};
use super::{END_MS, Question, START_MS, Session, Version, url};

/// For each page and each of three roles, who had it: the user and the number of the session.
type Sightings = BTreeMap<u64, [BTreeSet<(u64, usize)>; 3]>;

/// What a question finds in a world.
struct Reading {
    /// The users and numbers of the included sessions.
    included: BTreeSet<(u64, usize)>,
    /// The conversion side and the drop-off side.
    sides: [Sightings; 2],
    converting_users: BTreeSet<u64>,
    events: u64,
}

fn read(world: &[Session], (scope, filter): Question) -> Reading {
    let mut conversion_side = Sightings::new();
    let mut drop_off_side = Sightings::new();
    let mut included = BTreeSet::new();
    let mut converting_users = BTreeSet::new();
    let mut events = 0;
    let journeys = Journey::of_users(world, filter);
    for (number, session) in world.iter().enumerate() {
        let journey = &journeys[&session.user];
        let counts = session.is_in_window() && session.passes;
        if !counts || !journey.includes(session, scope, filter) {
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
        if conversions.is_empty() || journey.is_after(session) {
            see(&mut drop_off_side, 0, session.pages.last().copied());
            see(&mut drop_off_side, 1, session.before_exit());
            see(&mut drop_off_side, 2, session.pages.first().copied());
        }
    }
    Reading {
        included,
        sides: [conversion_side, drop_off_side],
        converting_users,
        events,
    }
}

pub fn answer(world: &[Session], question: Question) -> PagesResponse {
    let Reading {
        included,
        sides: [conversion_side, drop_off_side],
        converting_users,
        events,
    } = read(world, question);
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
        ..PagesResponse::default()
    }
}

/// The included sessions in which a page has a role, by the numbers of the contract: start, key and user, the greatest
/// first. Role 0 is any, 7 is to land on the page, and without a page all are meant.
pub fn behind(
    world: &[Session],
    question: Question,
    page: Option<u64>,
    role: usize,
) -> Vec<(i64, u64, u64)> {
    let reading = read(world, question);
    let found: BTreeSet<(u64, usize)> = match page {
        None => reading.included,
        Some(page) if role == 7 => {
            let lands = |&(_, number): &(u64, usize)| world[number].pages.first() == Some(&page);
            reading.included.into_iter().filter(lands).collect()
        }
        Some(page) => {
            let roles = reading.sides.iter().zip([1, 4]).flat_map(|(side, first)| {
                let of_page = side.get(&page).into_iter().flatten();
                of_page.zip(first..)
            });
            let asked = roles.filter(|(_, number)| role == 0 || role == *number);
            asked.flat_map(|(seen, _)| seen.iter().copied()).collect()
        }
    };
    let place = |(user, number): (u64, usize)| {
        let (started_at, key) = moment(&world[number]);
        (started_at, key, user)
    };
    let mut places: Vec<_> = found.into_iter().map(place).collect();
    places.sort_unstable();
    places.reverse();
    places
}

/// For each page, the sessions that landed on it: all that pass, or those that the scope includes.
pub fn landed(world: &[Session], (scope, filter): Question) -> BTreeMap<String, RoleCount> {
    let journeys = Journey::of_users(world, filter);
    let mut sightings: BTreeMap<u64, BTreeSet<(u64, usize)>> = BTreeMap::new();
    for (number, session) in world.iter().enumerate() {
        let is_any = !matches!(scope, 2 | 4 | 5);
        let counts = is_any || journeys[&session.user].includes(session, scope, filter);
        if counts && session.is_in_window() && session.passes {
            for &page in session.pages.iter().take(1).filter(|&&page| page != 0) {
                let of_page = sightings.entry(page).or_default();
                of_page.insert((session.user, number));
            }
        }
    }
    let count = |found: BTreeSet<(u64, usize)>| RoleCount {
        sessions: found.len() as u64,
        users: users(&found),
    };
    (sightings.into_iter())
        .map(|(page, found)| (url(page), count(found)))
        .collect()
}

pub fn balance(world: &[Session], (scope, filter): Question) -> Balance {
    let journeys = Journey::of_users(world, filter);
    let count = |is: &dyn Fn(bool, bool, bool) -> bool| {
        let sessions = world.iter().enumerate().filter(|(_, session)| {
            let journey = &journeys[&session.user];
            let converting = !session.matching(filter).is_empty();
            let dropping_off = !converting || journey.is_after(session);
            let blank = session.pages.first().is_none_or(|&page| page == 0);
            session.is_in_window()
                && session.passes
                && journey.includes(session, scope, filter)
                && is(converting, dropping_off, blank)
        });
        let found: BTreeSet<(u64, usize)> = sessions
            .map(|(number, session)| (session.user, number))
            .collect();
        Some(RoleCount {
            sessions: found.len() as u64,
            users: users(&found),
        })
    };
    Balance {
        included: count(&|_, _, _| true),
        converting: count(&|converting, _, _| converting),
        dropping_off: count(&|_, dropping_off, _| dropping_off),
        both: count(&|converting, dropping_off, _| converting && dropping_off),
        converting_without_views: count(&|converting, _, blank| converting && blank),
        dropping_off_without_views: count(&|_, dropping_off, blank| dropping_off && blank),
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
    let mut last = HashMap::new();
    for (number, version) in history.iter().enumerate() {
        let kept = last.entry(version.session.place()).or_insert(number);
        if history[*kept].written_at <= version.written_at {
            *kept = number;
        }
    }
    // In the order in which they came.
    let last: BTreeSet<usize> = last.into_values().collect();
    (last.into_iter())
        .map(|number| history[number].session.clone())
        .collect()
}

/// When a session started, and its key: its place in its user's journey.
type Moment = (i64, u64);

fn moment(session: &Session) -> Moment {
    (session.started_at, session.key())
}

/// What the scopes need to know of a user.
struct Journey {
    first: Moment,
    first_converting: Option<Moment>,
}

impl Journey {
    fn of_users(world: &[Session], filter: bool) -> HashMap<u64, Self> {
        let mut sessions: HashMap<u64, Vec<(Moment, bool)>> = HashMap::new();
        for session in world {
            let of_user = sessions.entry(session.user).or_default();
            of_user.push((moment(session), !session.matching(filter).is_empty()));
        }
        let journey = |mut sessions: Vec<(Moment, bool)>| {
            sessions.sort_unstable();
            let first_converting = sessions.iter().find(|(_, converts)| *converts);
            Self {
                first: sessions[0].0,
                first_converting: first_converting.map(|(moment, _)| *moment),
            }
        };
        (sessions.into_iter())
            .map(|(user, sessions)| (user, journey(sessions)))
            .collect()
    }

    fn includes(&self, session: &Session, scope: i64, filter: bool) -> bool {
        let converts = !session.matching(filter).is_empty();
        let is_first = moment(session) == self.first;
        match scope {
            2 => is_first && (!filter || self.first_converting.is_some()),
            3 => converts,
            4 => {
                !is_first
                    && self
                        .first_converting
                        .is_some_and(|first| moment(session) < first)
            }
            5 => self.is_after(session),
            _ => !filter || converts,
        }
    }

    fn is_after(&self, session: &Session) -> bool {
        self.first_converting
            .is_some_and(|first| moment(session) > first)
    }
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
            landed: None,
        })
        .collect()
}

pub fn timestamp(ms: i64) -> Timestamp {
    Timestamp {
        seconds: ms.div_euclid(1000),
        nanos: i32::try_from(ms.rem_euclid(1000) * 1_000_000).unwrap(),
    }
}
