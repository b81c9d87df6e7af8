//! Numbers and strings at the beginning of some bytes, which may end inside them.

use crate::error::{Fault, Result};
use crate::wire::{NoVarint, take_varint};

/// How far one step came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub(super) used: usize,
    /// Bytes from the first unused one on that it takes to go on. Zero: the item is complete.
    pub(super) need: usize,
}

/// An item and its size in bytes, or how many bytes it takes to go on.
pub(super) enum Item<T> {
    Whole(T, usize),
    Cut(usize),
}

pub(super) fn whole(used: usize) -> Progress {
    Progress { used, need: 0 }
}

pub(super) fn cut(input: &[u8]) -> Progress {
    Progress {
        used: 0,
        need: input.len() + 1,
    }
}

pub(super) fn varint(input: &[u8]) -> Result<Item<u64>, Fault> {
    let mut rest = input;
    match take_varint(&mut rest) {
        Ok(value) => Ok(Item::Whole(value, input.len() - rest.len())),
        Err(NoVarint::Cut) => Ok(Item::Cut(input.len() + 1)),
        Err(NoVarint::TooLong) => Err("a count of more than 64 bits".to_owned()),
    }
}

pub(super) fn string(input: &[u8], limit: u64) -> Result<Item<&[u8]>, Fault> {
    let (length, start) = match varint(input)? {
        Item::Whole(length, start) => (length, start),
        Item::Cut(need) => return Ok(Item::Cut(need)),
    };
    let length = usize::try_from(length)
        .ok()
        .filter(|_| length <= limit)
        .ok_or_else(|| format!("a string of {length} bytes: at most {limit} are accepted"))?;
    let size = start + length;
    Ok(input
        .get(start..size)
        .map_or(Item::Cut(size), |value| Item::Whole(value, size)))
}
