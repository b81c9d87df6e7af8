//! The keys by which sessions, users and pages are known, as `ClickHouse` makes them.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

/// Returns `ClickHouse`'s `sipHash64` of a string: `SipHash-2-4` with a key of zeros.
///
/// ```
/// assert_eq!(pageroles_core::key(b"/"), 14_776_416_252_794_997_127);
/// ```
#[must_use]
pub fn key(text: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(text);
    hasher.finish()
}
