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
//! | [`journey`] | where a session stands in its user's journey; which ones a scope includes |
//! | `group` | rows, dealt to partitions and sorted by user |
//! | `block` | sessions in columns, grouped by user, in order of start |
//! | `included` | which sessions of a block count, whatever is asked |
//! | `chosen` | those sessions, and the roles that a page has in them |
//! | `counts` | a block → sessions and distinct users of each page in each role |
//! | `days` | blocks → totals of each day, and what one page did on it |
//! | `selection` | blocks → the latest sessions of a number |
//! | `names` | the texts of values, by their keys |
//! | `values` | blocks → for each value of a filter, its sessions |
//! | [`streams`], `arrange`, `unit` | columns of the streams → rows of a unit → blocks |
//! | [`answer`] | counts → rows in order → protobuf → JSON |
//! | [`counted`] | one question's counts, and their names |
//! | [`tally`] | streams → the counts of one question, unit by unit |
//! | [`resident`] | a domain kept in memory → the counts of any question |
//!
//! ```
//! use pageroles_core::{Scope, Tally};
//!
//! # fn main() -> Result<(), pageroles_core::Error> {
//! let mut tally = Tally::new(Scope::Any, false);
//! // One column, one row: the user with key 7.
//! tally.feed_users(b"\x01\x01\x08user_key\x06UInt64\x07\0\0\0\0\0\0\0")?;
//! tally.finish_unit()?;
//! assert_eq!(tally.totals().sessions, 0);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod answer;
mod arrange;
mod block;
mod chosen;
pub mod counted;
mod counts;
mod days;
pub mod error;
mod group;
mod included;
mod index;
pub mod journey;
pub mod keys;
mod names;
pub mod native;
pub mod pages;
pub mod resident;
pub mod roles;
mod selection;
pub mod streams;
pub mod tally;
mod unit;
mod values;
mod wire;

pub use answer::{Answer, JsonAnswer, Snapshot};
pub use counted::Counted;
pub use counts::{Balance, RoleCount, Totals};
pub use days::Days;
pub use error::{Error, Result};
pub use journey::Scope;
pub use keys::key;
pub use names::Names;
pub use pages::KeyWidth;
pub use resident::{Incoming, Question, Resident};
pub use selection::{Part, Selected, Selection};
pub use tally::Tally;
pub use values::{Field, Values};
