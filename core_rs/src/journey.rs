//! A user's journey, and which of its sessions a touch scope includes.

use crate::error::{Error, Result};

/// A session's place in its user's journey: by start, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment<'a> {
    /// Milliseconds since the epoch.
    pub started_at: i64,
    /// The session's id; ties are broken by its bytes.
    pub session_id: &'a [u8],
}

/// The two sessions of a user that every scope refers to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Journey<'a> {
    /// The first session; none where it lies before everything that was read.
    pub first: Option<Moment<'a>>,
    /// The first converting session.
    pub first_converting: Option<Moment<'a>>,
}

impl<'a> Journey<'a> {
    /// Adds a session in any order.
    pub fn add(&mut self, moment: Moment<'a>, converting: bool) {
        let earlier = |known: Option<Moment<'a>>| known.map_or(moment, |known| known.min(moment));
        self.first = Some(earlier(self.first));
        if converting {
            self.first_converting = Some(earlier(self.first_converting));
        }
    }

    /// Whether the session comes after the first conversion.
    #[must_use]
    pub fn has_converted_before(&self, moment: Moment<'_>) -> bool {
        self.first_converting.is_some_and(|first| moment > first)
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
    /// Whether a session counts that passed window and session filters.
    #[must_use]
    pub fn includes(self, moment: Moment<'_>, converting: bool, journey: &Journey<'_>) -> bool {
        match self.scope {
            Scope::Any => converting || !self.conversion_filter,
            Scope::First => {
                journey.first == Some(moment)
                    && (journey.first_converting.is_some() || !self.conversion_filter)
            }
            Scope::Converting => converting,
            Scope::Assist => {
                journey.first != Some(moment)
                    && journey.first_converting.is_some_and(|first| moment < first)
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
