//! For each value of a filter, the sessions that a question includes with that value set, in one walk.
//!
//! Where the filter is of sessions, the value decides on nothing but its own sessions, so they are counted by value. A
//! filter of conversions decides on journeys, too. Users who convert are few, so of each of them all values are looked at.

use std::collections::HashMap;

use crate::block::Block;
use crate::chosen::{Chosen, Scratch};
use crate::error::{Error, Result};
use crate::included::Included;
use crate::journey::Scope;
use crate::keys::key;
use crate::names::Names;

/// A filter, whose values are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Of conversions: URL, type or id, by its place.
    Conversion(usize),
    /// Of sessions: source, medium, campaign, content or term, by its place.
    Traffic(usize),
    /// The page that sessions landed on.
    Landing,
}

impl Field {
    /// The filter of a number, in the order of the contract's fields, from 0.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownField`].
    pub fn from_number(number: i64) -> Result<Self> {
        match usize::try_from(number) {
            Ok(place @ 0..3) => Ok(Self::Conversion(place)),
            Ok(place @ 3..8) => Ok(Self::Traffic(place - 3)),
            Ok(8) => Ok(Self::Landing),
            _ => Err(Error::UnknownField(number)),
        }
    }
}

/// Keys of values, each with the number of its sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values(HashMap<u64, u64>);

impl Values {
    pub(crate) fn add(&mut self, value: u64, sessions: u64) {
        if sessions > 0 {
            *self.0.entry(value).or_default() += sessions;
        }
    }

    /// Takes out what no filter can ask for: the empty text sets none.
    pub(crate) fn without_empty(mut self) -> Self {
        self.0.remove(&key(b""));
        self
    }

    /// The sessions of a value.
    #[must_use]
    pub fn sessions(&self, value: u64) -> u64 {
        self.0.get(&value).copied().unwrap_or_default()
    }

    /// The keys of all values with a session, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<u64> {
        let mut keys: Vec<u64> = self.0.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    /// Adds the sessions of other users.
    pub fn merge(&mut self, other: &Self) {
        other
            .0
            .iter()
            .for_each(|(&value, &sessions)| self.add(value, sessions));
    }

    /// The keys that have no name, in order.
    #[must_use]
    pub fn missing(&self, names: &Names) -> Vec<u64> {
        let texts = names.read();
        let mut missing = self.keys();
        missing.retain(|value| !texts.contains_key(value));
        missing
    }

    /// The first values that contain a text in any case, and their sessions: most sessions first, then by their own
    /// texts, byte by byte. Values without a name are left out.
    #[must_use]
    pub fn top(&self, names: &Names, contains: &str, limit: usize) -> Vec<(String, u64)> {
        let contains = without_case(contains);
        let texts = names.read();
        let mut all: Vec<(u64, u64)> = self
            .0
            .iter()
            .map(|(&key, &sessions)| (sessions, key))
            .collect();
        all.sort_unstable_by(|one, other| other.cmp(one));
        let mut top = Vec::new();
        // Most texts need not be looked at.
        for equals in all.chunk_by(|one, other| one.0 == other.0) {
            if top.len() >= limit {
                break;
            }
            let with_text = equals
                .iter()
                .filter_map(|&(sessions, key)| Some((texts.get(&key)?, sessions)));
            let mut found: Vec<_> = with_text
                .filter(|(text, _)| contains.is_empty() || without_case(text).contains(&contains))
                .collect();
            found.sort_unstable();
            top.extend(
                found
                    .into_iter()
                    .map(|(text, sessions)| (text.to_string(), sessions)),
            );
        }
        top.truncate(limit);
        top
    }
}

/// A text as it is compared without its case, character by character: what a part of a text becomes does not depend on
/// where it stands, as the lower case of a sigma does.
fn without_case(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

/// Sessions by a number that each of them has.
#[derive(Debug)]
pub(crate) struct ByNumber {
    pub(crate) sessions: Vec<u64>,
    scratch: Scratch,
}

impl ByNumber {
    /// For numbers up to and with the greatest.
    pub(crate) fn up_to(greatest: usize) -> Self {
        Self {
            sessions: vec![0; greatest + 1],
            scratch: Scratch::default(),
        }
    }

    /// Counts the included sessions of a block by the numbers in one of its columns.
    pub(crate) fn add(&mut self, block: &Block, included: &Included, column: &[u32]) {
        let counts = &mut self.sessions;
        Chosen::of(block, included, &mut self.scratch).each(|place| {
            let number = column.get(place).copied().unwrap_or_default();
            if let Some(count) = counts.get_mut(number as usize) {
                *count += 1;
            }
        });
    }
}

/// Sessions by a value of conversions.
#[derive(Debug)]
pub(crate) struct ByConversion<'a> {
    pub(crate) values: Values,
    scope: Scope,
    /// The sessions that pass the window and the session filters.
    passing: &'a Included,
    /// The conversions that pass the other filters.
    asked: &'a Included,
    /// The place of the value among those of a conversion.
    value: usize,
    scratch: Scratch,
    /// How many sessions pass before each place of a block, and after the last.
    passed: Vec<u32>,
    /// The values of a user, with the places of the sessions that have them.
    of_user: Vec<(u64, usize)>,
}

impl<'a> ByConversion<'a> {
    pub(crate) fn new(
        scope: Scope,
        passing: &'a Included,
        asked: &'a Included,
        value: usize,
    ) -> Self {
        Self {
            values: Values::default(),
            scope,
            passing,
            asked,
            value,
            scratch: Scratch::default(),
            passed: Vec::new(),
            of_user: Vec::new(),
        }
    }

    /// Counts the sessions of a block, with each value set in turn.
    pub(crate) fn add(&mut self, block: &Block) {
        let chosen = Chosen::of(block, self.passing, &mut self.scratch);
        if matches!(self.scope, Scope::Assist | Scope::After) {
            self.passed.clear();
            self.passed.push(0);
            let mut passed = 0;
            self.passed.extend((0..block.len()).map(|place| {
                passed += u32::from(chosen.has(place));
                passed
            }));
        }
        let passed_before = |place: usize| self.passed.get(place).copied().unwrap_or_default();
        let between =
            |first, end| u64::from(passed_before(end).saturating_sub(passed_before(first)));
        let user_of = |place: u32| block.user.get(place as usize).copied().unwrap_or_default();
        let mut nth = 0;
        for sessions in block
            .converted
            .session
            .chunk_by(|&one, &next| user_of(one) == user_of(next))
        {
            self.of_user.clear();
            for &place in sessions {
                let (_, conversions) = block.converted.of(nth);
                nth += 1;
                let counting = conversions.iter().filter(|each| self.asked.counts(each));
                let values = counting.filter_map(|each| each.values.get(self.value));
                self.of_user
                    .extend(values.map(|&value| (value, place as usize)));
            }
            self.of_user.sort_unstable();
            self.of_user.dedup();
            let user = sessions
                .first()
                .map_or(0, |&place| usize::from(user_of(place)));
            for with_value in self.of_user.chunk_by(|one, next| one.0 == next.0) {
                let Some(&(value, converting)) = with_value.first() else {
                    continue;
                };
                let included = match self.scope {
                    Scope::Any | Scope::Converting => with_value
                        .iter()
                        .filter(|(_, place)| chosen.has(*place))
                        .count() as u64,
                    Scope::First => u64::from(chosen.has(block.first_session_of(user))),
                    Scope::Assist => between(block.first_session_of(user) + 1, converting),
                    Scope::After => between(converting + 1, block.first_session_of(user + 1)),
                };
                self.values.add(value, included);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_a_text_is_in_it_in_any_case() {
        for (text, part) in [
            ("ΟΔΟΣΑ", "ΟΔΟΣ"),
            ("οδος", "ΟΔΟΣ"),
            ("Οδοσα", "οδος"),
            ("straße", "STRASSE"),
            ("STRASSE", "aße"),
            ("İstanbul", "İSTAN"),
            ("Google", "GOO"),
        ] {
            assert!(
                without_case(text).contains(&without_case(part)),
                "{part} in {text}"
            );
        }
        assert!(!without_case("google").contains(&without_case("bing")));
    }

    #[test]
    fn fields_are_those_of_the_contract_in_its_order() {
        let fields: Vec<_> = (0..9)
            .map(|number| Field::from_number(number).unwrap())
            .collect();
        let conversions = (0..3).map(Field::Conversion);
        let traffic = (0..5).map(Field::Traffic);
        assert!(
            conversions
                .chain(traffic)
                .chain([Field::Landing])
                .eq(fields)
        );
        for number in [-1, 9] {
            assert_eq!(Field::from_number(number), Err(Error::UnknownField(number)));
        }
    }
}
