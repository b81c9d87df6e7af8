//! The roles of a session's pages, on the conversion side and on the drop-off side (`docs/semantics.md`).

use crate::pages::PageId;

/// A side of the report: one list of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// `conversion_performance`.
    Conversion,
    /// `drop_off_performance`.
    DropOff,
}

impl Side {
    /// Both sides, in the order of the answer.
    pub const ALL: [Self; 2] = [Self::Conversion, Self::DropOff];

    /// The side's roles. Pages are sorted by their counts in these roles, in this order.
    #[must_use]
    pub const fn roles(self) -> &'static [Role] {
        match self {
            Self::Conversion => &[
                Role::Conversion,
                Role::ConversionAssist,
                Role::LandingAssistedConversion,
            ],
            Self::DropOff => &[
                Role::DropOff,
                Role::DropOffAssist,
                Role::LandingAssistedDropOff,
            ],
        }
    }

    /// The side's name in the contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conversion => "conversion_performance",
            Self::DropOff => "drop_off_performance",
        }
    }

    /// The field of `PagesResponse` that holds the side's rows.
    #[must_use]
    pub const fn field(self) -> u32 {
        match self {
            Self::Conversion => 3,
            Self::DropOff => 4,
        }
    }
}

/// How many roles a side has at most. All that counts or shows roles has room for so many.
pub const MOST_ROLES: usize = 3;

/// What a page can be to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The page converted.
    Conversion,
    /// The page was visited before a conversion.
    ConversionAssist,
    /// The session that converted landed on the page.
    LandingAssistedConversion,
    /// The session ended on the page.
    DropOff,
    /// The page was the last one that is not the exit page.
    DropOffAssist,
    /// The session that dropped off landed on the page.
    LandingAssistedDropOff,
}

impl Role {
    /// The role's place among its side's roles.
    #[must_use]
    pub const fn place(self) -> usize {
        match self {
            Self::Conversion | Self::DropOff => 0,
            Self::ConversionAssist | Self::DropOffAssist => 1,
            Self::LandingAssistedConversion | Self::LandingAssistedDropOff => 2,
        }
    }

    /// The role's side.
    #[must_use]
    pub const fn side(self) -> Side {
        match self {
            Self::Conversion | Self::ConversionAssist | Self::LandingAssistedConversion => {
                Side::Conversion
            }
            Self::DropOff | Self::DropOffAssist | Self::LandingAssistedDropOff => Side::DropOff,
        }
    }

    /// The field of `ConversionPage` or `DropOffPage` that holds the role's counts.
    #[must_use]
    pub const fn field(self) -> u32 {
        // Field 1 is the URL. `tests/contract.rs` compares with the contract.
        match self.place() {
            0 => 2,
            1 => 3,
            _ => 4,
        }
    }

    /// The role's number in the contract's enum, which is also its field in `PageRoles`.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Conversion => 1,
            Self::ConversionAssist => 2,
            Self::LandingAssistedConversion => 3,
            Self::DropOff => 4,
            Self::DropOffAssist => 5,
            Self::LandingAssistedDropOff => 6,
        }
    }

    /// The role's name in the contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conversion => "conversion",
            Self::ConversionAssist => "conversion_assist",
            Self::LandingAssistedConversion => "landing_assisted_conversion",
            Self::DropOff => "drop_off",
            Self::DropOffAssist => "drop_off_assist",
            Self::LandingAssistedDropOff => "landing_assisted_drop_off",
        }
    }
}

/// All roles of both sides, in the order of their numbers.
pub const ROLES: [Role; 6] = [
    Role::Conversion,
    Role::ConversionAssist,
    Role::LandingAssistedConversion,
    Role::DropOff,
    Role::DropOffAssist,
    Role::LandingAssistedDropOff,
];

/// A set of roles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// All of them.
    pub const ALL: Self = Self(u8::MAX);

    /// One alone.
    #[must_use]
    pub const fn of(role: Role) -> Self {
        Self(1 << role.number())
    }

    /// Adds a role if a page has it.
    #[inline]
    pub(crate) fn add_if(&mut self, role: Role, has: bool) {
        self.0 |= u8::from(has) << role.number();
    }

    /// Whether two sets have a role in common.
    #[must_use]
    pub const fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Where a session began and ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ends {
    /// The first page.
    pub landing: Option<PageId>,
    /// The last page.
    pub exit: Option<PageId>,
    /// The last page that is not the exit page.
    pub before_exit: Option<PageId>,
}

/// A conversion of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conversion {
    /// The number of its page; 0: none.
    pub page: u32,
    /// How many of the session's first views assist it.
    pub assist_views: u32,
    /// The keys of the values that filters compare: its URL as tracked, its type and its id.
    pub values: [u64; 3],
}

/// Calls `name` with each role of a converting session's pages, given by their numbers. A page that has a role several
/// times is named several times, and 0 stands for no page.
///
/// `views` are the pages viewed, in order; `conversions` are those that count.
#[inline]
pub(crate) fn conversion_side<'a>(
    landing: u32,
    views: &[u32],
    conversions: impl Iterator<Item = &'a Conversion>,
    mut name: impl FnMut(Role, u32),
) {
    // The views before a conversion are the first views of the session. So the longest list contains all others.
    let mut assisting = 0;
    for conversion in conversions {
        name(Role::Conversion, conversion.page);
        assisting = assisting.max(conversion.assist_views);
    }
    for &page in views.iter().take(assisting as usize) {
        name(Role::ConversionAssist, page);
    }
    name(Role::LandingAssistedConversion, landing);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_knows_its_place() {
        for side in Side::ALL {
            assert!(side.roles().len() <= MOST_ROLES);
            for (place, role) in side.roles().iter().enumerate() {
                assert_eq!(
                    (role.side(), role.place()),
                    (side, place),
                    "{}",
                    role.name()
                );
            }
        }
        let in_order = Side::ALL.into_iter().flat_map(Side::roles);
        assert!(in_order.eq(&ROLES));
        for (role, number) in ROLES.into_iter().zip(1..) {
            assert_eq!(role.number(), number, "{}", role.name());
        }
    }
}
