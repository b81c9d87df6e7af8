//! A hash table from keys of 42 bits to numbers.
//!
//! It uses open addressing with linear probing. Its size is a power of two, and a slot is one 64-bit word. A key is
//! multiplied by an odd number, which maps the keys of 42 bits one to one. The leading bits of the product choose the
//! slot. The slot holds the remaining bits, the distance from the slot that was chosen, and the number. That fits 64
//! bits at any size: a larger table takes one more bit for the number, and one less remains of the product. The idea is
//! that of J. G. Cleary's compact hash tables (1984), with the distance in place of his marks.

#![expect(
    clippy::cast_possible_truncation,
    reason = "shifts leave what fits: numbers of 32 bits, places in a table, places in a batch"
)]

/// Keys that are looked up together.
pub(crate) const BATCH: usize = 64;

/// Bits of a key.
pub(crate) const KEY_BITS: u32 = 42;

/// Places of a batch.
pub(crate) type Places = [u8; BATCH];

/// Keys with their numbers. Key 0, and no other, has number 0.
#[derive(Debug)]
pub(crate) struct Index {
    /// 0: empty.
    slots: Vec<u64>,
    /// How many bits choose a slot. As many hold the number.
    bits: u32,
    factor: u64,
}

/// A slot to look at for a key.
#[derive(Debug, Clone, Copy)]
struct Probe {
    place: usize,
    /// What the slot is if it holds the key, without the number.
    slot: u64,
}

impl Index {
    const FIRST_BITS: u32 = 10;
    /// Bits of a slot for the distance plus one.
    const DISTANCE_BITS: u32 = u64::BITS - KEY_BITS;
    const MOST_DISTANCE: usize = (1 << Self::DISTANCE_BITS) - 2;
    /// Below this size there are four slots for each key, so that few keys lie away from the slot that was chosen. A
    /// larger table has two: it does not fit a core's own cache, and half the size is faster then.
    const ROOMY_BITS: u32 = 16;

    /// A table of key 0 only. Anybody can work out URLs whose keys share bits, but without the seed nobody can make
    /// them share slots.
    pub(crate) fn with_seed(seed: u64) -> Self {
        Self {
            slots: Self::slots(Self::FIRST_BITS),
            bits: Self::FIRST_BITS,
            // Shifted by the bits that a key lacks, so that products begin at the highest bit.
            factor: (seed | 1) << Self::DISTANCE_BITS,
        }
    }

    fn slots(bits: u32) -> Vec<u64> {
        let mut slots = vec![0; 1 << bits];
        if let Some(slot) = slots.first_mut() {
            *slot = 1 << bits;
        }
        slots
    }

    #[inline]
    fn probe(&self, key: u64) -> Probe {
        let product = key.wrapping_mul(self.factor);
        Probe {
            place: (product >> (u64::BITS - self.bits)) as usize,
            slot: (product << self.bits).wrapping_add(1 << self.bits),
        }
    }

    /// The next slot to look at for the same key.
    #[inline]
    fn after(&self, probe: Probe) -> Probe {
        Probe {
            place: (probe.place + 1) & (self.slots.len() - 1),
            slot: probe.slot.wrapping_add(1 << self.bits),
        }
    }

    #[inline]
    fn at(&self, place: usize) -> u64 {
        self.slots.get(place).copied().unwrap_or_default()
    }

    /// The number of the key, if the slot holds it. Otherwise a number larger than any in the table.
    #[inline]
    fn number(&self, probe: Probe) -> u64 {
        self.at(probe.place).wrapping_sub(probe.slot)
    }

    #[inline]
    fn is_number(&self, number: u64) -> bool {
        number >> self.bits == 0
    }

    /// Looks for up to [`BATCH`] keys, each in its first slot only, without a branch, so that the waits for memory
    /// overlap. Returns how many keys were not there. Their places come first in `missed`, and their numbers mean
    /// nothing.
    #[inline]
    pub(crate) fn look(
        &self,
        keys: &[u64],
        numbers: &mut [u32; BATCH],
        missed: &mut Places,
    ) -> usize {
        let mut count = 0;
        for (place, (&key, number)) in keys.iter().zip(numbers).enumerate() {
            let found = self.number(self.probe(key));
            *number = found as u32;
            // The count is never too large: the mask spares the check.
            missed[count % BATCH] = place as u8;
            count += usize::from(!self.is_number(found));
        }
        count
    }

    /// The number of a key, if it has one.
    #[inline]
    pub(crate) fn find(&self, key: u64) -> Option<u32> {
        let mut probe = self.probe(key);
        for _ in 0..=Self::MOST_DISTANCE {
            let number = self.number(probe);
            if self.is_number(number) {
                return Some(number as u32);
            }
            if self.at(probe.place) == 0 {
                return None;
            }
            probe = self.after(probe);
        }
        None
    }

    /// Adds a key that has no number. It is the last of `keys`, which are numbered from 1, so its number is their
    /// count. Of equal keys the first is found.
    pub(crate) fn put(&mut self, key: u64, keys: &(impl ExactSizeIterator<Item = u64> + Clone)) {
        let slots_per_key = if self.bits < Self::ROOMY_BITS { 4 } else { 2 };
        let is_crowded = keys.len() * slots_per_key > self.slots.len();
        if !is_crowded && self.fits(key, keys.len() as u64) {
            return;
        }
        loop {
            self.bits += 1;
            self.slots = Self::slots(self.bits);
            let mut numbered = (1..).zip(keys.clone());
            if numbered.all(|(number, key)| self.find(key).is_some() || self.fits(key, number)) {
                return;
            }
        }
    }

    /// Puts a new key into the first empty slot. Returns false where that slot is too far away.
    fn fits(&mut self, key: u64, number: u64) -> bool {
        let mut probe = self.probe(key);
        for _ in 0..=Self::MOST_DISTANCE {
            if let Some(slot) = self.slots.get_mut(probe.place)
                && *slot == 0
            {
                *slot = probe.slot | number;
                return true;
            }
            probe = self.after(probe);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SEEDS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];

    /// Keys that differ in a few bits only spread over the slots, wherever these bits are.
    #[test]
    fn keys_with_bits_in_common_spread() {
        for seed in SEEDS {
            let mut index = Index::with_seed(seed);
            index.bits = 12;
            for shift in [0, 10, 20, 29] {
                let places = (1..=4096_u64).map(|key| index.probe(key << shift).place);
                let places: HashSet<usize> = places.collect();
                // Random keys would take 2589 slots. Without the factor, these would take as few as one.
                assert!(places.len() > 1000, "{} places at {shift}", places.len());
            }
        }
    }

    fn hashed(key: u64) -> u64 {
        let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93) >> (u64::BITS - KEY_BITS)
    }

    #[test]
    fn keys_keep_their_numbers_while_the_table_grows() {
        let spreads: [fn(u64) -> u64; 4] = [
            hashed,
            |key| key,
            |key| key << 20,
            |key| (1 << KEY_BITS) - key,
        ];
        for (seed, spread) in SEEDS
            .into_iter()
            .flat_map(|seed| spreads.map(|spread| (seed, spread)))
        {
            let mut index = Index::with_seed(seed);
            let keys: Vec<u64> = (1..=20_000).map(spread).collect();
            for (number, &key) in (0..).zip(&keys) {
                assert_eq!(index.find(key), None);
                index.put(key, &keys[..=number].iter().copied());
                assert_eq!(index.find(key), Some(number as u32 + 1));
            }
            assert_eq!(index.find(0), Some(0));
            let (mut numbers, mut missed, mut all_missed) = ([0; BATCH], [0; BATCH], 0);
            for (batch, keys) in keys.chunks(BATCH).enumerate() {
                let count = index.look(keys, &mut numbers, &mut missed);
                for (place, &key) in keys.iter().enumerate() {
                    let number = (batch * BATCH + place) as u32 + 1;
                    assert_eq!(index.find(key), Some(number));
                    let is_missed = missed[..count].contains(&(place as u8));
                    assert!(is_missed || numbers[place] == number);
                }
                all_missed += count;
            }
            // This holds for hashes. Keys that are not random may do worse.
            assert!(
                spread(1) != hashed(1) || all_missed < keys.len() / 4,
                "{all_missed}"
            );
        }
    }

    #[test]
    fn of_keys_that_are_alike_the_first_is_found() {
        let mut index = Index::with_seed(SEEDS[0]);
        let mut keys = vec![7, 7, 7];
        index.put(7, &keys[..1].iter().copied());
        for key in 100..2_000 {
            keys.push(key);
            index.put(key, &keys.iter().copied());
        }
        assert_eq!(index.find(7), Some(1));
        assert_eq!(index.find(100), Some(4));
    }
}
