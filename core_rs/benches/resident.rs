//! A domain in memory: what it takes to fill it, to change it, and to ask it.
#![allow(missing_docs, reason = "criterion's macros")]
#![allow(clippy::unwrap_used, reason = "a bench may stop anywhere")]
#![allow(
    clippy::print_stdout,
    reason = "memory is no time, which criterion prints"
)]
#![allow(clippy::cast_precision_loss, reason = "bytes a session have one digit")]

mod traffic;

use std::cell::Cell;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pageroles_core::Resident;

fn filled(sessions: &[traffic::Session]) -> Arc<Resident> {
    let resident = Arc::default();
    for rows in sessions.chunks(1 << 18) {
        traffic::apply(&resident, &traffic::places(rows)).unwrap();
    }
    resident
}

fn residents(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resident");
    group.sample_size(20);
    for pages in [5_000, 500_000] {
        let mut sessions = traffic::days(traffic::SESSIONS, pages);
        sessions.sort_unstable();
        group.throughput(Throughput::Elements(sessions.len() as u64));
        let resident = filled(&sessions);
        assert_eq!(resident.sessions(), sessions.len());
        println!(
            "{pages} pages: {:.1} bytes a session",
            resident.bytes() as f64 / sessions.len() as f64
        );
        for (name, question) in traffic::questions() {
            assert!(
                resident
                    .count(&question, false, false, 1)
                    .unwrap()
                    .totals()
                    .sessions
                    > 0,
                "{name}"
            );
            group.bench_function(format!("{name}, {pages} pages"), |bencher| {
                bencher.iter(|| resident.count(&question, false, false, 1).unwrap().totals());
            });
        }
        for (name, ask) in traffic::FURTHER {
            assert!(ask(&resident, 1) > 0, "{name}");
            group.bench_function(format!("{name}, {pages} pages"), |bencher| {
                bencher.iter(|| ask(&resident, 1));
            });
        }
        if pages == 5_000 {
            group.throughput(Throughput::Elements(100));
            let next = Cell::new(0);
            group.bench_function("a hundred sessions changed", |bencher| {
                bencher.iter(|| {
                    let start = next.replace((next.get() + 7919) % (sessions.len() - 200_000));
                    let rows: Vec<_> = sessions
                        .iter()
                        .skip(start)
                        .step_by(1009)
                        .filter_map(|row| row.turned())
                        .take(100)
                        .collect();
                    traffic::apply(&resident, &traffic::places(&rows)).unwrap();
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, residents);
criterion_main!(benches);
