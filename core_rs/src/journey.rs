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

/// A user's first session and first converting session, to which every scope refers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Journey {
    first: Option<Moment>,
    first_converting: Option<Moment>,
    came_earlier: bool,
}

impl Journey {
    /// Adds a session. Sessions may come in any order.
    #[inline]
    pub fn add(&mut self, moment: Moment, converting: bool) {
        let earlier = |known: Option<Moment>| Some(known.map_or(moment, |known| known.min(moment)));
        self.first = earlier(self.first);
        if converting {
            self.first_converting = earlier(self.first_converting);
        }
    }

    /// Notes that the user has a session earlier than any that is added.
    pub fn came_earlier(&mut self) {
        self.came_earlier = true;
    }

    /// Whether a session that was added is the user's first.
    #[inline]
    #[must_use]
    pub fn is_first(&self, moment: Moment) -> bool {
        !self.came_earlier && self.first == Some(moment)
    }

    /// Whether a session comes after the first converting session.
    #[inline]
    #[must_use]
    pub fn has_converted_before(&self, moment: Moment) -> bool {
        self.first_converting.is_some_and(|first| first < moment)
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
    /// Whether a session is included that passed window and session filters and was added to its user's journey.
    #[inline]
    #[must_use]
    pub fn includes(self, moment: Moment, converting: bool, journey: &Journey) -> bool {
        match self.scope {
            Scope::Any => converting || !self.conversion_filter,
            Scope::First => {
                journey.is_first(moment)
                    && (!self.conversion_filter || journey.first_converting.is_some())
            }
            Scope::Converting => converting,
            Scope::Assist => {
                let comes_before = |first: Moment| moment < first;
                journey.first_converting.is_some_and(comes_before) && !journey.is_first(moment)
            }
            Scope::After => journey.has_converted_before(moment),
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
