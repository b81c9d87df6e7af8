//! Fixed traffic, from bytes to bytes, for counting instructions. Unlike seconds, their number is the same on a busy
//! machine.
//!
//! ```text
//! CARGO_PROFILE_RELEASE_DEBUG=1 cargo build --release --locked --example count_instructions
//! valgrind --tool=callgrind --toggle-collect='*measured_*' \
//!     --callgrind-out-file=target/callgrind.out target/release/examples/count_instructions
//! ```
//!
//! `Collected` is the number. It includes neither the start of the process nor the making of the traffic. The target
//! `check-instructions` of the Makefile compares it with a bound.

#[path = "../benches/traffic/mod.rs"]
mod traffic;

use std::hint::black_box;

use pageroles_core::{Counted, JsonAnswer, KeyWidth, Result, Scope, Tally};
use traffic::Form;

const SESSIONS: usize = 100_000;
const PAGES: u64 = 5_000;

fn main() -> Result<()> {
    let forms = [
        (Form::Once, Scope::Any),
        (Form::Versions, Scope::Any),
        (Form::Dated, Scope::First),
        (Form::Versions, Scope::First),
    ];
    let conversions = traffic::conversions(SESSIONS - SESSIONS / 17, PAGES);
    for (form, scope) in forms {
        let sessions = traffic::sessions(SESSIONS, PAGES, form);
        let mut tally = Tally::with_seed(scope, false, 0x5eed).with_keys(KeyWidth::Leading);
        measured_count(&mut tally, &sessions, &conversions)?;
        assert!(tally.totals().conversion_users > 0);
        let mut counted = tally.take()?;
        let names = traffic::names(&counted.missing_pages());
        black_box(measured_answer(&mut counted, &names)?);
    }
    Ok(())
}

#[inline(never)]
fn measured_count(tally: &mut Tally, sessions: &[u8], conversions: &[u8]) -> Result<()> {
    for chunk in sessions.chunks(traffic::CHUNK) {
        tally.feed_sessions(chunk)?;
    }
    tally.feed_conversions(conversions)?;
    tally.finish_unit()
}

#[inline(never)]
fn measured_answer(counted: &mut Counted, names: &[u8]) -> Result<Vec<u8>> {
    counted.feed_pages(names)?;
    let answer = counted.answer(0, 0)?;
    let message = counted.read(|snapshot| answer.whole(snapshot));
    JsonAnswer::default().feed(&message)
}
