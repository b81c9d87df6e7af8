//! A user's journey, and the sessions of it that a touch scope includes.

use crate::error::{Error, Result};

/// A session's place in its user's journey: by start, then by key. Two sessions of a user at the same place are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Milliseconds since the epoch.
    pub started_at: i64,
    /// A hash of the session's id.
    pub session_key: u64,
}

/// What a session is on its user's journey, one bit each. "Converting" is short for: with a conversion that the question
/// counts.
pub(crate) mod marks {
    /// Any session.
    pub(crate) const ANY: u8 = 1;
    /// The user's first session.
    pub(crate) const FIRST: u8 = 1 << 1;
    /// A converting session.
    pub(crate) const CONVERTING: u8 = 1 << 2;
    /// After the first session and before the first converting one.
    pub(crate) const ASSIST: u8 = 1 << 3;
    /// After the first converting session.
    pub(crate) const AFTER: u8 = 1 << 4;
    /// Not converting, or after the first converting session: its pages have roles of the drop-off side.
    pub(crate) const DROPS_OFF: u8 = 1 << 5;
}

/// Marks the sessions of some users, which lie user by user, in order of start.
///
/// `user` has the user of each session, `converted` the places of sessions with conversions, and `converts` says whether
/// the nth of these is a converting session. With `only_converting`, first sessions are marked only of users who have a
/// converting session.
pub(crate) fn mark(
    user: &[u16],
    converted: &[u32],
    converts: impl Fn(usize) -> bool,
    only_converting: bool,
    marks: &mut Vec<u8>,
) {
    marks.clear();
    marks.resize(user.len(), marks::ANY | marks::DROPS_OFF);
    if !only_converting {
        if let Some(first) = marks.first_mut() {
            *first |= marks::FIRST;
        }
        for (mark, pair) in marks.iter_mut().skip(1).zip(user.windows(2)) {
            *mark |= u8::from(pair[0] != pair[1]) * marks::FIRST;
        }
    }
    // The user of the converting session before this one.
    let mut last_user = None;
    for (nth, &place) in converted.iter().enumerate() {
        let place = place as usize;
        let Some(&of) = user.get(place).filter(|_| converts(nth)) else {
            continue;
        };
        marks[place] |= marks::CONVERTING;
        if last_user.replace(of) == Some(of) {
            continue;
        }
        let is_same = |user: &&u16| **user == of;
        let start = place - user[..place].iter().rev().take_while(is_same).count();
        let after = place + 1;
        let end = after + user[after..].iter().take_while(is_same).count();
        marks[start] |= marks::FIRST;
        let before = (start + 1).min(place)..place;
        marks[before]
            .iter_mut()
            .for_each(|mark| *mark |= marks::ASSIST);
        marks[place] &= !marks::DROPS_OFF;
        marks[after..end]
            .iter_mut()
            .for_each(|mark| *mark |= marks::AFTER);
    }
}

/// `TouchScope` of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All sessions.
    Any,
    /// The user's first session.
    First,
    /// Sessions that convert.
    Converting,
    /// Sessions between the first and the first converting one.
    Assist,
    /// Sessions after the first converting one.
    After,
}

impl Scope {
    /// The scope of a number of the contract's enum. 0 (unspecified) is any.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownScope`].
    pub const fn from_number(number: i64) -> Result<Self> {
        match number {
            0 | 1 => Ok(Self::Any),
            2 => Ok(Self::First),
            3 => Ok(Self::Converting),
            4 => Ok(Self::Assist),
            5 => Ok(Self::After),
            _ => Err(Error::UnknownScope(number)),
        }
    }

    /// Whether the scope needs the time of sessions without conversions.
    #[must_use]
    pub const fn needs_order(self) -> bool {
        matches!(self, Self::First | Self::Assist | Self::After)
    }

    /// The mark of the sessions that it includes.
    pub(crate) const fn mark(self, conversion_filter: bool) -> u8 {
        match self {
            Self::Any if conversion_filter => marks::CONVERTING,
            Self::Any => marks::ANY,
            Self::First => marks::FIRST,
            Self::Converting => marks::CONVERTING,
            Self::Assist => marks::ASSIST,
            Self::After => marks::AFTER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(user: &[u16], converting: &[u32], only_converting: bool) -> Vec<u8> {
        let mut marks = vec![0xff; 3];
        mark(user, converting, |_| true, only_converting, &mut marks);
        marks
    }

    #[test]
    fn marks_tell_the_journey() {
        use marks::{AFTER, ANY, ASSIST, CONVERTING, DROPS_OFF, FIRST};
        let plain = ANY | DROPS_OFF;
        // Three users: one who does not convert, one who converts in the third session of five and again in the last, and
        // one who converts at once.
        let user = [0, 0, 1, 1, 1, 1, 1, 2, 2];
        let mut expected = [
            plain | FIRST,
            plain,
            plain | FIRST,
            plain | ASSIST,
            ANY | CONVERTING,
            plain | AFTER,
            plain | AFTER | CONVERTING,
            ANY | FIRST | CONVERTING,
            plain | AFTER,
        ];
        assert_eq!(marked(&user, &[4, 6, 7], false), expected);
        expected[0] = plain;
        assert_eq!(marked(&user, &[4, 6, 7], true), expected);
        assert_eq!(marked(&[], &[], false), []);
    }
}
