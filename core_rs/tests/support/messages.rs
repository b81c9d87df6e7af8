//! The contract's messages for a protobuf library, which is independent of the crate's own writer.

use prost::Message;

#[derive(Clone, Copy, PartialEq, Message)]
pub struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct TimeFrame {
    #[prost(message, optional, tag = "1")]
    pub start: Option<Timestamp>,
    #[prost(message, optional, tag = "2")]
    pub end: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct SummaryTotals {
    #[prost(uint64, tag = "1")]
    pub total_sessions: u64,
    #[prost(uint64, tag = "2")]
    pub total_users: u64,
    #[prost(uint64, tag = "3")]
    pub total_conversion_events: u64,
    #[prost(uint64, tag = "4")]
    pub total_conversion_users: u64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct RoleCount {
    #[prost(uint64, tag = "1")]
    pub sessions: u64,
    #[prost(uint64, tag = "2")]
    pub users: u64,
}

/// A `ConversionPage` or a `DropOffPage`, which have the same shape.
#[derive(Clone, PartialEq, Message)]
pub struct Page {
    #[prost(string, tag = "1")]
    pub url: String,
    #[prost(message, optional, tag = "2")]
    pub first: Option<RoleCount>,
    #[prost(message, optional, tag = "3")]
    pub assist: Option<RoleCount>,
    #[prost(message, optional, tag = "4")]
    pub landing: Option<RoleCount>,
    /// All sessions that landed on the page, which the contract calls `landing`.
    #[prost(message, optional, tag = "5")]
    pub landed: Option<RoleCount>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PagesResponse {
    #[prost(message, optional, tag = "1")]
    pub time_frame: Option<TimeFrame>,
    #[prost(message, optional, tag = "2")]
    pub summary_totals: Option<SummaryTotals>,
    #[prost(message, repeated, tag = "3")]
    pub conversion_performance: Vec<Page>,
    #[prost(message, repeated, tag = "4")]
    pub drop_off_performance: Vec<Page>,
    #[prost(string, tag = "5")]
    pub message: String,
    #[prost(message, optional, tag = "6")]
    pub data: Option<DataState>,
    #[prost(message, optional, tag = "7")]
    pub balance: Option<Balance>,
    #[prost(message, optional, tag = "8")]
    pub omitted: Option<OmittedPages>,
    #[prost(message, repeated, tag = "9")]
    pub hints: Vec<Hint>,
}

#[derive(Clone, PartialEq, Message)]
pub struct DataState {
    #[prost(string, tag = "1")]
    pub version: String,
    #[prost(message, optional, tag = "2")]
    pub complete_through: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Hint {
    #[prost(string, tag = "1")]
    pub field: String,
    #[prost(string, tag = "2")]
    pub value: String,
    #[prost(uint64, tag = "3")]
    pub sessions: u64,
    #[prost(string, tag = "4")]
    pub sentence: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Balance {
    #[prost(message, optional, tag = "1")]
    pub included: Option<RoleCount>,
    #[prost(message, optional, tag = "2")]
    pub converting: Option<RoleCount>,
    #[prost(message, optional, tag = "3")]
    pub dropping_off: Option<RoleCount>,
    #[prost(message, optional, tag = "4")]
    pub both: Option<RoleCount>,
    #[prost(message, optional, tag = "5")]
    pub converting_without_views: Option<RoleCount>,
    #[prost(message, optional, tag = "6")]
    pub dropping_off_without_views: Option<RoleCount>,
}

#[derive(Clone, PartialEq, Message)]
pub struct OmittedPages {
    #[prost(uint64, tag = "1")]
    pub conversion_performance: u64,
    #[prost(uint64, tag = "2")]
    pub drop_off_performance: u64,
}
