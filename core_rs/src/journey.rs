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

/// The two sessions of a user that every scope refers to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Journey<'a> {
    /// The first session, or one of those that may be it.
    first: Option<Moment<'a>>,
    /// Sessions that started together with the first, itself among them.
    first_together: usize,
    /// Whether their order is not known.
    first_is_tied: bool,
    first_converting: Option<Moment<'a>>,
    came_earlier: bool,
}

impl<'a> Journey<'a> {
    /// Adds a session in any order; converting ones must have their ids.
    #[inline]
    pub fn add(&mut self, moment: Moment<'a>, converting: bool) {
        match self.first {
            Some(first) if moment.started_at > first.started_at => {}
            Some(first) if moment.started_at == first.started_at => {
                let order = moment.order(&first);
                self.first_together += usize::from(order != Some(Ordering::Equal));
                self.first_is_tied |= order.is_none();
                if order == Some(Ordering::Less) {
                    self.first = Some(moment);
                }
            }
            _ => {
                self.first = Some(moment);
                self.first_together = 1;
                self.first_is_tied = false;
            }
        }
        let is_earlier = |known: Moment<'a>| moment.order(&known) == Some(Ordering::Less);
        if converting && self.first_converting.is_none_or(is_earlier) {
            self.first_converting = Some(moment);
        }
    }

    /// The first session lies before everything that was added.
    pub fn came_earlier(&mut self) {
        self.came_earlier = true;
    }

    /// Whether the session is the user's first; none where that is not known.
    #[inline]
    #[must_use]
    pub fn is_first(&self, moment: &Moment<'_>) -> Option<bool> {
        let Some(first) = self.first.filter(|_| !self.came_earlier) else {
            return Some(false);
        };
        if moment.started_at > first.started_at {
            return Some(false);
        }
        match moment.order(&first) {
            Some(Ordering::Greater) => Some(false),
            _ if self.first_is_tied => None,
            order => Some(order == Some(Ordering::Equal)),
        }
    }

    /// Whether the session comes after the first conversion; none where that is not known.
    #[must_use]
    pub fn has_converted_before(&self, moment: &Moment<'_>) -> Option<bool> {
        self.first_converting.map_or(Some(false), |first| {
            moment.order(&first).map(Ordering::is_gt)
        })
    }

    /// Whether the journey began with two sessions at once, this session being one of them.
    fn began_with_a_pair(&self, moment: &Moment<'_>) -> bool {
        let starts_with = |first: Moment<'_>| first.started_at == moment.started_at;
        !self.came_earlier && self.first_together == 2 && self.first.is_some_and(starts_with)
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
                let Some(first_converting) = journey.first_converting else {
                    return Some(false);
                };
                match moment.order(&first_converting) {
                    Some(Ordering::Less) => journey.is_first(moment).map(|is_first| !is_first),
                    Some(_) => Some(false),
                    // The other of the two is the first converting one: whichever came first, this
                    // one is the first of all or comes after the conversion.
                    None => journey.began_with_a_pair(moment).then_some(false),
                }
            }
            Scope::After => journey.has_converted_before(moment),
        }
    }

    /// Whether sessions count that have no conversion and whose time is not known.
    #[must_use]
    pub const fn includes_undated(self) -> bool {
        matches!(self.scope, Scope::Any) && !self.conversion_filter
    }
}
