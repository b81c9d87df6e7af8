//! Two things at once, where there is enough to do.

use std::panic::resume_unwind;

/// From this number of rows on, a second thread is worth its start.
const MANY: usize = 20_000;

/// Calls both functions, at the same time where they have many rows to work on.
pub(super) fn join<T: Send>(
    rows: usize,
    one: impl FnOnce() -> T + Send,
    other: impl FnOnce() -> T,
) -> (T, T) {
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
