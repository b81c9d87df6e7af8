//! Brings the rows of each user together.
//!
//! User keys are hashes, so their bits spread rows evenly. Rows are dealt to partitions by the leading bits as they
//! come, and each partition is sorted by the following bits while it is in the cache. Measured on a unit of a million
//! rows that arrive in day runs, dealing included: 11 ns a row. One pass that deals all rows to small buckets takes 17,
//! `sort_unstable` 23.

/// A row that belongs to a user.
pub(crate) trait Keyed {
    /// The user's key.
    fn user(&self) -> u64;
}

const PARTITION_BITS: u32 = 9;
/// Partitions of a unit. A thousand rows, of a unit's half a million, fit a core's first cache.
const PARTITIONS: usize = 1 << PARTITION_BITS;

/// The user keys of a unit, and how they are dealt to partitions of equal width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    first: u64,
    /// Keys after the first.
    width: u64,
    /// Number of the bits in which keys of one partition differ.
    shift: u32,
}

impl Default for Range {
    fn default() -> Self {
        Self::new(0, u64::MAX)
    }
}

impl Range {
    /// Both ends are included. An end before the start makes a range of one key.
    pub(crate) fn new(first: u64, last: u64) -> Self {
        let width = last.saturating_sub(first);
        let bits = u64::BITS - width.leading_zeros();
        Self {
            first,
            width,
            shift: bits.saturating_sub(PARTITION_BITS),
        }
    }

    /// Whether a user belongs to the unit.
    #[inline]
    pub(crate) fn contains(self, user: u64) -> bool {
        user.wrapping_sub(self.first) <= self.width
    }

    /// The partition of a user that belongs to the unit.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is left is less than PARTITIONS"
    )]
    fn place(self, user: u64) -> usize {
        (user.wrapping_sub(self.first) >> self.shift) as usize % PARTITIONS
    }

    /// The least key of a partition.
    fn first_of(self, place: usize) -> u64 {
        self.first.wrapping_add((place as u64) << self.shift)
    }

    /// Whether a user belongs to a partition or one before it.
    #[inline]
    pub(crate) fn is_up_to(self, place: usize, user: u64) -> bool {
        self.place(user) <= place
    }
}

/// Rows that lie next to each other.
const CHUNK: usize = 32;
/// Chunks of a slab.
const SLAB: usize = 1 << 10;

/// Rows, dealt to partitions by user. Its memory is kept when it is emptied.
///
/// Rows lie in slabs of one size, and within these in chunks that each belong to one partition. Buffers that grow would
/// be moved, and leave holes as large as the rows in the process's memory.
#[derive(Debug)]
pub(crate) struct Partitions<R> {
    slabs: Vec<Vec<R>>,
    /// The chunk that follows a chunk in its partition.
    next: Vec<u32>,
    parts: Vec<Part>,
    len: usize,
    /// The rows of the partition that was asked for last.
    sorted: Vec<R>,
    ends: Vec<u32>,
}

/// The chunks of a partition; the last is open.
#[derive(Debug, Clone, Copy)]
struct Part {
    first: u32,
    last: u32,
    chunks: u32,
    /// Rows in the last chunk.
    used: u32,
}

impl Part {
    /// It has no last chunk, which counts as full.
    const EMPTY: Self = Self {
        first: u32::MAX,
        last: u32::MAX,
        chunks: 0,
        used: FULL,
    };

    fn len(&self) -> usize {
        (self.chunks as usize * CHUNK + self.used as usize).saturating_sub(CHUNK)
    }
}

/// Rows of a full chunk.
#[expect(clippy::cast_possible_truncation, reason = "it is small")]
const FULL: u32 = CHUNK as u32;

impl<R> Default for Partitions<R> {
    fn default() -> Self {
        Self {
            slabs: Vec::new(),
            next: Vec::new(),
            parts: Vec::new(),
            len: 0,
            sorted: Vec::new(),
            ends: Vec::new(),
        }
    }
}

impl<R: Keyed + Copy + Default> Partitions<R> {
    pub(crate) const COUNT: usize = PARTITIONS;

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn clear(&mut self) {
        if self.len > 0 {
            self.slabs.iter_mut().for_each(Vec::clear);
            self.next.clear();
            self.parts.fill(Part::EMPTY);
            self.len = 0;
        }
    }

    /// Deals a row.
    #[inline]
    pub(crate) fn push(&mut self, range: Range, row: R) {
        let place = range.place(row.user());
        let chunk = match self.parts.get_mut(place) {
            Some(part) if part.used < FULL => part.last,
            _ => self.open_chunk(place),
        } as usize;
        self.len += 1;
        // The row is made in its place: moving it there took longer than making it.
        if let Some(part) = self.parts.get_mut(place)
            && let Some(slab) = self.slabs.get_mut(chunk / SLAB)
            && let Some(slot) = slab.get_mut(chunk % SLAB * CHUNK + part.used as usize)
        {
            part.used += 1;
            *slot = row;
        }
    }

    /// Adds an empty chunk to a partition.
    #[inline(never)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a tally holds 2^32 sessions at most, so there are less chunks"
    )]
    fn open_chunk(&mut self, place: usize) -> u32 {
        if self.parts.is_empty() {
            self.parts.resize(PARTITIONS, Part::EMPTY);
        }
        let chunk = self.next.len() as u32;
        let slab = self.next.len() / SLAB;
        if slab == self.slabs.len() {
            self.slabs.push(Vec::with_capacity(SLAB * CHUNK));
        }
        let slab = &mut self.slabs[slab];
        slab.resize(slab.len() + CHUNK, R::default());
        self.next.push(u32::MAX);
        let part = &mut self.parts[place];
        match self.next.get_mut(part.last as usize) {
            Some(next) => *next = chunk,
            None => part.first = chunk,
        }
        part.last = chunk;
        part.chunks += 1;
        part.used = 0;
        chunk
    }

    /// The rows of a partition sorted by user. Those of one user stay in the order in which they came.
    pub(crate) fn grouped(&mut self, range: Range, place: usize) -> &[R] {
        let order = Order {
            first: range.first_of(place),
            bits: range.shift,
        };
        let part = self.parts.get(place).copied().unwrap_or(Part::EMPTY);
        let chunks = Chunks::of(part, &self.slabs, &self.next);
        order.sort(chunks, &mut self.sorted, &mut self.ends);
        &self.sorted
    }
}

/// The rows of a partition, chunk by chunk.
#[derive(Debug, Clone, Copy)]
struct Chunks<'a, R> {
    slabs: &'a [Vec<R>],
    next: &'a [u32],
    chunk: u32,
    /// Rows that are left.
    left: usize,
}

impl<'a, R> Chunks<'a, R> {
    fn of(part: Part, slabs: &'a [Vec<R>], next: &'a [u32]) -> Self {
        Self {
            slabs,
            next,
            chunk: part.first,
            left: part.len(),
        }
    }

    /// Number of rows that are left.
    fn rows(&self) -> usize {
        self.left
    }
}

impl<'a, R> Iterator for Chunks<'a, R> {
    type Item = &'a [R];

    #[inline]
    fn next(&mut self) -> Option<&'a [R]> {
        let chunk = self.chunk as usize;
        let start = chunk % SLAB * CHUNK;
        let rows = self.left.min(CHUNK);
        let rows = self.slabs.get(chunk / SLAB)?.get(start..start + rows)?;
        self.left -= rows.len();
        self.chunk = self.next.get(chunk).copied().unwrap_or(u32::MAX);
        Some(rows)
    }
}

/// What is known of the keys of rows: they count from `first` and differ in the lowest `bits` bits.
#[derive(Debug, Clone, Copy)]
struct Order {
    first: u64,
    bits: u32,
}

impl Order {
    /// Below this number of rows, a plain sort is as fast.
    const SMALL: usize = 32;
    /// Steps a row, on average, from which on a plain sort is faster.
    const STEPS: usize = 8;

    /// Sorts by user, stably. Rows are dealt to twice as many slots as there are rows; then those that share a slot are
    /// put right. Where keys do not spread, it falls back to a plain sort. The content of `rows` and `ends` does not
    /// matter.
    fn sort<R: Keyed + Copy + Default>(
        self,
        chunks: Chunks<'_, R>,
        rows: &mut Vec<R>,
        ends: &mut Vec<u32>,
    ) {
        let count = chunks.rows();
        if count < Self::SMALL {
            rows.clear();
            chunks.for_each(|chunk| rows.extend_from_slice(chunk));
            rows.sort_by_key(Keyed::user);
            return;
        }
        let slot_bits = (count.ilog2() + 1).min(self.bits);
        let shift = self.bits - slot_bits;
        let mask = (1_usize << slot_bits) - 1;
        #[expect(clippy::cast_possible_truncation, reason = "the mask leaves less")]
        let slot = |row: &R| (row.user().wrapping_sub(self.first) >> shift) as usize & mask;

        ends.clear();
        ends.resize(mask + 2, 0);
        for chunk in chunks {
            for row in chunk {
                ends[slot(row) + 1] += 1;
            }
        }
        let mut end = 0;
        for slot in ends.iter_mut() {
            end += *slot;
            *slot = end;
        }
        rows.resize(count, R::default());
        for chunk in chunks {
            for row in chunk {
                let place = &mut ends[slot(row)];
                rows[*place as usize] = *row;
                *place += 1;
            }
        }
        let mut steps = rows.len() * Self::STEPS;
        for place in 1..rows.len() {
            let row = rows[place];
            let mut free = place;
            while free > 0 && rows[free - 1].user() > row.user() {
                rows[free] = rows[free - 1];
                free -= 1;
            }
            if free < place {
                rows[free] = row;
                steps = steps.saturating_sub(place - free);
                if steps == 0 {
                    rows.sort_by_key(Keyed::user);
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Keyed, Partitions, Range};

    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
    struct Row {
        user: u64,
        number: usize,
    }

    impl Keyed for Row {
        fn user(&self) -> u64 {
            self.user
        }
    }

    fn mixed(mut value: u64) -> u64 {
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value ^ (value >> 27)
    }

    #[test]
    fn rows_of_any_spread_come_in_order() {
        let spreads: [fn(u64) -> u64; 8] = [
            mixed,
            |row| mixed(row) >> 40,
            |row| mixed(row) % 3,
            |_| u64::MAX,
            |row| if row % 7 == 0 { u64::MAX } else { row % 5 },
            |row| row,
            |row| u64::MAX - row,
            // Many rows to one slot, in falling order: the fallback.
            |row| (row % 3) << 60 | (100_000 - row),
        ];
        for (number, spread) in spreads.into_iter().enumerate() {
            for rows in [0, 1, 31, 32, 1023, 1024, 20_000] {
                let keys: Vec<u64> = (0..rows).map(spread).collect();
                let low = keys.iter().min().copied().unwrap_or_default();
                let high = keys.iter().max().copied().unwrap_or_default();
                for range in [Range::default(), Range::new(low, high)] {
                    let mut dealt = Partitions::default();
                    let given = keys.iter().enumerate();
                    let given: Vec<Row> =
                        given.map(|(number, &user)| Row { user, number }).collect();
                    for &row in &given {
                        assert!(range.contains(row.user));
                        dealt.push(range, row);
                    }
                    let mut sorted = given;
                    sorted.sort();
                    let mut grouped = Vec::new();
                    for place in 0..Partitions::<Row>::COUNT {
                        let part = dealt.grouped(range, place);
                        assert!(part.iter().all(|row| range.is_up_to(place, row.user)));
                        grouped.extend_from_slice(part);
                    }
                    assert_eq!(
                        grouped, sorted,
                        "spread {number} of {rows} rows in {range:?}"
                    );
                    assert_eq!(dealt.len(), sorted.len());
                }
            }
        }
    }

    #[test]
    fn a_range_knows_its_users() {
        let range = Range::new(10, 20);
        assert!([10, 15, 20].into_iter().all(|user| range.contains(user)));
        assert!(
            ![0, 9, 21, u64::MAX]
                .into_iter()
                .any(|user| range.contains(user))
        );
        assert!(
            [0, u64::MAX]
                .into_iter()
                .all(|user| Range::default().contains(user))
        );
        let one = Range::new(7, 7);
        assert!(one.contains(7) && !one.contains(6) && !one.contains(8));
    }
}
