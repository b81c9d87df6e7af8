//! What the tests share: small worlds of sessions, the streams that a host would make of them, and a naive reading of
//! the same worlds.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop anywhere"
)]

pub mod blocks;
pub mod crowds;
pub mod messages;
pub mod oracle;
pub mod streams;
pub mod tallies;

use std::hash::{DefaultHasher, Hash, Hasher};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The same cases in every run; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` bring others.
pub fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    let rng_seed = match config.rng_seed {
        RngSeed::Random => RngSeed::Fixed(20_250_701),
        given @ RngSeed::Fixed(_) => given,
    };
    ProptestConfig {
        rng_seed,
        failure_persistence: None,
        ..config
    }
}

pub const DAY_MS: i64 = 86_400_000;

/// What all times of test worlds are whole numbers of: a fifth of a day, so that sessions often start together.
pub const TICK_MS: i64 = DAY_MS / 5;

/// The window of all test worlds. It ends with the first millisecond of a day.
pub const START_MS: i64 = 10 * TICK_MS;
pub const END_MS: i64 = 20 * TICK_MS;

#[derive(Debug, Clone)]
pub struct Conversion {
    /// 0: no page.
    pub page: u64,
    /// How many of the first views assist it.
    pub assist_views: u32,
    /// Passes the conversion filters.
    pub matches: bool,
}

#[derive(Debug, Clone)]
pub struct Session {
    pub user: u64,
    pub started_at: i64,
    pub session_id: String,
    /// Passes the session filters.
    pub passes: bool,
    pub pages: Vec<u64>,
    pub conversions: Vec<Conversion>,
    /// It is elsewhere: this row takes its place.
    pub gone: bool,
}

impl Session {
    fn day(&self) -> i64 {
        self.started_at.div_euclid(DAY_MS)
    }

    /// Where the store has one row of it.
    pub fn place(&self) -> (u64, i64, &str) {
        (self.user, self.day(), &self.session_id)
    }

    pub fn is_in_window(&self) -> bool {
        (START_MS..=END_MS).contains(&self.started_at)
    }

    /// Whether it started on a day of the window.
    pub fn is_in_days(&self) -> bool {
        (START_MS / DAY_MS..=END_MS / DAY_MS).contains(&self.day())
    }

    /// The conversions that count.
    pub fn matching(&self, conversion_filter: bool) -> Vec<&Conversion> {
        let conversions = self.conversions.iter();
        conversions
            .filter(|conversion| conversion.matches || !conversion_filter)
            .collect()
    }

    /// A hash of the id, in place of the store's.
    pub fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.session_id.hash(&mut hasher);
        hasher.finish()
    }

    pub fn before_exit(&self) -> Option<u64> {
        let exit = self.pages.last()?;
        self.pages.iter().rev().find(|page| *page != exit).copied()
    }
}

/// A question: the scope's number and whether conversion filters are set.
pub type Question = (i64, bool);

pub fn questions() -> impl Iterator<Item = Question> {
    (0..=5).flat_map(|scope| [(scope, false), (scope, true)])
}

pub fn url(page: u64) -> String {
    format!("https://example.com/{page}")
}

/// Worlds of few users, pages and times, so that everything repeats and ties. Some keys are large.
pub fn worlds() -> impl Strategy<Value = Vec<Session>> {
    vec(any_session(), 0..40).prop_map(|mut sessions| {
        for (number, session) in sessions.iter_mut().enumerate() {
            // Ids are unique, and say nothing about the order of the rows.
            session.session_id = format!("{}-{number}", session.session_id);
        }
        sessions
    })
}

/// A session of one user, on one page, that the filters pass.
pub fn session(user: u64, ticks: i64, id: &str, page: u64) -> Session {
    Session {
        user,
        started_at: ticks * TICK_MS,
        session_id: id.to_owned(),
        passes: true,
        pages: vec![page],
        conversions: vec![],
        gone: false,
    }
}

pub mod page {
    pub const HOME: u64 = 1;
    pub const FEATURES: u64 = 2;
    pub const PRICING: u64 = 3;
    pub const SIGNUP: u64 = 4;
    pub const DOCS: u64 = 5;
}

/// The worked case of `docs/semantics.md`.
pub fn worked_case() -> Vec<Session> {
    let on = |user, ticks, id, pages: &[u64]| Session {
        pages: pages.to_vec(),
        ..session(user, ticks, id, 0)
    };
    let signup = || {
        vec![Conversion {
            page: page::SIGNUP,
            assist_views: 1,
            matches: true,
        }]
    };
    let mut world = vec![
        on(1, 13, "s1", &[page::HOME, page::FEATURES, page::PRICING]),
        on(1, 15, "s2", &[page::PRICING, page::SIGNUP]),
        on(1, 19, "s3", &[page::DOCS, page::DOCS]),
        on(2, 16, "s4", &[page::SIGNUP]),
    ];
    world[1].conversions = signup();
    world[3].conversions = signup();
    world
}

/// One version of a session.
#[derive(Debug, Clone)]
pub struct Version {
    pub session: Session,
    pub written_at: i64,
}

/// The history of sessions that were written once.
pub fn written_once(world: &[Session]) -> Vec<Version> {
    let version = |session: &Session| Version {
        session: session.clone(),
        written_at: 0,
    };
    world.iter().map(version).collect()
}

/// Sessions in all their versions, in any order. Some versions were written at the same time, some are at another place,
/// and some say that the session is gone from theirs.
pub fn histories() -> impl Strategy<Value = Vec<Version>> {
    let index = any::<prop::sample::Index>;
    let place = prop_oneof![2 => Just(None), 1 => index().prop_map(Some)];
    let rewritten = (
        index(),
        place,
        any::<bool>(),
        prop::bool::weighted(0.3),
        pages_and_conversions(),
    );
    let times = vec(-2_i64..2, 80);
    (worlds(), vec(rewritten, 0..40), times)
        .prop_map(|(mut sessions, rewritten, times)| {
            let known = sessions.len();
            for (index, place, passes, gone, (pages, conversions)) in rewritten {
                if known > 0 {
                    let session = sessions[index.index(known)].clone();
                    let at = place.map_or(&session, |place| &sessions[place.index(known)]);
                    let (user, started_at) = (at.user, at.started_at);
                    sessions.push(Session {
                        user,
                        started_at,
                        passes,
                        pages,
                        conversions,
                        gone,
                        ..session
                    });
                }
            }
            let versions = sessions.into_iter().zip(times);
            versions
                .map(|(session, written_at)| Version {
                    session,
                    written_at,
                })
                .collect()
        })
        .prop_shuffle()
}

/// How a host sends the streams.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// Of eight parts of the sessions, those that come in all their versions: one bit for each part.
    pub versions: u8,
    /// Whether sessions come packed, for tallies of leading bits.
    pub packed: bool,
}

impl Form {
    /// As the store sends sessions that it has replaced itself.
    pub const REPLACED: Self = Self {
        versions: 0,
        packed: false,
    };
    /// The same, for tallies of leading bits.
    pub const PACKED: Self = Self {
        packed: true,
        ..Self::REPLACED
    };

    pub fn has_versions_of(self, session: &Session) -> bool {
        self.versions >> (session.key() % 8) & 1 == 1
    }
}

pub fn forms() -> impl Strategy<Value = Form> {
    let versions = prop_oneof![any::<u8>(), Just(u8::MAX), Just(0)];
    versions.prop_map(|versions| Form {
        versions,
        packed: false,
    })
}

fn any_session() -> impl Strategy<Value = Session> {
    let user = (0_u64..8).prop_map(|user| {
        if user % 2 == 0 {
            user
        } else {
            user.wrapping_mul(u64::MAX / 7)
        }
    });
    (
        user,
        (6_i64..24).prop_map(|ticks| ticks * TICK_MS),
        "[abB]{0,2}",
        any::<bool>(),
        pages_and_conversions(),
    )
        .prop_map(
            |(user, started_at, session_id, passes, (pages, conversions))| Session {
                user,
                started_at,
                session_id,
                passes,
                pages,
                conversions,
                gone: false,
            },
        )
}

fn pages_and_conversions() -> impl Strategy<Value = (Vec<u64>, Vec<Conversion>)> {
    vec(prop_oneof![1_u64..6, Just(u64::MAX)], 0..6).prop_flat_map(|pages| {
        let views = u32::try_from(pages.len()).unwrap();
        let conversion =
            (0_u64..6, 0..=views, any::<bool>()).prop_map(|(page, assist_views, matches)| {
                Conversion {
                    page,
                    assist_views,
                    matches,
                }
            });
        let conversions = prop_oneof![Just(Vec::new()), vec(conversion, 0..4)];
        (Just(pages), conversions)
    })
}
