//! Reads Native blocks into typed columns and does nothing with the rows.
#![allow(missing_docs, reason = "criterion's macros")]
#![allow(clippy::unwrap_used, reason = "a bench may stop anywhere")]

mod traffic;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pageroles_core::native::Reader;
use pageroles_core::streams::SessionColumns;

fn read(criterion: &mut Criterion) {
    let stream = traffic::sessions(traffic::SESSIONS, 5_000, traffic::Form::Once);
    let mut reader = Reader::<SessionColumns>::default();
    let mut group = criterion.benchmark_group("native");
    group
        .throughput(Throughput::Elements(traffic::SESSIONS as u64))
        .sample_size(20);
    for (name, chunk) in [("1 MiB chunks", traffic::CHUNK), ("4 KiB chunks", 4096)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut rows = 0;
                for chunk in stream.chunks(chunk) {
                    let count = |block: &SessionColumns| {
                        rows += block.user_key.values().len();
                        Ok(())
                    };
                    reader.feed(chunk, count).unwrap();
                }
                reader.finish().unwrap();
                assert_eq!(rows, traffic::SESSIONS);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, read);
criterion_main!(benches);
