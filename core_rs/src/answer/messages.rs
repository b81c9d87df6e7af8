//! The answer as protobuf messages of the contract.
//!
//! They are written by hand, straight from the counts, without an object for each page. A test compares every byte with
//! what a protobuf library writes.

use std::hint::black_box;

use crate::answer::fields::{omitted, page, response, role_count, time_frame, timestamp};
use crate::answer::order::Snapshot;
use crate::answer::parallel::join;
use crate::counts::{Balance, Cell, RoleCount, Row, Totals};
use crate::pages::PageId;
use crate::roles::Side;
use crate::wire::{bytes_len, number_len, put_bytes, put_header, put_number};

/// The message of an answer without sessions.
pub const NO_DATA: &str = "No page data found for the given parameters.";

/// One answer: its totals, and its pages in order. The counts of pages stay where they are, so every call takes a
/// [`Snapshot`] of them.
#[derive(Debug, Clone)]
pub struct Answer {
    start_ms: i64,
    end_ms: i64,
    totals: Totals,
    balance: Option<Balance>,
    rows: Vec<(Side, PageId)>,
    /// How many rows of each side are left out, if a limit is given.
    omitted: Option<[usize; 2]>,
    /// Whether [`next_message`](Self::next_message) has returned the head. Rows follow it.
    head_is_sent: bool,
    rows_sent: usize,
}

/// Rows that are written together.
const TOGETHER: usize = 64;

impl Answer {
    pub(crate) fn new(snapshot: Snapshot<'_>, start_ms: i64, end_ms: i64) -> Self {
        Self {
            start_ms,
            end_ms,
            totals: snapshot.totals(),
            balance: snapshot.balance(),
            rows: snapshot.rows(),
            omitted: None,
            head_is_sent: false,
            rows_sent: 0,
        }
    }

    /// The same answer with the first rows of each side, and how many are left out.
    #[must_use]
    pub fn limited_to(mut self, rows: usize) -> Self {
        let omitted = Side::ALL.map(|side| {
            let mut of_side = 0;
            self.rows.retain(|&(other, _)| {
                of_side += usize::from(other == side);
                other != side || of_side <= rows
            });
            of_side.saturating_sub(rows)
        });
        self.omitted = Some(omitted);
        self
    }

    /// The whole answer as one `PagesResponse`.
    #[must_use]
    pub fn whole(&self, snapshot: Snapshot<'_>) -> Vec<u8> {
        self.pieces(snapshot).concat()
    }

    /// The whole answer as one `PagesResponse`, in pieces: the head, then two halves of the rows, which are written at
    /// the same time.
    #[must_use]
    pub fn pieces(&self, snapshot: Snapshot<'_>) -> [Vec<u8>; 3] {
        let write = |rows: &[(Side, PageId)]| {
            let mut out = Vec::new();
            for rows in rows.chunks(TOGETHER) {
                // What lies all over memory is looked at before the first row is written, so that the waits overlap:
                // the counts and where the names are, then the names.
                black_box(rows.iter().fold(0, |looked, &(side, page)| {
                    let [cell, ..] = snapshot.row(side, page);
                    looked ^ cell.sessions as usize ^ snapshot.url(page).len()
                }));
                black_box(rows.iter().fold(0, |looked, &(_, page)| {
                    looked ^ snapshot.url(page).first().unwrap_or(&0)
                }));
                for &(side, page) in rows {
                    RowMessage::new(snapshot, side, page).put(&mut out);
                }
            }
            out
        };
        let (one, other) = self.rows.split_at(self.rows.len() / 2);
        let (one, other) = join(self.rows.len(), || write(one), || write(other));
        [self.head(), one, other]
    }

    /// The next `PagesResponse` of a stream with the same content: first the head, then as many rows as fit into
    /// `max_bytes`. A row that is larger has a message of its own.
    pub fn next_message(&mut self, snapshot: Snapshot<'_>, max_bytes: usize) -> Option<Vec<u8>> {
        if !self.head_is_sent {
            self.head_is_sent = true;
            return Some(self.head());
        }
        let mut out = Vec::new();
        for &(side, page) in self.rows.get(self.rows_sent..).unwrap_or_default() {
            let row = RowMessage::new(snapshot, side, page);
            if !out.is_empty() && out.len() + row.len() > max_bytes {
                break;
            }
            row.put(&mut out);
            self.rows_sent += 1;
        }
        (!out.is_empty()).then_some(out)
    }

    /// Everything but the rows.
    fn head(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.totals.sessions == 0 {
            put_bytes(&mut out, response::MESSAGE, NO_DATA.as_bytes());
            self.put_balance(&mut out);
            return out;
        }
        let mut time_frame = Vec::new();
        put_bytes(
            &mut time_frame,
            time_frame::START,
            &timestamp(self.start_ms),
        );
        put_bytes(&mut time_frame, time_frame::END, &timestamp(self.end_ms));
        put_bytes(&mut out, response::TIME_FRAME, &time_frame);

        put_bytes(&mut out, response::SUMMARY_TOTALS, &totals(self.totals));
        self.put_balance(&mut out);
        if let Some(omitted) = self.omitted {
            let mut numbers = Vec::new();
            for (side, omitted) in Side::ALL.into_iter().zip(omitted) {
                put_number(&mut numbers, omitted::of(side), omitted as u64);
            }
            put_bytes(&mut out, response::OMITTED, &numbers);
        }
        out
    }

    fn put_balance(&self, out: &mut Vec<u8>) {
        let Some(balance) = self.balance else {
            return;
        };
        let mut counts = Vec::new();
        for (field, count) in (1..).zip(balance) {
            put_role_count(&mut counts, field, count);
        }
        put_bytes(out, response::BALANCE, &counts);
    }
}

/// A `SummaryTotals`.
pub(super) fn totals(totals: Totals) -> Vec<u8> {
    let mut out = Vec::new();
    let in_field_order = [
        totals.sessions,
        totals.users,
        totals.conversion_events,
        totals.conversion_users,
    ];
    for (field, total) in (1..).zip(in_field_order) {
        put_number(&mut out, field, total);
    }
    out
}

/// A `RoleCount` as a field.
pub(super) fn put_role_count(out: &mut Vec<u8>, field: u32, count: RoleCount) {
    let mut numbers = Vec::new();
    put_number(&mut numbers, role_count::SESSIONS, count.sessions);
    put_number(&mut numbers, role_count::USERS, count.users);
    put_bytes(out, field, &numbers);
}

/// A `ConversionPage` or `DropOffPage` as a field of `PagesResponse`.
struct RowMessage<'a> {
    side: Side,
    url: &'a [u8],
    counts: Row,
    landing: Option<Cell>,
    /// Size of the message in bytes, without its own tag and length.
    size: usize,
}

impl<'a> RowMessage<'a> {
    fn new(snapshot: Snapshot<'a>, side: Side, page: PageId) -> Self {
        let url = snapshot.url(page);
        let counts = snapshot.row(side, page);
        let url_size = if url.is_empty() {
            0
        } else {
            bytes_len(url.len())
        };
        let landing = snapshot.landing(page);
        let counts_size: usize = counts[..side.roles().len()].iter().map(count_len).sum();
        let landing_size = landing.as_ref().map_or(0, count_len);
        Self {
            side,
            url,
            counts,
            landing,
            size: url_size + counts_size + landing_size,
        }
    }

    fn len(&self) -> usize {
        bytes_len(self.size)
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_header(out, self.side.field(), self.size);
        if !self.url.is_empty() {
            put_bytes(out, page::URL, self.url);
        }
        for (role, cell) in self.side.roles().iter().zip(&self.counts) {
            put_count(out, role.field(), cell);
        }
        if let Some(landing) = &self.landing {
            put_count(out, page::LANDING, landing);
        }
    }
}

/// Size of a `RoleCount` with its tag and length.
#[inline]
fn count_len(cell: &Cell) -> usize {
    bytes_len(number_len(cell.sessions) + number_len(cell.users))
}

#[inline]
fn put_count(out: &mut Vec<u8>, field: u32, cell: &Cell) {
    put_header(
        out,
        field,
        number_len(cell.sessions) + number_len(cell.users),
    );
    put_number(out, role_count::SESSIONS, u64::from(cell.sessions));
    put_number(out, role_count::USERS, u64::from(cell.users));
}

/// A `google.protobuf.Timestamp`. Seconds are rounded down, so that nanos count upwards before 1970 too.
fn timestamp(ms: i64) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(
        &mut out,
        timestamp::SECONDS,
        ms.div_euclid(1000).cast_unsigned(),
    );
    let nanos = ms.rem_euclid(1000) * 1_000_000;
    put_number(&mut out, timestamp::NANOS, nanos.cast_unsigned());
    out
}
