//! The latest sessions of a number of the report, within bounded memory.

use std::mem;

use crate::block::day_and_time;
use crate::chosen::Chosen;
use crate::counts::RoleCount;
use crate::error::{Error, Result};
use crate::roles::{ROLES, Role, Roles};

/// A session that was selected: its start in milliseconds since the epoch, its key, and its user's key.
pub type Selected = (i64, u64, u64);

/// Which of the included sessions are meant. Pages are given by their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All.
    All,
    /// Those in which a page has one of these roles.
    Roles(u64, Roles),
    /// Those that landed on a page.
    Landing(u64),
}

impl Part {
    /// The part of a page, if one is given, and a number of the contract's enum `Role`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRole`], also for a role without a page.
    pub fn from_numbers(page: Option<u64>, role: i64) -> Result<Self> {
        let by_number = |known: &&Role| i64::from(known.number()) == role;
        match (page, role) {
            (None, 0) => Ok(Self::All),
            (Some(page), 0) => Ok(Self::Roles(page, Roles::ALL)),
            (Some(page), 7) => Ok(Self::Landing(page)),
            (Some(page), _) => match ROLES.iter().find(by_number) {
                Some(&role) => Ok(Self::Roles(page, Roles::of(role))),
                None => Err(Error::UnknownRole(role)),
            },
            (None, _) => Err(Error::UnknownRole(role)),
        }
    }
}

/// The latest sessions by start, then by session key, then by user key, and how many there are in all.
#[derive(Debug, Clone)]
pub struct Selection {
    limit: usize,
    /// Only what is less is kept.
    before: Option<Selected>,
    /// As many as the limit are kept that are not less.
    floor: Option<Selected>,
    /// The first and the last day on which sessions are that may be kept.
    days: [u16; 2],
    /// In no order, and at most twice as many as the limit.
    kept: Vec<Selected>,
    total: RoleCount,
}

impl Selection {
    /// Nothing yet. It keeps the greatest `limit` sessions among those less than `before`, if that is given.
    #[must_use]
    pub fn new(limit: usize, before: Option<Selected>) -> Self {
        Self {
            limit,
            before,
            floor: None,
            days: [
                0,
                before.map_or(u16::MAX, |(start, ..)| day_and_time(start).0),
            ],
            kept: Vec::new(),
            total: RoleCount::default(),
        }
    }

    /// The same selection, of nothing.
    pub(crate) fn empty(&self) -> Self {
        Self::new(self.limit, self.before)
    }

    /// Sessions and users, whatever is kept of them.
    #[must_use]
    pub fn total(&self) -> RoleCount {
        self.total
    }

    /// Selects sessions of a block: all that are included, or those of a page, which is given by its number.
    pub(crate) fn add(&mut self, chosen: &Chosen<'_>, part: Part, page: u32) {
        let block = chosen.block;
        let mut total = RoleCount::default();
        // No user has it: to compare numbers takes no branch, which could not be foreseen.
        let mut last_user = u32::MAX;
        let see = |place: usize| {
            let user = block.user.get(place).map_or(u32::MAX, |&user| user.into());
            total.sessions += 1;
            total.users += u64::from(last_user != user);
            last_user = user;
            // Most are settled by their day.
            let day = block.day.get(place).copied().unwrap_or_default();
            let [first, last] = self.days;
            if first <= day && day <= last {
                let moment = block.moment(place);
                self.push((moment.started_at, moment.session_key, block.user_key(place)));
            }
        };
        match part {
            Part::All => chosen.each(see),
            Part::Landing(_) => chosen.each_landed_on(page, see),
            Part::Roles(_, asked) => {
                let mut see = see;
                chosen.each_with_roles_of(page, |place, roles| {
                    if roles.meet(asked) {
                        see(place);
                    }
                });
            }
        }
        self.total.add(total);
    }

    fn push(&mut self, selected: Selected) {
        let is_asked = self.before.is_none_or(|before| selected < before)
            && self.floor.is_none_or(|floor| selected > floor)
            && self.limit > 0;
        if is_asked {
            self.kept.push(selected);
            if self.kept.len() >= self.limit.saturating_mul(2) {
                self.cut();
            }
        }
    }

    /// Forgets those that are too many.
    fn cut(&mut self) {
        if let Some(last) = self.limit.checked_sub(1)
            && last < self.kept.len()
        {
            let (_, &mut floor, _) = self
                .kept
                .select_nth_unstable_by(last, |one, other| other.cmp(one));
            self.floor = Some(floor);
            let [first, _] = &mut self.days;
            *first = day_and_time(floor.0).0;
            self.kept.truncate(self.limit);
        }
    }

    /// Adds what was selected of other users.
    ///
    /// # Errors
    ///
    /// [`Error::Unlike`] where limit or cursor differ.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if (self.limit, self.before) != (other.limit, other.before) {
            return Err(Error::Unlike("selections"));
        }
        self.absorb(other);
        Ok(())
    }

    /// Adds what was selected of other users with the same limit and cursor.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.total.add(other.total);
        for &selected in &other.kept {
            self.push(selected);
        }
    }

    /// Takes the sessions, the greatest first. The totals stay.
    #[must_use]
    pub fn take(&mut self) -> Vec<Selected> {
        self.cut();
        let rest = Self {
            total: self.total,
            ..self.empty()
        };
        let mut taken = mem::replace(self, rest).kept;
        taken.sort_unstable_by(|one, other| other.cmp(one));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However they come, the greatest are taken, and no more than twice as many are kept.
    #[test]
    fn few_are_kept_of_many() {
        let orders: [fn(i64) -> i64; 3] = [
            |number| number,
            |number| -number,
            |number| number * 7_919 % 10_007,
        ];
        for order in orders {
            for limit in [0, 1, 2, 100, 20_000] {
                for before in [None, Some((50, 2, 3)), Some((-5_000, 0, 0))] {
                    let all: Vec<Selected> =
                        (0..10_007).map(|number| (order(number), 2, 3)).collect();
                    let mut selections =
                        [Selection::new(limit, before), Selection::new(limit, before)];
                    for (nth, &selected) in all.iter().enumerate() {
                        let selection = &mut selections[nth / 5_000 % 2];
                        selection.push(selected);
                        assert!(selection.kept.len() < (2 * limit).max(1));
                    }
                    let [mut one, other] = selections;
                    one.merge(&other).unwrap();
                    let mut expected = all;
                    expected.retain(|selected| before.is_none_or(|before| *selected < before));
                    expected.sort_unstable();
                    expected.reverse();
                    expected.truncate(limit);
                    assert_eq!(one.take(), expected);
                    assert_eq!(one.take(), []);
                }
            }
        }
    }

    #[test]
    fn a_role_has_a_page() {
        for role in 1..=7 {
            assert!(Part::from_numbers(Some(1), role).is_ok());
            assert_eq!(
                Part::from_numbers(None, role),
                Err(Error::UnknownRole(role))
            );
        }
        for role in [-1, 8] {
            assert_eq!(
                Part::from_numbers(Some(1), role),
                Err(Error::UnknownRole(role))
            );
        }
        assert_eq!(Part::from_numbers(None, 0), Ok(Part::All));
        assert_eq!(Part::from_numbers(Some(1), 7), Ok(Part::Landing(1)));
    }
}
