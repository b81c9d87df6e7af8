//! A unit of a million sessions, from bytes to counts, and the answer, at few and at many pages.
#![allow(missing_docs, reason = "criterion's macros")]
#![allow(clippy::unwrap_used, reason = "a bench may stop anywhere")]

mod traffic;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pageroles_core::{Scope, Tally};

const PAGES: [u64; 2] = [5_000, 500_000];

fn feed(tally: &mut Tally, stream: &[u8]) {
    for chunk in stream.chunks(traffic::CHUNK) {
        tally.feed_sessions(chunk).unwrap();
    }
}

/// One tally counts unit after unit, as a worker does.
fn units(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unit");
    group
        .throughput(Throughput::Elements(traffic::SESSIONS as u64))
        .sample_size(20);
    for pages in PAGES {
        let stream = traffic::sessions(pages);
        let mut tally = Tally::new(Scope::Any, false);
        feed(&mut tally, &stream);
        tally.finish_unit().unwrap();
        assert_eq!(tally.totals().sessions, traffic::SESSIONS as u64);
        group.bench_function(format!("feed and count, {pages} pages"), |bencher| {
            bencher.iter(|| {
                feed(&mut tally, &stream);
                tally.finish_unit().unwrap();
            });
        });
    }
    group.finish();
}

fn answers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("answer");
    group.sample_size(10);
    for pages in PAGES {
        let stream = traffic::sessions(pages);
        let counted = || {
            let mut tally = Tally::new(Scope::Any, false);
            feed(&mut tally, &stream);
            tally.finish_unit().unwrap();
            tally
        };
        let mut tally = counted();
        let names = traffic::names(&tally.page_keys());
        group.bench_function(format!("names, {pages} pages"), |bencher| {
            let feed = |mut tally: Tally| {
                tally.feed_pages(&names).unwrap();
                tally
            };
            bencher.iter_batched(counted, feed, BatchSize::PerIteration);
        });
        tally.feed_pages(&names).unwrap();
        group.bench_function(format!("order and encode, {pages} pages"), |bencher| {
            bencher.iter(|| tally.answer(0, 0).unwrap().whole(&tally).unwrap());
        });
        group.bench_function(format!("merge, {pages} pages"), |bencher| {
            let merge = |(mut one, mut other): (Tally, Tally)| {
                one.merge(&mut other).unwrap();
                one
            };
            bencher.iter_batched(|| (counted(), counted()), merge, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, units, answers);
criterion_main!(benches);
