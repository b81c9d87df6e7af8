//! A user's journey, and the sessions of it that a touch scope includes.

use std::cmp::Ordering;

use crate::error::{Error, Result};

/// A session's place in its user's journey: by start, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment<'a> {
    /// Milliseconds since the epoch.
    pub started_at: i64,
    /// The session's id; ties are broken by its bytes.
    pub session_id: Option<&'a [u8]>,
    /// A hash of the id. It tells whether two sessions are one, not which came first.
    pub session_key: Option<u64>,
}

impl Moment<'_> {
    /// The order of this session and another. None where they started at the same time, may be two, and lack the ids
    /// that decide.
    #[inline]
    #[must_use]
    pub fn order(&self, other: &Moment<'_>) -> Option<Ordering> {
        let by_start = self.started_at.cmp(&other.started_at);
        if by_start.is_ne() {
            return Some(by_start);
        }
        match (self.session_id, other.session_id) {
            (Some(id), Some(other)) => Some(id.cmp(other)),
            _ if self.session_key.is_some() && self.session_key == other.session_key => {
                Some(Ordering::Equal)
            }
            _ => None,
        }
    }
}

/// The earliest of some sessions of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Earliest<'a> {
    /// The earliest session, or one of those that may be it.
    moment: Moment<'a>,
    /// Number of sessions that started at that time.
    together: usize,
    /// Whether the order of these is unknown.
    is_tied: bool,
}

impl<'a> Earliest<'a> {
    #[inline]
    fn add(earliest: &mut Option<Self>, moment: Moment<'a>) {
        match earliest {
            Some(known) if moment.started_at > known.moment.started_at => {}
            Some(known) if moment.started_at == known.moment.started_at => {
                let order = moment.order(&known.moment);
                known.together += usize::from(order != Some(Ordering::Equal));
                known.is_tied |= order.is_none();
                if order == Some(Ordering::Less) {
                    known.moment = moment;
                }
            }
            _ => {
                *earliest = Some(Self {
                    moment,
                    together: 1,
                    is_tied: false,
                });
            }
        }
    }

    /// Whether a session that was added is the earliest. None where that is unknown.
    #[inline]
    fn is(&self, moment: &Moment<'_>) -> Option<bool> {
        if moment.started_at > self.moment.started_at {
            return Some(false);
        }
        if self.together == 1 {
            return Some(true);
        }
        match moment.order(&self.moment) {
            Some(Ordering::Greater) => Some(false),
            _ if self.is_tied => None,
            order => Some(order == Some(Ordering::Equal)),
        }
    }
}

/// A user's first session and first converting session, to which every scope refers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Journey<'a> {
    first: Option<Earliest<'a>>,
    first_converting: Option<Earliest<'a>>,
    came_earlier: bool,
}

impl<'a> Journey<'a> {
    /// Adds a session. Sessions may come in any order.
    #[inline]
    pub fn add(&mut self, moment: Moment<'a>, converting: bool) {
        Earliest::add(&mut self.first, moment);
        if converting {
            Earliest::add(&mut self.first_converting, moment);
        }
    }

    /// Notes that the user has a session earlier than any that is added.
    pub fn came_earlier(&mut self) {
        self.came_earlier = true;
    }

    /// Whether a session that was added is the user's first. None where that is unknown.
    #[inline]
    #[must_use]
    pub fn is_first(&self, moment: &Moment<'_>) -> Option<bool> {
        match &self.first {
            Some(first) if !self.came_earlier => first.is(moment),
            _ => Some(false),
        }
    }

    /// Whether a session that was added comes after the first converting session. `converting` must be the value it was
    /// added with. None where that is unknown.
    #[must_use]
    pub fn has_converted_before(&self, moment: &Moment<'_>, converting: bool) -> Option<bool> {
        let Some(first) = &self.first_converting else {
            return Some(false);
        };
        if converting {
            return first.is(moment).map(|is_first| !is_first);
        }
        if first.is_tied && moment.started_at == first.moment.started_at {
            return None;
        }
        moment.order(&first.moment).map(Ordering::is_gt)
    }

    /// Whether the journey began with two sessions at the same time, one of which is this session.
    fn began_with_a_pair(&self, moment: &Moment<'_>) -> bool {
        let is_one_of_two = |first: &Earliest<'_>| {
            first.together == 2 && first.moment.started_at == moment.started_at
        };
        !self.came_earlier && self.first.as_ref().is_some_and(is_one_of_two)
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
}

/// The part of the question that decides which sessions are included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// The touch scope.
    pub scope: Scope,
    /// Whether a conversion filter is set.
    pub conversion_filter: bool,
}

impl Selection {
    /// Whether a session is included that passed window and session filters. None where that depends on an order that
    /// is unknown.
    #[inline]
    #[must_use]
    pub fn includes(
        self,
        moment: &Moment<'_>,
        converting: bool,
        journey: &Journey<'_>,
    ) -> Option<bool> {
        match self.scope {
            Scope::Any => Some(converting || !self.conversion_filter),
            Scope::First if self.conversion_filter && journey.first_converting.is_none() => {
                Some(false)
            }
            Scope::First => journey.is_first(moment),
            Scope::Converting => Some(converting),
            Scope::Assist => {
                let Some(first_converting) = journey.first_converting.filter(|_| !converting)
                else {
                    return Some(false);
                };
                match moment.order(&first_converting.moment) {
                    Some(Ordering::Less) => journey.is_first(moment).map(|is_first| !is_first),
                    Some(_) => Some(false),
                    // The other one of the two is the first converting session. Whichever came first, this session is
                    // either the user's first or after the conversion.
                    None => journey.began_with_a_pair(moment).then_some(false),
                }
            }
            Scope::After => journey.has_converted_before(moment, converting),
        }
    }

    /// Whether a scope that needs times can include sessions of users without any conversion.
    #[must_use]
    pub(crate) const fn may_include_unconverted(self) -> bool {
        matches!(self.scope, Scope::First) && !self.conversion_filter
    }

    /// Whether sessions without conversions are included whatever their time.
    #[must_use]
    pub const fn includes_undated(self) -> bool {
        matches!(self.scope, Scope::Any) && !self.conversion_filter
    }
}
