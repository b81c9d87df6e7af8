//! Fixed traffic, from bytes to bytes, for counting instructions. Unlike seconds, their number is the same on a busy
//! machine.
//!
//! ```text
//! CARGO_PROFILE_RELEASE_DEBUG=1 cargo build --release --locked --example count_instructions
//! valgrind --tool=callgrind --toggle-collect='*measured_*' \
//!     --callgrind-out-file=target/callgrind.out target/release/examples/count_instructions
//! callgrind_annotate --inclusive=yes target/callgrind.out
//! ```
//!
//! The functions `measured_*` are what counts: neither the start of the process nor the making of the traffic. The
//! target `check-instructions` of the Makefile compares each with a bound.

#[path = "../benches/traffic/mod.rs"]
mod traffic;

use std::hint::black_box;
use std::sync::Arc;

use pageroles_core::{Counted, Incoming, JsonAnswer, KeyWidth, Resident, Result, Scope, Tally};
use traffic::{Ask, Form};

const SESSIONS: usize = 100_000;
const PAGES: u64 = 5_000;
const SEED: u64 = 0x5eed;
const CHANGED: usize = 100;

fn main() -> Result<()> {
    let conversions = traffic::conversions(SESSIONS - SESSIONS / 17, PAGES);
    for (form, scope) in [(Form::Once, Scope::Any), (Form::Versions, Scope::First)] {
        let sessions = traffic::sessions(SESSIONS, PAGES, form);
        let mut tally = Tally::with_seed(scope, false, SEED).with_keys(KeyWidth::Leading);
        measured_stream(&mut tally, &sessions, &conversions)?;
        assert!(tally.totals().conversion_users > 0);
    }

    let mut rows = traffic::days(SESSIONS, PAGES);
    rows.sort_unstable();
    let resident = Arc::new(Resident::with_seed(SEED));
    measured_build(&resident, &traffic::places(&rows))?;
    assert_eq!(resident.sessions(), SESSIONS);
    let turned = rows.iter().filter_map(|row| row.turned());
    let some: Vec<_> = turned.step_by(SESSIONS / 2 / CHANGED).collect();
    measured_change(&resident, &traffic::places(&some))?;
    assert_eq!(resident.sessions(), SESSIONS);

    let asked = [
        "any",
        "one source of ten",
        "one type of conversion of three",
    ];
    for (name, question) in traffic::questions() {
        if !asked.contains(&name) {
            continue;
        }
        let mut counted = measured_count(&resident, &question)?;
        assert!(counted.totals().sessions > 0);
        let names = traffic::names_of_whole(&counted.missing_pages());
        black_box(measured_answer(&mut counted, &names)?);
    }
    for (name, ask) in traffic::FURTHER {
        let asked = if name.starts_with("days") {
            measured_days(&resident, ask)
        } else if name.starts_with("values") {
            measured_values(&resident, ask)
        } else {
            measured_select(&resident, ask)
        };
        assert!(asked > 0, "{name}");
    }
    Ok(())
}

/// A streamed report's unit: bytes to blocks to counts.
#[inline(never)]
fn measured_stream(tally: &mut Tally, sessions: &[u8], conversions: &[u8]) -> Result<()> {
    for chunk in sessions.chunks(traffic::CHUNK) {
        tally.feed_sessions(chunk)?;
    }
    tally.feed_conversions(conversions)?;
    tally.finish_unit()
}

/// A domain that is read into memory: bytes to blocks.
#[inline(never)]
fn measured_build(resident: &Arc<Resident>, places: &[u8]) -> Result<()> {
    let mut incoming = Incoming::new(Arc::clone(resident));
    for chunk in places.chunks(traffic::CHUNK) {
        incoming.feed(chunk)?;
    }
    incoming.apply()
}

/// A few places that change, in most of the blocks.
#[inline(never)]
fn measured_change(resident: &Arc<Resident>, places: &[u8]) -> Result<()> {
    traffic::apply(resident, places)
}

/// A question about a domain in memory: blocks to counts.
#[inline(never)]
fn measured_count(resident: &Resident, question: &pageroles_core::Question) -> Result<Counted> {
    resident.count(question, false, false, 1)
}

/// Counts to message and JSON.
#[inline(never)]
fn measured_answer(counted: &mut Counted, names: &[u8]) -> Result<Vec<u8>> {
    counted.feed_pages(names)?;
    let answer = counted.answer(0, 0)?;
    let message = counted.read(|snapshot| answer.whole(snapshot));
    JsonAnswer::default().feed(&message)
}

/// Blocks to the message of days.
#[inline(never)]
fn measured_days(resident: &Resident, ask: Ask) -> u64 {
    ask(black_box(resident), 1)
}

/// Blocks to the keys of values.
#[inline(never)]
fn measured_values(resident: &Resident, ask: Ask) -> u64 {
    ask(resident, 1)
}

/// Blocks to the latest sessions.
#[inline(never)]
fn measured_select(resident: &Resident, ask: Ask) -> u64 {
    black_box(ask(resident, 1))
}
