//! Pages: 64-bit keys outside, small dense numbers inside.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;

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

    #[inline]
    fn of(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The page of a place; none for place 0.
    #[must_use]
    pub fn at(index: usize) -> Option<Self> {
        u32::try_from(index).ok().and_then(Self::of)
    }
}

/// What the keys of a tally's pages are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyWidth {
    /// The 64 bits that the store has.
    #[default]
    Whole,
    /// The first 42 of them, three of which fit the store's packed rows. A tally that finds two pages with
    /// the same bits says so ([`Error::Ambiguous`](crate::Error::Ambiguous)), and whole keys must be counted.
    Leading,
}

impl KeyWidth {
    const DROPPED_BITS: u32 = 22;
    /// Of the leading bits of a key.
    pub(crate) const MASK: u64 = u64::MAX >> Self::DROPPED_BITS;

    fn cut(self, key: u64) -> u64 {
        match self {
            Self::Whole => key,
            Self::Leading => key >> Self::DROPPED_BITS,
        }
    }
}

/// Keys that are looked up together.
pub(crate) const BATCH: usize = 64;

/// A place of the table.
#[derive(Debug, Clone, Copy)]
struct Slot {
    key: u64,
    /// 0: none, of key 0 and where the place is empty.
    id: u32,
}

impl Slot {
    /// The key of an empty place. A page may have it, too, and is kept apart then.
    const EMPTY: u64 = u64::MAX;
    const NONE: Self = Self {
        key: Self::EMPTY,
        id: 0,
    };
}

/// The pages that a tally has met.
///
/// The table is open, a power of two in size and at most half full, with a key and its number in one place: of a
/// batch of keys all places are looked at first, so that the waits for memory overlap. At 500,000 pages that
/// takes a third of the time of a general map, which looks at two places, one after the other.
#[derive(Debug)]
pub struct Pages {
    slots: Vec<Slot>,
    /// The page whose key marks empty places.
    of_empty: Option<PageId>,
    factor: Factor,
    width: KeyWidth,
    keys: Vec<u64>,
    /// The whole keys of the pages that have a name.
    whole_keys: Vec<u64>,
    /// Whether two pages were found to have the same leading bits, or one none.
    is_ambiguous: bool,
    /// All names, one after the other, and where each page's lies.
    text: String,
    names: Vec<Option<Span>>,
}

impl Default for Pages {
    fn default() -> Self {
        Self::with_factor(Factor::default())
    }
}

impl Pages {
    const FIRST_SLOTS: usize = 1024;

    /// No pages yet, in a table whose steps are the same for the same seed.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self::with_factor(Factor::of_seed(seed))
    }

    fn with_factor(factor: Factor) -> Self {
        Self {
            slots: Self::slots(Self::FIRST_SLOTS),
            of_empty: None,
            factor,
            width: KeyWidth::default(),
            keys: Vec::new(),
            whole_keys: Vec::new(),
            is_ambiguous: false,
            text: String::new(),
            names: Vec::new(),
        }
    }

    /// Empty places, but for key 0: it is looked up as often as others, and its place is always the first.
    fn slots(count: usize) -> Vec<Slot> {
        let mut slots = vec![Slot::NONE; count];
        if let Some(first) = slots.first_mut() {
            first.key = 0;
        }
        slots
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
        match self.find(key) {
            Ok(id) => id,
            Err(place) => self.number(key, place),
        }
    }

    /// The same pages, with keys of that width; before there is any.
    pub(crate) fn set_width(&mut self, width: KeyWidth) {
        self.width = width;
    }

    pub(crate) fn width(&self) -> KeyWidth {
        self.width
    }

    /// Whether the keys' width does not tell all pages apart.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.is_ambiguous
    }

    /// The page of a whole key, as [`id`](Self::id) has it for one of this tally's width.
    pub(crate) fn id_of_whole(&mut self, whole: u64) -> Option<PageId> {
        let key = self.width.cut(whole);
        self.is_ambiguous |= key == 0 && whole != 0;
        self.id(key)
    }

    /// The pages of up to [`BATCH`] keys, as [`id`](Self::id) has them.
    #[inline]
    pub(crate) fn ids(&mut self, keys: &[u64], ids: &mut [Option<PageId>; BATCH]) {
        let is_elsewhere = self.look(keys, ids);
        if is_elsewhere.contains(&true) {
            for ((id, is_elsewhere), &key) in ids.iter_mut().zip(is_elsewhere).zip(keys) {
                if is_elsewhere {
                    *id = self.id(key);
                }
            }
        }
    }

    /// The pages of up to [`BATCH`] keys that have a number.
    fn known(&self, keys: &[u64], ids: &mut [Option<PageId>; BATCH]) {
        let is_elsewhere = self.look(keys, ids);
        for ((id, is_elsewhere), &key) in ids.iter_mut().zip(is_elsewhere).zip(keys) {
            if is_elsewhere {
                *id = self.find(key).ok().flatten();
            }
        }
    }

    /// Looks at the first place of each key, where most keys lie; says which do not.
    #[inline]
    fn look(&self, keys: &[u64], ids: &mut [Option<PageId>; BATCH]) -> [bool; BATCH] {
        let mut is_elsewhere = [false; BATCH];
        for ((id, is_elsewhere), &key) in ids.iter_mut().zip(&mut is_elsewhere).zip(keys) {
            let slot = self.slot(self.factor.hash(key));
            *id = PageId::of(slot.id);
            *is_elsewhere = slot.key != key || key == Slot::EMPTY;
        }
        is_elsewhere
    }

    /// Whether no further page can get a number; then some may have got none.
    #[must_use]
    pub fn is_full(&self) -> bool {
        u32::try_from(self.keys.len() + 1).is_err()
    }

    #[inline]
    fn slot(&self, place: usize) -> Slot {
        self.slots[place & (self.slots.len() - 1)]
    }

    /// The page of a known key, or the place for a new one.
    #[inline]
    fn find(&self, key: u64) -> std::result::Result<Option<PageId>, usize> {
        let mut place = self.factor.hash(key);
        if key == Slot::EMPTY {
            return self.of_empty.map(Some).ok_or(place);
        }
        loop {
            let slot = self.slot(place);
            if slot.key == key {
                return Ok(PageId::of(slot.id));
            }
            if slot.key == Slot::EMPTY {
                return Err(place);
            }
            place = place.wrapping_add(1);
        }
    }

    #[cold]
    fn number(&mut self, key: u64, place: usize) -> Option<PageId> {
        let id = PageId::at(self.keys.len() + 1)?;
        self.keys.push(key);
        if key == Slot::EMPTY {
            self.of_empty = Some(id);
            return Some(id);
        }
        self.put(
            place,
            Slot {
                key,
                id: id.0.get(),
            },
        );
        if self.keys.len() * 2 > self.slots.len() {
            let double = Self::slots(self.slots.len() * 2);
            for slot in std::mem::replace(&mut self.slots, double) {
                if slot.key != Slot::EMPTY
                    && let Err(place) = self.find(slot.key)
                {
                    self.put(place, slot);
                }
            }
        }
        Some(id)
    }

    fn put(&mut self, place: usize, slot: Slot) {
        let mask = self.slots.len() - 1;
        self.slots[place & mask] = slot;
    }

    /// The key of a page.
    #[must_use]
    pub fn key(&self, page: PageId) -> u64 {
        self.keys.get(page.index() - 1).copied().unwrap_or_default()
    }

    /// The URL of a page, if it was told.
    #[must_use]
    pub fn name(&self, page: PageId) -> Option<&str> {
        let span = (*self.names.get(page.index() - 1)?)?;
        self.text.get(span.range())
    }

    /// The URL of a page as bytes; none where it was not told.
    pub(crate) fn name_bytes(&self, page: PageId) -> &[u8] {
        let span = self.names.get(page.index() - 1).copied().flatten();
        let bytes = span.and_then(|span| self.text.as_bytes().get(span.range()));
        bytes.unwrap_or_default()
    }

    /// How many bytes all names begin with.
    pub(crate) fn shared_start(&self) -> usize {
        let mut names = self.names.iter().flatten();
        let mut names = names
            .by_ref()
            .filter_map(|span| self.text.get(span.range()));
        let Some(first) = names.next().map(str::as_bytes) else {
            return 0;
        };
        names.fold(first.len(), |shared, name| {
            let same = first.iter().zip(name.as_bytes()).take(shared);
            same.take_while(|(one, other)| one == other).count()
        })
    }

    /// Takes the names of known pages. Bytes that are not UTF-8 are replaced: a protobuf string
    /// must be valid, and one odd URL must not cost the whole answer.
    pub fn read_names(&mut self, block: &PageColumns) {
        self.names.resize(self.keys.len(), None);
        self.whole_keys.resize(self.keys.len(), 0);
        let mut urls = block.url.iter();
        let (mut keys, mut ids) = ([0; BATCH], [None; BATCH]);
        for wholes in block.page_key.values().chunks(BATCH) {
            for (key, &whole) in keys.iter_mut().zip(wholes) {
                *key = self.width.cut(whole);
                self.is_ambiguous |= *key == 0 && whole != 0;
            }
            self.known(keys.get(..wholes.len()).unwrap_or(&keys), &mut ids);
            let named = wholes.iter().zip(urls.by_ref().take(wholes.len()));
            for (id, (&whole, url)) in ids.iter().zip(named) {
                if let Some(page) = *id {
                    self.set_name(page, whole, &String::from_utf8_lossy(url));
                }
            }
        }
    }

    fn whole_key(&self, page: PageId) -> u64 {
        let place = page.index() - 1;
        self.whole_keys.get(place).copied().unwrap_or_default()
    }

    /// Takes another tally's pages, with their names, and says their numbers here.
    pub(crate) fn adopt(
        &mut self,
        other: &Self,
        pages: &[PageId],
        ids: &mut [Option<PageId>; BATCH],
    ) {
        let mut keys = [0; BATCH];
        for (key, &page) in keys.iter_mut().zip(pages) {
            *key = other.key(page);
        }
        self.ids(keys.get(..pages.len()).unwrap_or(&keys), ids);
        self.is_ambiguous |= other.is_ambiguous;
        if !other.text.is_empty() {
            for (id, &page) in ids.iter().zip(pages) {
                if let (Some(id), Some(name)) = (*id, other.name(page)) {
                    self.set_name(id, other.whole_key(page), name);
                }
            }
        }
    }

    /// Names a page, unless it has a name; finds out if that is another page's.
    fn set_name(&mut self, page: PageId, whole: u64, name: &str) {
        let place = page.index() - 1;
        if self.names.len() <= place {
            self.names.resize(self.keys.len(), None);
            self.whole_keys.resize(self.keys.len(), 0);
        }
        let (Some(span), Some(whole_key)) =
            (self.names.get_mut(place), self.whole_keys.get_mut(place))
        else {
            return;
        };
        if span.is_some() {
            self.is_ambiguous |= *whole_key != whole;
            return;
        }
        *whole_key = whole;
        *span = Some(Span {
            start: self.text.len(),
            length: name.len(),
        });
        self.text.push_str(name);
    }
}

/// Where a name lies in the text of all.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    length: usize,
}

impl Span {
    fn range(self) -> std::ops::Range<usize> {
        self.start..self.start + self.length
    }
}

/// Chooses the places of keys in the table.
///
/// Keys are hashes already, but anybody can work them out, and so find URLs whose keys share the bits
/// that choose a place: enough of those would make every look-up a long search. So a place depends on
/// one multiplication by an odd number that each table draws. The halves of the product are folded:
/// its low bits, which choose the place, know nothing of the high bits of the key.
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

impl Factor {
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the table has fewer places than a word has values"
    )]
    fn hash(self, key: u64) -> usize {
        let product = u128::from(key) * u128::from(self.0);
        (product as u64 ^ (product >> 64) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Keys that differ in a few bits only, wherever those are, still spread over the places.
    #[test]
    fn keys_with_bits_in_common_spread() {
        for seed in [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93] {
            for shift in [0, 20, 40, 52] {
                let hashes = (1..=4096_u64).map(|key| Factor::of_seed(seed).hash(key << shift));
                let places: HashSet<usize> = hashes.map(|hash| hash & 4095).collect();
                // Chance would take 2589 places; the bare keys take one.
                assert!(places.len() > 1000, "{} places at {shift}", places.len());
            }
        }
    }

    #[test]
    fn keys_keep_their_numbers_while_the_table_grows() {
        let mut pages = Pages::with_seed(7);
        let keys: Vec<u64> = (1..=10_000_u64)
            .map(|key| key.wrapping_mul(0x9e37_79b9))
            .collect();
        for pass in 0..2 {
            for (number, keys) in keys.chunks(BATCH).enumerate() {
                let mut ids = [None; BATCH];
                pages.ids(keys, &mut ids);
                for (nth, (id, &key)) in ids.iter().zip(keys).enumerate() {
                    assert_eq!(*id, PageId::at(number * BATCH + nth + 1), "pass {pass}");
                    assert_eq!(pages.id(key), *id);
                }
            }
        }
        assert_eq!(pages.id(0), None);
        assert_eq!(pages.id(u64::MAX), PageId::at(keys.len() + 1));
        let mut ids = [None; BATCH];
        pages.ids(&[0, u64::MAX, keys[7]], &mut ids);
        assert_eq!(ids[..3], [None, pages.id(u64::MAX), PageId::at(8)]);
        assert_eq!(pages.len(), keys.len() + 1);
    }
}
