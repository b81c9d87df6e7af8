//! What can go wrong, in sentences that name the stream and the byte.

use std::fmt;

/// An error. Nothing of the unit that caused it has been counted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A stream is not made of Native blocks with its columns, or an answer not of messages of the contract.
    Malformed {
        /// The stream's name.
        stream: &'static str,
        /// Bytes of the stream that were read before the fault.
        at: u64,
        /// What was found and what is accepted.
        reason: String,
    },
    /// A stream ended inside a block.
    Truncated {
        /// The stream's name.
        stream: &'static str,
        /// Bytes of the stream that arrived.
        at: u64,
    },
    /// Two pages share the leading bits of their keys. Only whole keys tell them apart.
    Ambiguous,
    /// There is more of something than the counters can hold.
    TooMany(&'static str),
    /// The contract has no such touch scope.
    UnknownScope(i64),
    /// The contract has no such role, or the role is one of a page, and no page was given.
    UnknownRole(i64),
    /// There is no such filter.
    UnknownField(i64),
    /// An answer or a merge was asked for while a unit was open.
    UnitOpen,
    /// The tallies answer different questions and can't be merged.
    OtherQuestion,
    /// What shall be merged was made differently.
    Unlike(&'static str),
    /// Some pages of the answer have no URL yet.
    Unnamed(usize),
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
            Self::Ambiguous => f.write_str(
                "two pages have the same leading bits of their keys: count with whole keys",
            ),
            Self::TooMany(what) => write!(f, "too many {what}: a tally holds at most {}", u32::MAX),
            Self::UnknownScope(number) => {
                write!(f, "touch scope {number} is unknown: 0 to 5 are accepted")
            }
            Self::UnknownRole(number) => write!(
                f,
                "role {number} is unknown: 0 to 7 are accepted for a page, and 0 without one"
            ),
            Self::UnknownField(number) => {
                write!(f, "filter {number} is unknown: 0 to 8 are accepted")
            }
            Self::Unlike(what) => write!(f, "the {what} differ: they can't be merged"),
            Self::UnitOpen => f.write_str("a unit is open: finish it before asking for its counts"),
            Self::OtherQuestion => f.write_str(
                "the tallies differ in touch scope or conversion filter: they can't be merged",
            ),
            Self::Unnamed(count) => write!(
                f,
                "{count} pages of the answer have no URL: feed the pages that are missing"
            ),
        }
    }
}

impl std::error::Error for Error {}

/// What is wrong with some bytes, as a sentence. Whoever knows the stream adds its name and the place.
pub type Fault = String;

/// Why a reader stops.
#[derive(Debug)]
pub enum Stop {
    /// The bytes are wrong. The reader adds the stream and the place.
    Malformed(Fault),
    /// Another error, which goes on as it is.
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
