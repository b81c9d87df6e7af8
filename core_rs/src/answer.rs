//! The answer: rows in order, and the protobuf messages of the contract.
//!
//! Written by hand, straight from the counts: a page's row costs no object. A test compares every
//! byte with a protobuf library.

use std::cmp::Ordering;
use std::hint::black_box;
use std::panic::resume_unwind;

use crate::counts::{Row, Totals};
use crate::error::{Error, Result};
use crate::pages::PageId;
use crate::roles::Side;
use crate::tally::Tally;

/// What is said where no session was included.
pub const NO_DATA: &str = "No page data found for the given parameters.";

/// Field numbers of `PagesResponse` and of what its rows do not say themselves.
mod field {
    pub const TIME_FRAME: u32 = 1;
    pub const SUMMARY_TOTALS: u32 = 2;
    pub const MESSAGE: u32 = 5;
    pub const START: u32 = 1;
    pub const END: u32 = 2;
    pub const SECONDS: u32 = 1;
    pub const NANOS: u32 = 2;
    pub const URL: u32 = 1;
    pub const SESSIONS: u32 = 1;
    pub const USERS: u32 = 2;
}

/// The order of one answer. The counts stay in the tally, which every call takes again.
#[derive(Debug, Clone)]
pub struct Answer {
    start_ms: i64,
    end_ms: i64,
    totals: Totals,
    rows: Vec<(Side, PageId)>,
    revision: u64,
    /// What [`next_message`](Self::next_message) gives next: the head, then rows.
    head_is_sent: bool,
    rows_sent: usize,
}

/// Rows that are written together.
const TOGETHER: usize = 64;
/// Rows from which on a second thread is worth its start.
const MANY: usize = 20_000;

/// A page among those of its side, with what decides on its place.
struct Ranked {
    sessions: [u32; 3],
    /// The bytes of its name that follow those that all names begin with: most of what names have to say
    /// to order is here, without a look at them, which would be a wait for memory.
    name: [u8; 24],
    page: PageId,
}

impl Ranked {
    fn new(tally: &Tally, counts: &Row, page: PageId, shared: usize) -> Self {
        let rest = tally
            .pages
            .name_bytes(page)
            .get(shared..)
            .unwrap_or_default();
        let mut name = [0; 24];
        let length = rest.len().min(name.len());
        name[..length].copy_from_slice(&rest[..length]);
        Self {
            sessions: counts.map(|cell| cell.sessions),
            name,
            page,
        }
    }

    fn order(&self, other: &Self, tally: &Tally) -> Ordering {
        // A page's key ends all ties: URLs that were no UTF-8 may have become the same.
        let key = |page| (tally.pages.name_bytes(page), tally.pages.key(page));
        (other.sessions.cmp(&self.sessions))
            .then(self.name.cmp(&other.name))
            .then_with(|| key(self.page).cmp(&key(other.page)))
    }
}

/// The pages of a side in order.
fn ranked(tally: &Tally, side: Side, shared: usize) -> Vec<(Side, PageId)> {
    let mut rows: Vec<Ranked> = tally
        .pages
        .iter()
        .filter_map(|page| {
            let counts = tally.counts.row(side, page)?;
            Some(Ranked::new(tally, counts, page, shared))
        })
        .collect();
    rows.sort_unstable_by(|one, other| one.order(other, tally));
    rows.into_iter().map(|row| (side, row.page)).collect()
}

/// Does two things, at the same time where they are about so many rows that it is worth it.
fn both<T: Send>(rows: usize, one: impl FnOnce() -> T + Send, other: impl FnOnce() -> T) -> (T, T) {
    if rows < MANY {
        return (one(), other());
    }
    std::thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        (
            one.join().unwrap_or_else(|panic| resume_unwind(panic)),
            other,
        )
    })
}

impl Answer {
    pub(crate) fn new(tally: &Tally, start_ms: i64, end_ms: i64) -> Self {
        let shared = tally.pages.shared_start();
        let [first, second] = Side::ALL;
        let (mut rows, after) = both(
            tally.pages.len(),
            || ranked(tally, first, shared),
            || ranked(tally, second, shared),
        );
        rows.extend(after);
        Self {
            start_ms,
            end_ms,
            totals: tally.totals(),
            rows,
            revision: tally.revision,
            head_is_sent: false,
            rows_sent: 0,
        }
    }

    /// The whole answer as one `PagesResponse`.
    ///
    /// # Errors
    ///
    /// [`Error::Changed`] where the tally was fed or merged since.
    pub fn whole(&self, tally: &Tally) -> Result<Vec<u8>> {
        Ok(self.pieces(tally)?.concat())
    }

    /// The whole answer as one `PagesResponse`, in pieces that were written at the same time.
    ///
    /// # Errors
    ///
    /// [`Error::Changed`] where the tally was fed or merged since.
    pub fn pieces(&self, tally: &Tally) -> Result<[Vec<u8>; 3]> {
        self.require_same(tally)?;
        let write = |rows: &[(Side, PageId)]| {
            let mut out = Vec::new();
            for rows in rows.chunks(TOGETHER) {
                let messages = rows
                    .iter()
                    .map(|&(side, page)| RowMessage::new(tally, side, page));
                let messages: Vec<_> = messages.collect();
                // A look at all names before the first is written: the waits for memory overlap.
                black_box(
                    messages
                        .iter()
                        .fold(0, |looked, row| looked ^ row.url.first().unwrap_or(&0)),
                );
                for row in &messages {
                    row.put(&mut out);
                }
            }
            out
        };
        let (one, other) = self.rows.split_at(self.rows.len() / 2);
        let (one, other) = both(self.rows.len(), || write(one), || write(other));
        Ok([self.head(), one, other])
    }

    /// The next `PagesResponse` of a stream that says the same: first the head without rows, then
    /// rows, as many as fit into `max_bytes`. A row that is larger travels alone.
    ///
    /// # Errors
    ///
    /// [`Error::Changed`] where the tally was fed or merged since.
    pub fn next_message(&mut self, tally: &Tally, max_bytes: usize) -> Result<Option<Vec<u8>>> {
        self.require_same(tally)?;
        if !self.head_is_sent {
            self.head_is_sent = true;
            return Ok(Some(self.head()));
        }
        let mut out = Vec::new();
        for &(side, page) in self.rows.get(self.rows_sent..).unwrap_or_default() {
            let row = RowMessage::new(tally, side, page);
            if !out.is_empty() && out.len() + row.len() > max_bytes {
                break;
            }
            row.put(&mut out);
            self.rows_sent += 1;
        }
        Ok((!out.is_empty()).then_some(out))
    }

    /// Everything but the rows.
    fn head(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.totals.sessions == 0 {
            put_bytes(&mut out, field::MESSAGE, NO_DATA.as_bytes());
            return out;
        }
        let mut time_frame = Vec::new();
        put_bytes(&mut time_frame, field::START, &timestamp(self.start_ms));
        put_bytes(&mut time_frame, field::END, &timestamp(self.end_ms));
        put_bytes(&mut out, field::TIME_FRAME, &time_frame);

        let mut totals = Vec::new();
        let in_field_order = [
            self.totals.sessions,
            self.totals.users,
            self.totals.conversion_events,
            self.totals.conversion_users,
        ];
        for (field, total) in (1..).zip(in_field_order) {
            put_number(&mut totals, field, total);
        }
        put_bytes(&mut out, field::SUMMARY_TOTALS, &totals);
        out
    }

    fn require_same(&self, tally: &Tally) -> Result<()> {
        if self.revision == tally.revision {
            Ok(())
        } else {
            Err(Error::Changed)
        }
    }
}

/// A `ConversionPage` or `DropOffPage` as a field of `PagesResponse`.
struct RowMessage<'a> {
    side: Side,
    url: &'a [u8],
    counts: Row,
    /// Bytes of the message without its own tag and length.
    size: usize,
}

impl<'a> RowMessage<'a> {
    fn new(tally: &'a Tally, side: Side, page: PageId) -> Self {
        let url = tally.pages.name_bytes(page);
        let counts = tally.counts.row(side, page).copied().unwrap_or_default();
        let url_size = if url.is_empty() {
            0
        } else {
            bytes_len(url.len())
        };
        let counts_size: usize = counts
            .iter()
            .map(|cell| bytes_len(number_len(cell.sessions) + number_len(cell.users)))
            .sum();
        Self {
            side,
            url,
            counts,
            size: url_size + counts_size,
        }
    }

    fn len(&self) -> usize {
        bytes_len(self.size)
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_header(out, self.side.field(), self.size);
        if !self.url.is_empty() {
            put_bytes(out, field::URL, self.url);
        }
        for (role, cell) in self.side.roles().into_iter().zip(self.counts) {
            put_header(
                out,
                role.field(),
                number_len(cell.sessions) + number_len(cell.users),
            );
            put_number(out, field::SESSIONS, u64::from(cell.sessions));
            put_number(out, field::USERS, u64::from(cell.users));
        }
    }
}

/// `google.protobuf.Timestamp`: seconds rounded down, so that nanos count upwards before 1970, too.
fn timestamp(ms: i64) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(
        &mut out,
        field::SECONDS,
        ms.div_euclid(1000).cast_unsigned(),
    );
    let nanos = ms.rem_euclid(1000) * 1_000_000;
    put_number(&mut out, field::NANOS, nanos.cast_unsigned());
    out
}

/// A varint field; absent where it is zero.
#[inline]
fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(field << 3));
        put_varint(out, value);
    }
}

#[inline]
fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_header(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

/// Tag and length of a field whose content follows.
#[inline]
fn put_header(out: &mut Vec<u8>, field: u32, size: usize) {
    put_varint(out, u64::from(field << 3 | 2));
    put_varint(out, size as u64);
}

#[inline]
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Size of a length-delimited field, whose tag is always one byte here.
fn bytes_len(size: usize) -> usize {
    1 + varint_len(size as u64) + size
}

/// Size of a varint field.
fn number_len(value: u32) -> usize {
    if value == 0 {
        0
    } else {
        1 + varint_len(u64::from(value))
    }
}

fn varint_len(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}
