//! The field numbers of the contract's messages, apart from those that [`roles`](crate::roles) owns.

/// `PagesResponse`.
pub(super) mod response {
    use crate::roles::Side;

    pub const TIME_FRAME: u32 = 1;
    pub const SUMMARY_TOTALS: u32 = 2;
    pub const CONVERSION_ROW: u32 = Side::Conversion.field();
    pub const DROP_OFF_ROW: u32 = Side::DropOff.field();
    pub const MESSAGE: u32 = 5;
    pub const DATA: u32 = 6;
    pub const BALANCE: u32 = 7;
    pub const OMITTED: u32 = 8;
    pub const HINT: u32 = 9;
}

/// `TimeFrame`.
pub(super) mod time_frame {
    pub const START: u32 = 1;
    pub const END: u32 = 2;
}

/// `DataState`.
pub(super) mod data {
    pub const VERSION: u32 = 1;
    pub const COMPLETE_THROUGH: u32 = 2;
}

/// `Hint`.
pub(super) mod hint {
    pub const FIELD: u32 = 1;
    pub const VALUE: u32 = 2;
    pub const SESSIONS: u32 = 3;
    pub const SENTENCE: u32 = 4;
}

/// `google.protobuf.Timestamp`.
pub(super) mod timestamp {
    pub const SECONDS: u32 = 1;
    pub const NANOS: u32 = 2;
}

/// `ConversionPage` and `DropOffPage`.
pub(super) mod page {
    pub const URL: u32 = 1;
    pub const LANDING: u32 = 5;
}

/// `OmittedPages`, whose fields count the rows of the sides; `Balance`, whose fields are counts, has no names here.
pub(super) mod omitted {
    use crate::roles::Side;

    pub const fn of(side: Side) -> u32 {
        match side {
            Side::Conversion => 1,
            Side::DropOff => 2,
        }
    }
}

/// `PageDaysResponse`.
pub(super) mod response_of_days {
    pub const DAYS: u32 = 1;
}

/// `PageDay`. The fields of its `PageRoles` are the numbers of the roles.
pub(super) mod page_day {
    pub const DATE: u32 = 1;
    pub const SUMMARY_TOTALS: u32 = 2;
    pub const ROLES: u32 = 3;
    pub const LANDING: u32 = 4;
}

/// `RoleCount`.
pub(super) mod role_count {
    pub const SESSIONS: u32 = 1;
    pub const USERS: u32 = 2;
}
