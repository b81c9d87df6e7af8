//! Made-up traffic: the sessions of one unit as a host would stream them.
#![allow(dead_code, reason = "each bench uses a part")]

/// Sessions of one unit.
pub const SESSIONS: usize = 1_000_000;
const DAYS: usize = 30;
/// Rows of ClickHouse's blocks at `max_block_size = 262144`.
const BLOCK: usize = 262_144;
/// What a host reads at once.
pub const CHUNK: usize = 1 << 20;

fn mixed(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A page of `pages`, the first ones far more often than the last: the square of an even spread.
fn page(pages: u64, seed: u64) -> u64 {
    let even = mixed(seed) >> 32;
    mixed((((even * even) >> 32) * pages) >> 32 | 1 << 40)
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    // Names here are shorter than 128 bytes: one byte of length.
    out.extend(text.len().to_le_bytes().first());
    out.extend(text.as_bytes());
}

fn put_varuint(out: &mut Vec<u8>, mut value: usize) {
    while value > 127 {
        out.push(value.to_le_bytes()[0] | 128);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn block(names: &[&str], rows: &[Vec<u64>]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varuint(&mut out, names.len());
    put_varuint(&mut out, rows.len());
    for (column, name) in names.iter().enumerate() {
        put_string(&mut out, name);
        put_string(&mut out, "UInt64");
        out.extend(rows.iter().flat_map(|row| row[column].to_le_bytes()));
    }
    out
}

/// A sessions stream: each day's run in order of users, two sessions a user, half of the sessions
/// on one page only.
pub fn sessions(pages: u64) -> Vec<u8> {
    let users = SESSIONS as u64 / 2;
    let mut rows: Vec<Vec<u64>> = Vec::with_capacity(SESSIONS);
    for day in 0..DAYS {
        let numbers = day * SESSIONS / DAYS..(day + 1) * SESSIONS / DAYS;
        let mut run: Vec<Vec<u64>> = numbers
            .map(|number| {
                let seed = number as u64 * 4;
                // A unit has a part of all keys: the leading bits are the same.
                let user = mixed(mixed(seed) % users) >> 4;
                let landing = page(pages, seed + 1);
                if seed.is_multiple_of(8) {
                    vec![user, landing, landing, 0]
                } else {
                    vec![user, landing, page(pages, seed + 2), page(pages, seed + 3)]
                }
            })
            .collect();
        run.sort_unstable();
        rows.extend(run);
    }
    let names = ["user_key", "landing_key", "exit_key", "before_exit_key"];
    rows.chunks(BLOCK)
        .flat_map(|rows| block(&names, rows))
        .collect()
}

/// Names for these pages.
pub fn names(keys: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    for keys in keys.chunks(BLOCK) {
        put_varuint(&mut out, 2);
        put_varuint(&mut out, keys.len());
        put_string(&mut out, "page_key");
        put_string(&mut out, "UInt64");
        out.extend(keys.iter().flat_map(|key| key.to_le_bytes()));
        put_string(&mut out, "url");
        put_string(&mut out, "String");
        for key in keys {
            put_string(
                &mut out,
                &format!("https://www.example.com/shop/articles/{key:016x}"),
            );
        }
    }
    out
}
