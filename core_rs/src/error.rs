//! What can go wrong, in sentences that name the stream and the byte.

use std::fmt;

/// A refusal. Nothing of the unit that caused it has been counted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A stream holds something other than Native blocks of its columns, or an answer something
    /// other than messages of the contract.
    Malformed {
        /// The stream's name.
        stream: &'static str,
        /// Bytes of the stream that were read before.
        at: u64,
        /// What was found and what would have been right.
        reason: String,
    },
    /// A stream ended inside a block.
    Truncated {
        /// The stream's name.
        stream: &'static str,
        /// Bytes of the stream that arrived.
        at: u64,
    },
    /// The answer depends on the order of two sessions that started together, and their ids, which
    /// would tell, were not fed.
    Tied,
    /// Two pages share the leading bits of their keys; whole keys tell them apart.
    Ambiguous,
    /// More of something than the counters can hold.
    TooMany(&'static str),
    /// A touch scope that the contract does not have.
    UnknownScope(i64),
    /// Of units that were begun together, rows of one came after those of a later one, which then was counted.
    Unordered,
    /// A user with conversions belongs to a unit before this one, which did not get its rows.
    PassedOver(u64),
    /// An answer or a merge was asked for while a unit's rows wait for their end.
    UnitOpen,
    /// Two tallies of different questions can't be added.
    OtherQuestion,
    /// Pages of the answer have no URL yet.
    Unnamed(usize),
    /// The tally was fed while messages of its answer were still being taken.
    Changed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { stream, at, reason } => {
                write!(f, "{stream} stream, byte {at}: {reason}")
            }
            Self::Truncated { stream, at } => {
                write!(
                    f,
                    "{stream} stream is truncated: it ends inside a block, at byte {at}"
                )
            }
            Self::Tied => f.write_str(
                "sessions of a user started together and their order matters: feed the unit again \
                 with column session_id",
            ),
            Self::Ambiguous => f.write_str(
                "two pages have the same leading bits of their keys: count with whole keys",
            ),
            Self::TooMany(what) => write!(f, "too many {what}: a tally holds at most {}", u32::MAX),
            Self::UnknownScope(number) => {
                write!(f, "touch scope {number} is unknown: 0 to 5 are accepted")
            }
            Self::Unordered => f.write_str(
                "sessions of a unit came after those of a later one: count anew, each unit by itself",
            ),
            Self::PassedOver(user) => write!(
                f,
                "the conversions of user {user} came after the unit that they belong to"
            ),
            Self::UnitOpen => f.write_str("a unit is open: finish it before asking for its counts"),
            Self::OtherQuestion => f.write_str(
                "the tallies differ in touch scope or conversion filter: they can't be merged",
            ),
            Self::Unnamed(count) => write!(
                f,
                "{count} pages of the answer have no URL: feed the pages that are missing"
            ),
            Self::Changed => {
                f.write_str("the tally changed while its answer was being read: ask again")
            }
        }
    }
}

impl std::error::Error for Error {}

/// What is wrong with some bytes, as a sentence. Whoever knows the stream adds where.
pub type Fault = String;

/// Why a reader stops: what is wrong with the bytes, to which it adds where, or an error of its own.
#[derive(Debug)]
pub enum Stop {
    /// What is wrong with the bytes.
    Malformed(Fault),
    /// What else went wrong.
    Error(Error),
}

impl From<Fault> for Stop {
    fn from(reason: Fault) -> Self {
        Self::Malformed(reason)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// A result, with this crate's [`Error`] where none is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;
