//! From counts to the answer that goes out. It knows nothing of how the counts came about.
//!
//! | module | does |
//! |---|---|
//! | `order` | counts → rows in the order of the answer |
//! | `messages` | rows → the protobuf messages of the contract |
//! | `json` | those messages → JSON |
//! | `days` | counts of days → their message |
//! | `fields` | the field numbers that `messages` writes and `json` reads |
//! | `parallel` | two things at once |

mod days;
mod fields;
mod json;
mod messages;
mod order;
mod parallel;

pub use json::JsonAnswer;
pub use messages::{Answer, NO_DATA};
pub use order::Snapshot;
