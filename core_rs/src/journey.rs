//! A user's journey, and which of its sessions a touch scope includes.

use std::cmp::Ordering;

use crate::error::{Error, Result};

/// A session's place in its user's journey: by start, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment<'a> {
    /// Milliseconds since the epoch.
    pub started_at: i64,
    /// The session's id; ties are broken by its bytes.
    pub session_id: Option<&'a [u8]>,
    /// A hash of the id: it tells whether two sessions are one, but not which came first.
    pub session_key: Option<u64>,
}

impl Moment<'_> {
    /// How this session stands to another; none where they started together, are not known to be
    /// the same, and lack the ids that would tell.
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
    /// It, or one of those that may be it.
    moment: Moment<'a>,
    /// Sessions that started together with it, itself among them.
    together: usize,
    /// Whether their order is not known.
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

    /// Whether a session that was added is the earliest; none where that is not known.
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

/// The two sessions of a user that every scope refers to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Journey<'a> {
    first: Option<Earliest<'a>>,
    first_converting: Option<Earliest<'a>>,
    came_earlier: bool,
}

impl<'a> Journey<'a> {
    /// Adds a session, in any order.
    #[inline]
    pub fn add(&mut self, moment: Moment<'a>, converting: bool) {
        Earliest::add(&mut self.first, moment);
        if converting {
            Earliest::add(&mut self.first_converting, moment);
        }
    }

    /// The first session lies before everything that was added.
    pub fn came_earlier(&mut self) {
        self.came_earlier = true;
    }

    /// Whether a session that was added is the user's first; none where that is not known.
    #[inline]
    #[must_use]
    pub fn is_first(&self, moment: &Moment<'_>) -> Option<bool> {
        match &self.first {
            Some(first) if !self.came_earlier => first.is(moment),
            _ => Some(false),
        }
    }

    /// Whether a session that was added, as converting or not, comes after the first conversion; none
    /// where that is not known.
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

    /// Whether the journey began with two sessions at once, this session being one of them.
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
    /// The scope of an enum number; 0 (unspecified) is any.
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

    /// Whether the scope asks when a session took place that has no conversion.
    #[must_use]
    pub const fn needs_order(self) -> bool {
        matches!(self, Self::First | Self::Assist | Self::After)
    }
}

/// The question, as far as it decides on sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// The touch scope.
    pub scope: Scope,
    /// Whether a conversion filter is set.
    pub conversion_filter: bool,
}

impl Selection {
    /// Whether a session counts that passed window and session filters; none where that depends on
    /// an order that is not known.
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
                    // The other of the two is the first converting one: whichever came first, this
                    // one is the first of all or comes after the conversion.
                    None => journey.began_with_a_pair(moment).then_some(false),
                }
            }
            Scope::After => journey.has_converted_before(moment, converting),
        }
    }

    /// Whether sessions of a user without any conversion can count where order matters.
    #[must_use]
    pub(crate) const fn may_include_unconverted(self) -> bool {
        matches!(self.scope, Scope::First) && !self.conversion_filter
    }

    /// Whether sessions count that have no conversion and whose time is not known.
    #[must_use]
    pub const fn includes_undated(self) -> bool {
        matches!(self.scope, Scope::Any) && !self.conversion_filter
    }
}
