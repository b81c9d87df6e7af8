//! Fills the memory with made-up sessions, a hundred million by default, and asks for them on as many threads as there are
//! cores, or as many as are given. It prints one line of JSON, for the benchmarks.
#![allow(clippy::print_stdout, reason = "what was measured")]
#![allow(clippy::cast_precision_loss, reason = "seconds have three digits")]

#[path = "../benches/traffic/mod.rs"]
mod traffic;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use pageroles_core::{Resident, Result};

/// Sessions that are made and fed at once.
const RANGE: usize = 250_000;
const PAGES: u64 = 5_000;
const ROUNDS: usize = 5;

fn main() -> Result<()> {
    let mut given = std::env::args().skip(1).map(|text| text.parse().ok());
    let sessions = given.next().flatten().unwrap_or(100_000_000_usize);
    let ranges = sessions.div_ceil(RANGE);
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let threads = given.next().flatten().unwrap_or_else(cores);
    let resident = Arc::<Resident>::default();
    let mut filling = Duration::ZERO;
    for nth in 0..ranges {
        let places = traffic::places(&traffic::range_of_users(nth, ranges, RANGE, PAGES));
        let began = Instant::now();
        traffic::apply(&resident, &places)?;
        filling += began.elapsed();
    }
    let mut seconds = Vec::new();
    let mut measure = |name: &str, ask: &dyn Fn() -> Result<u64>| {
        let mut times = Vec::new();
        for _ in 0..=ROUNDS {
            let began = Instant::now();
            assert!(ask()? > 0, "{name}");
            times.push(format!("{:.5}", began.elapsed().as_secs_f64()));
        }
        // The first is to warm up.
        seconds.push(format!("\"{name}\": [{}]", times.split_off(1).join(", ")));
        Ok(())
    };
    for (name, question) in traffic::questions() {
        let count = || resident.count(&question, false, false, threads);
        measure(name, &|| Ok(count()?.totals().sessions))?;
    }
    for (name, ask) in traffic::FURTHER {
        measure(name, &|| Ok(ask(&resident, threads)))?;
    }
    println!(
        "{{\"sessions\": {}, \"pages\": {PAGES}, \"threads\": {threads}, \"bytes\": {}, \"filling_seconds\": {:.3}, \
         \"seconds\": {{{}}}}}",
        resident.sessions(),
        resident.bytes(),
        filling.as_secs_f64(),
        seconds.join(", ")
    );
    Ok(())
}
