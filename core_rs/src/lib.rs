//! Counts, for each page of a website, the sessions and the distinct users in which it had a role on the way to a
//! conversion or to an exit. No I/O, no clock, no Python.
//!
//! Bytes go in as ClickHouse writes them, and the finished protobuf message comes out. Each module imports only those
//! above it (`tests/walls.rs`):
//!
//! | module | does |
//! |---|---|
//! | [`error`] | what can go wrong |
//! | `wire` | reads and writes varints and protobuf fields |
//! | [`keys`] | the keys of sessions, users and pages |
//! | [`native`] | bytes, in chunks cut anywhere → typed columns of a block |
//! | `index`, [`pages`] | a page's 64-bit key → a small number; at the end, its URL |
//! | [`roles`] | a session → the roles of its pages |
//! | [`journey`] | a user's first and first converting session → the sessions that a scope includes |
//! | `group` | rows, dealt to partitions and sorted by user |
//! | `firsts` | rows → each user's earliest one, for scopes that need no more |
//! | [`rows`] | the columns of the streams → compact rows of a unit |
//! | [`counts`] | roles → sessions and distinct users of each page |
//! | [`answer`] | counts → rows in order → protobuf → JSON |
//! | [`tally`] | one question's counts: all of the above, in their order |
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
pub mod keys;
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
pub use keys::key;
pub use pages::KeyWidth;
pub use tally::Tally;
