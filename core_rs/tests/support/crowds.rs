//! Worlds of very many sessions, which lie in several of the core's blocks and partitions.

use super::{Conversion, Session, TICK_MS, Version};

/// Sessions that fill a block of the core.
pub const BLOCK: u64 = 4096;

/// How a crowd is made. The same description makes the same crowd.
#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    pub users: u64,
    /// The keys of users, by their numbers.
    pub key: fn(u64) -> u64,
    /// How many sessions a user has.
    pub sessions: fn(u64) -> u64,
    /// Whether all sessions count: they started in the window, pass and stay.
    pub all_count: bool,
    /// One session in so many converts.
    pub converting_one_in: u64,
    /// Whether a user converts anyway, in the middle session.
    pub converts: fn(u64) -> bool,
}

/// Spreads numbers over all keys.
pub fn mixed(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Crowd {
    /// All versions of all sessions, in no order. One session in 16 was written twice.
    pub fn history(self) -> Vec<Version> {
        let mut history = Vec::new();
        for user in 0..self.users {
            for number in 0..(self.sessions)(user) {
                let session = self.session(user, number, history.len() as u64);
                if mixed(history.len() as u64).is_multiple_of(16) {
                    let older = Session {
                        pages: vec![99],
                        conversions: vec![],
                        passes: true,
                        ..session.clone()
                    };
                    history.push(Version {
                        session: older,
                        written_at: -1,
                    });
                }
                history.push(Version {
                    session,
                    written_at: 0,
                });
            }
        }
        let mut order: Vec<_> = (0..).zip(history).collect();
        order.sort_by_key(|(number, _)| mixed(*number ^ 0x5eed));
        order.into_iter().map(|(_, version)| version).collect()
    }

    fn session(self, user: u64, number: u64, seed: u64) -> Session {
        let mut bits = mixed(mixed(user) ^ seed);
        let mut draw = |below: u64| {
            bits = mixed(bits);
            bits % below
        };
        // Of users with many sessions some start together.
        let (first, ticks) = if self.all_count { (10, 10) } else { (8, 14) };
        let ticks = first + draw(ticks).cast_signed();
        let few_ms = draw(3).cast_signed();
        // The first pages come far more often than the last.
        let pages: Vec<u64> = (0..draw(4)).map(|_| 1 + draw(60) * draw(60) / 60).collect();
        let converts = draw(self.converting_one_in) == 0
            || ((self.converts)(user) && number == (self.sessions)(user) / 2);
        let conversions = if converts { 1 + draw(3) } else { 0 };
        let conversions = (0..conversions).map(|_| Conversion {
            page: draw(9),
            assist_views: u32::try_from(draw(pages.len() as u64 + 1)).unwrap(),
            matches: draw(3) > 0,
        });
        let conversions = conversions.collect();
        Session {
            user: (self.key)(user),
            started_at: ticks * TICK_MS + few_ms,
            session_id: format!("{user}-{number}"),
            passes: draw(8) > 0 || self.all_count,
            pages,
            conversions,
            gone: draw(50) == 0 && !self.all_count,
        }
    }
}
