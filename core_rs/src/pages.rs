//! Pages: 64-bit keys outside, small dense numbers inside.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::num::NonZeroU32;

use hashbrown::HashMap;

use crate::native::{Fixed, Strings, layout};

layout! {
    /// Names of pages; other pages than the asked ones are harmless.
    pub struct PageColumns of "pages" {
        /// The page's key.
        page_key: Fixed<u64>,
        /// The page's canonical URL.
        url: Strings,
    }
    optional {}
}

/// A page of one tally: 1, 2, 3, … in the order in which the keys were first seen. `Option<PageId>`
/// is four bytes, too: no page is 0, as it is in the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageId(NonZeroU32);

impl PageId {
    /// The page's place in tables that leave place 0 empty.
    #[must_use]
    pub fn index(self) -> usize {
        self.0.get() as usize
    }

    /// The page of a place; none for place 0.
    #[must_use]
    pub fn at(index: usize) -> Option<Self> {
        u32::try_from(index)
            .ok()
            .and_then(NonZeroU32::new)
            .map(Self)
    }
}

/// The pages that a tally has met.
#[derive(Debug, Default)]
pub struct Pages {
    ids: HashMap<u64, PageId, Factor>,
    keys: Vec<u64>,
    names: Vec<Option<Box<str>>>,
}

impl Pages {
    /// No pages yet, in a table whose steps are the same for the same seed.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self {
            ids: HashMap::with_hasher(Factor::of_seed(seed)),
            ..Self::default()
        }
    }

    /// Number of pages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no page.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The pages in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = PageId> + use<> {
        (1..=self.keys.len()).filter_map(PageId::at)
    }

    /// The page of a key, numbered now if it is new; none for key 0.
    #[inline]
    pub fn id(&mut self, key: u64) -> Option<PageId> {
        match self.ids.get(&key) {
            Some(&id) => Some(id),
            None if key == 0 => None,
            None => self.number(key),
        }
    }

    /// Whether no further page can get a number; then some may have got none.
    #[must_use]
    pub fn is_full(&self) -> bool {
        u32::try_from(self.keys.len() + 1).is_err()
    }

    #[cold]
    fn number(&mut self, key: u64) -> Option<PageId> {
        let id = PageId::at(self.keys.len() + 1)?;
        self.keys.push(key);
        self.ids.insert(key, id);
        Some(id)
    }

    /// The key of a page.
    #[must_use]
    pub fn key(&self, page: PageId) -> u64 {
        self.keys.get(page.index() - 1).copied().unwrap_or_default()
    }

    /// The URL of a page, if it was told.
    #[must_use]
    pub fn name(&self, page: PageId) -> Option<&str> {
        self.names.get(page.index() - 1)?.as_deref()
    }

    /// Takes the names of known pages. Bytes that are not UTF-8 are replaced: a protobuf string
    /// must be valid, and one odd URL must not cost the whole answer.
    pub fn read_names(&mut self, block: &PageColumns) {
        self.names.resize(self.keys.len(), None);
        for (key, url) in block.page_key.values().iter().zip(block.url.iter()) {
            let place = self.ids.get(key).map(|id| id.index() - 1);
            if let Some(name @ None) = place.and_then(|place| self.names.get_mut(place)) {
                *name = Some(String::from_utf8_lossy(url).into());
            }
        }
    }

    /// Takes another tally's page, with its name, and says its number here.
    pub fn adopt(&mut self, other: &mut Self, page: PageId) -> Option<PageId> {
        let id = self.id(other.key(page))?;
        if let Some(name) = other.names.get_mut(page.index() - 1).and_then(Option::take) {
            self.names.resize(self.names.len().max(id.index()), None);
            if let Some(place) = self.names.get_mut(id.index() - 1) {
                *place = Some(name);
            }
        }
        Some(id)
    }
}

/// Chooses the places of keys in the table.
///
/// Keys are hashes already, but anybody can work them out, and so find URLs whose keys share the bits
/// that choose a place: enough of those would make every look-up a long search. So a place depends on
/// one multiplication by an odd number that each table draws. The halves of the product are folded:
/// its low bits know nothing of the high bits of the key, and the table takes the place from the low
/// bits and a tag from the highest seven.
#[derive(Debug, Clone, Copy)]
struct Factor(u64);

impl Factor {
    fn of_seed(seed: u64) -> Self {
        Self(seed | 1)
    }
}

impl Default for Factor {
    fn default() -> Self {
        Self::of_seed(RandomState::new().hash_one(0))
    }
}

impl BuildHasher for Factor {
    type Hasher = KeyHasher;

    #[inline]
    fn build_hasher(&self) -> KeyHasher {
        KeyHasher {
            factor: *self,
            hash: 0,
        }
    }
}

struct KeyHasher {
    factor: Factor,
    hash: u64,
}

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.hash
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only u64 keys come here; other bytes get some hash, as the trait demands.
        for &byte in bytes {
            self.write_u64(self.hash.rotate_left(8) ^ u64::from(byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, key: u64) {
        let low = key.wrapping_mul(self.factor.0);
        let high = (u128::from(key) * u128::from(self.factor.0)) >> 64;
        self.hash = low ^ u64::try_from(high).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Keys that differ in a few bits only, wherever those are, still spread over both the places
    /// and the tags.
    #[test]
    fn keys_with_bits_in_common_spread() {
        for seed in [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93] {
            for shift in [0, 20, 40, 52] {
                let hashes = (1..=4096_u64).map(|key| Factor::of_seed(seed).hash_one(key << shift));
                let (mut places, mut tags) = (HashSet::new(), HashSet::new());
                for hash in hashes {
                    places.insert(hash & 4095);
                    tags.insert(hash >> 57);
                }
                // Chance would take 2589 places and all 128 tags; the bare keys take one of either.
                assert!(places.len() > 1000, "{} places at {shift}", places.len());
                assert!(tags.len() > 100, "{} tags at {shift}", tags.len());
            }
        }
    }
}
