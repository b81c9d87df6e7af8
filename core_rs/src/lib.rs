//! Counts, for each page of a website, the sessions and the distinct users in which it had a role
//! on the way to a conversion or to an exit. No I/O, no clock, no Python.
//!
//! Bytes go in as ClickHouse writes them, and the finished protobuf message comes out. On the way:
//!
//! | module | does |
//! |---|---|
//! | [`native`] | bytes, in chunks of any cut → typed columns of a block |
//! | [`rows`], `group` | the streams' columns → compact rows of a unit, brought together by user |
//! | [`pages`], `index` | a page's 64-bit key → a small number, at the door; its URL at the end |
//! | `firsts` | rows → each user's earliest, where no more is asked |
//! | [`journey`] | a user's first and first converting session → the sessions that a scope includes |
//! | [`roles`] | a session → the roles of its pages |
//! | [`counts`] | roles → sessions and distinct users of each page |
//! | [`tally`] | the above in their order, and merging |
//! | [`answer`] | counts → ordered rows → protobuf → JSON |
//! | `wire` | varints and protobuf fields, read and written |
//! | [`error`] | what can go wrong |
//!
//! ```
//! use pageroles_core::{Scope, Tally};
//!
//! # fn main() -> Result<(), pageroles_core::Error> {
//! let mut tally = Tally::new(Scope::Any, false);
//! // One column, one row: the user with key 7.
//! tally.feed_users(b"\x01\x01\x08user_key\x06UInt64\x07\0\0\0\0\0\0\0")?;
//! tally.finish_units()?;
//! assert_eq!(tally.totals().sessions, 0);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod answer;
pub mod counts;
pub mod error;
mod firsts;
mod group;
mod index;
pub mod journey;
pub mod native;
pub mod pages;
pub mod roles;
pub mod rows;
pub mod tally;
mod wire;

pub use answer::{Answer, JsonAnswer, Snapshot};
pub use counts::Totals;
pub use error::{Error, Result};
pub use journey::Scope;
pub use pages::KeyWidth;
pub use tally::Tally;
