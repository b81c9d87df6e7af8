//! A unit of a million sessions from bytes to counts, and its answer, with few and with many pages.
#![allow(missing_docs, reason = "criterion's macros")]
#![allow(clippy::unwrap_used, reason = "a bench may stop anywhere")]

mod traffic;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pageroles_core::{Counted, JsonAnswer, KeyWidth, Scope, Tally};
use traffic::Form;

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
        for (form, scope) in [
            (Form::Once, Scope::Any),
            (Form::Versions, Scope::Any),
            (Form::Dated, Scope::First),
            (Form::Versions, Scope::First),
        ] {
            let stream = traffic::sessions(traffic::SESSIONS, pages, form);
            let mut tally = Tally::new(scope, false).with_keys(KeyWidth::Leading);
            feed(&mut tally, &stream);
            tally.finish_unit().unwrap();
            let totals = tally.totals();
            match (form, scope) {
                (Form::Once, _) => assert_eq!(totals.sessions, traffic::SESSIONS as u64),
                (_, Scope::First) => assert_eq!(totals.sessions, totals.users),
                // One version in 17 replaces another. Of the remaining sessions, one in 25 converts.
                _ => assert_eq!(totals.sessions, 903_530),
            }
            group.bench_function(format!("{form:?}, {scope:?}, {pages} pages"), |bencher| {
                bencher.iter(|| {
                    feed(&mut tally, &stream);
                    tally.finish_unit().unwrap();
                });
            });
        }
    }
    group.finish();
}

fn message(counted: &mut Counted) -> Vec<u8> {
    let answer = counted.answer(0, 0).unwrap();
    counted.read(|snapshot| answer.whole(snapshot))
}

fn answers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("answer");
    group.sample_size(10);
    for pages in PAGES {
        let stream = traffic::sessions(traffic::SESSIONS, pages, Form::Once);
        let counted = || {
            let mut tally = Tally::new(Scope::Any, false).with_keys(KeyWidth::Leading);
            feed(&mut tally, &stream);
            tally.finish_unit().unwrap();
            tally
        };
        let mut asked = counted().take().unwrap();
        let names = traffic::names(&asked.page_keys());
        group.bench_function(format!("names, {pages} pages"), |bencher| {
            let feed = |mut tally: Tally| {
                let mut counted = tally.take().unwrap();
                counted.feed_pages(&names).unwrap();
                counted
            };
            bencher.iter_batched(counted, feed, BatchSize::PerIteration);
        });
        asked.feed_pages(&names).unwrap();
        group.bench_function(format!("order and encode, {pages} pages"), |bencher| {
            bencher.iter(|| message(&mut asked));
        });
        let message = message(&mut asked);
        group.bench_function(format!("to JSON, {pages} pages"), |bencher| {
            bencher.iter(|| JsonAnswer::default().feed(&message).unwrap());
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
