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
use pageroles_core::{Incoming, Question, Resident, Scope};

const DAY_MS: i64 = 86_400_000;
const FIRST_DAY: i64 = 20_000;
/// All days, and the second half of them.
const MONTH: [i64; 2] = [FIRST_DAY * DAY_MS, (FIRST_DAY + 30) * DAY_MS - 1];
const HALF: [i64; 2] = [(FIRST_DAY + 15) * DAY_MS, (FIRST_DAY + 30) * DAY_MS - 1];

fn apply(resident: &Arc<Resident>, rows: &[traffic::Session]) {
    let mut incoming = Incoming::new(Arc::clone(resident));
    incoming.feed(&traffic::places(rows)).unwrap();
    incoming.apply().unwrap();
}

fn filled(sessions: &[traffic::Session]) -> Arc<Resident> {
    let resident = Arc::default();
    for rows in sessions.chunks(1 << 18) {
        apply(&resident, rows);
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
        let all = Question {
            scope: Scope::Any,
            window: MONTH,
            traffic: [None; 5],
            landing: None,
            conversion: [None; 3],
        };
        let source = traffic::source(3);
        let questions = [
            ("any", all),
            (
                "half of the days",
                Question {
                    window: HALF,
                    ..all
                },
            ),
            (
                "one source of ten",
                Question {
                    traffic: [Some(source), None, None, None, None],
                    ..all
                },
            ),
            (
                "first",
                Question {
                    scope: Scope::First,
                    ..all
                },
            ),
            (
                "assist",
                Question {
                    scope: Scope::Assist,
                    ..all
                },
            ),
            (
                "one type of conversion of three",
                Question {
                    scope: Scope::After,
                    conversion: [None, Some(traffic::conversion_type(1)), None],
                    ..all
                },
            ),
        ];
        for (name, question) in questions {
            assert!(
                resident.count(&question, 1).unwrap().totals().sessions > 0,
                "{name}"
            );
            group.bench_function(format!("{name}, {pages} pages"), |bencher| {
                bencher.iter(|| resident.count(&question, 1).unwrap().totals());
            });
        }
        if pages == 5_000 {
            group.throughput(Throughput::Elements(100));
            let next = Cell::new(0);
            group.bench_function("a hundred sessions more", |bencher| {
                bencher.iter(|| {
                    let start = next.replace((next.get() + 7919) % (sessions.len() - 200_000));
                    let rows: Vec<_> = sessions
                        .iter()
                        .skip(start)
                        .step_by(1999)
                        .take(100)
                        .copied()
                        .collect();
                    apply(&resident, &rows);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, residents);
criterion_main!(benches);
