//! The earliest session of each user, for scopes that need no more.
//!
//! Most rows of a partition are not their users' earliest. So no rows are sorted, and only the remaining rows need page
//! look-ups: a third less time than to bring the rows of each user together first.

use crate::group::{Chunks, Keyed};
use crate::journey::Moment;

/// A row that may be its user's earliest.
pub(crate) trait Started: Keyed + Copy {
    /// Its place in its user's journey.
    fn moment(&self) -> Moment;
}

/// A user's earliest row.
#[derive(Debug, Clone, Copy)]
struct First<R> {
    row: R,
    is_taken: bool,
}

/// The earliest rows of users. Its memory is kept for the next partition.
#[derive(Debug)]
pub(crate) struct Firsts<R> {
    found: Vec<First<R>>,
    /// The place of each user's row, plus one. 0: none. A hash table with open addressing, whose size is a power of
    /// two.
    places: Vec<u32>,
    /// Chooses a user's slot. Nobody outside knows it, so nobody can make up users that share slots.
    factor: u64,
}

impl<R> Firsts<R> {
    pub(crate) fn with_seed(seed: u64) -> Self {
        Self {
            found: Vec::new(),
            places: Vec::new(),
            factor: seed | 1,
        }
    }
}

impl<R: Started> Firsts<R> {
    /// Finds the earliest rows of a partition, in place of those of the partition before.
    pub(crate) fn choose(&mut self, chunks: Chunks<'_, R>) {
        self.found.clear();
        self.places.clear();
        self.places
            .resize((chunks.rows() * 2).next_power_of_two(), 0);
        for chunk in chunks {
            for row in chunk {
                self.add(row);
            }
        }
    }

    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a tally holds 2^32 sessions at most"
    )]
    fn add(&mut self, row: &R) {
        let first = First {
            row: *row,
            is_taken: false,
        };
        match self.find(row.user()) {
            Err(slot) => {
                self.found.push(first);
                self.places[slot] = self.found.len() as u32;
            }
            Ok(known) => {
                let known = &mut self.found[known];
                if row.moment() < known.row.moment() {
                    *known = first;
                }
            }
        }
    }

    /// The place of a user's row, or the slot for it.
    #[inline]
    fn find(&self, user: u64) -> Result<usize, usize> {
        let mask = self.places.len() - 1;
        let mut slot = (user.wrapping_mul(self.factor) >> u32::BITS) as usize & mask;
        loop {
            let Some(known) = (self.places[slot] as usize).checked_sub(1) else {
                return Err(slot);
            };
            if self.found[known].row.user() == user {
                return Ok(known);
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Takes a user's earliest row.
    pub(crate) fn take(&mut self, user: u64) -> Option<R> {
        let first = self.find(user).ok().map(|place| &mut self.found[place])?;
        first.is_taken = true;
        Some(first.row)
    }

    /// The rows that were not taken.
    pub(crate) fn others(&self) -> impl Iterator<Item = &R> {
        let others = self.found.iter().filter(|first| !first.is_taken);
        others.map(|first| &first.row)
    }
}
