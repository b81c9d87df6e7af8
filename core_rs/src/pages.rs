//! Pages: 64-bit keys outside, small consecutive numbers inside.

use std::collections::HashMap;
use std::num::NonZeroU32;

use crate::index::{BATCH, Index, KEY_BITS, Places};
use crate::native::{Fixed, Strings, layout};

layout! {
    /// Names of pages. Pages that were not asked for are ignored.
    pub struct PageColumns of "pages" {
        /// The page's key.
        page_key: Fixed<u64>,
        /// The page's canonical URL.
        url: Strings,
    }
    optional {}
}

/// A page of one tally. Pages are numbered 1, 2, 3, … in the order in which their keys were first seen. 0 stands for no
/// page, as it does in the streams, so `Option<PageId>` takes four bytes too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageId(NonZeroU32);

impl PageId {
    /// The page's place in a table whose place 0 belongs to no page.
    #[must_use]
    pub fn index(self) -> usize {
        self.0.get() as usize
    }

    /// The number of a page, or 0 for none.
    #[inline]
    pub(crate) fn number(page: Option<Self>) -> u32 {
        page.map_or(0, |page| page.0.get())
    }

    #[inline]
    fn of(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The page of a place. None for place 0.
    #[must_use]
    pub fn at(index: usize) -> Option<Self> {
        u32::try_from(index).ok().and_then(Self::of)
    }
}

/// How much of a page's key a tally has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyWidth {
    /// All 64 bits.
    #[default]
    Whole,
    /// The first 42 bits; three of these fit the store's packed rows. A tally that finds two pages with the same bits
    /// says so ([`Error::Ambiguous`](crate::Error::Ambiguous)), and whole keys must be counted.
    Leading,
}

impl KeyWidth {
    const DROPPED_BITS: u32 = u64::BITS - KEY_BITS;
    /// The leading bits of a key, all set.
    pub(crate) const MASK: u64 = u64::MAX >> Self::DROPPED_BITS;

    /// Cuts a whole key to this width.
    fn cut(self, whole: u64) -> u64 {
        match self {
            Self::Whole => whole,
            Self::Leading => whole >> Self::DROPPED_BITS,
        }
    }

    /// The leading bits of a key of this width.
    #[inline]
    fn leading(self, key: u64) -> u64 {
        match self {
            Self::Whole => key >> Self::DROPPED_BITS,
            Self::Leading => key,
        }
    }
}

/// The pages of a tally.
#[derive(Debug)]
pub struct Pages {
    /// From the leading bits of keys to numbers.
    index: Index,
    width: KeyWidth,
    keys: Vec<u64>,
    /// Of whole keys, those whose leading bits are 0 or another page's.
    twins: HashMap<u64, u32>,
    /// The whole keys of the pages that have a name.
    whole_keys: Vec<u64>,
    /// Whether two pages have the same leading bits, or a page has none that are set.
    is_ambiguous: bool,
    /// All names, one after another.
    text: String,
    /// Where the name of each page lies in the text.
    names: Vec<Option<Span>>,
    /// How many pages have a name.
    named: usize,
    /// With how many bytes of the first name all others begin.
    shared_start: usize,
}

impl Pages {
    /// No pages. The seed chooses their slots in the table.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self {
            index: Index::with_seed(seed),
            width: KeyWidth::default(),
            keys: Vec::new(),
            twins: HashMap::new(),
            whole_keys: Vec::new(),
            is_ambiguous: false,
            text: String::new(),
            names: Vec::new(),
            named: 0,
            shared_start: 0,
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

    /// The page of a key, which is added if it is new. None for key 0.
    #[inline]
    pub fn id(&mut self, key: u64) -> Option<PageId> {
        match self.find(key) {
            Some(number) => PageId::of(number),
            None => self.add(key),
        }
    }

    /// The number of a whole key; 0 for key 0, none for a page that is not known.
    pub(crate) fn number_of(&self, whole: u64) -> Option<u32> {
        self.find(self.width.cut(whole))
    }

    /// The number of the page that has a key of this width, if there is one.
    pub(crate) fn number_with(&self, key: u64) -> Option<u32> {
        self.find(key)
    }

    /// The bytes that all pages take, their names included.
    pub(crate) fn bytes(&self) -> usize {
        /// Of an entry of a table that is half full.
        const INDEX: usize = 16;
        let each = size_of::<u64>() * 2 + size_of::<Option<Span>>() + INDEX;
        self.keys.len() * each + self.text.len()
    }

    /// The number of a key: 0 for key 0, none for a new key.
    #[inline]
    fn find(&self, key: u64) -> Option<u32> {
        let number = self.index.find(self.width.leading(key))?;
        if self.is_of(number, key) {
            return Some(number);
        }
        self.twins.get(&key).copied()
    }

    /// Whether a number that was found by leading bits belongs to the key.
    #[inline]
    fn is_of(&self, number: u32, key: u64) -> bool {
        self.width == KeyWidth::Leading || PageId::of(number).map_or(0, |id| self.key(id)) == key
    }

    #[cold]
    fn add(&mut self, key: u64) -> Option<PageId> {
        let id = PageId::at(self.keys.len() + 1)?;
        self.keys.push(key);
        let width = self.width;
        let leading = width.leading(key);
        if self.index.find(leading).is_some() {
            self.twins.insert(key, id.0.get());
        } else {
            let keys = self.keys.iter().map(|&key| width.leading(key));
            self.index.put(leading, &keys);
        }
        Some(id)
    }

    /// Sets the width of keys. There must be no page yet.
    pub(crate) fn set_width(&mut self, width: KeyWidth) {
        self.width = width;
    }

    pub(crate) fn width(&self) -> KeyWidth {
        self.width
    }

    /// Whether keys of this width do not tell all pages apart.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.is_ambiguous
    }

    /// The page of a whole key, which is cut to this tally's width, as in [`id`](Self::id).
    pub(crate) fn id_of_whole(&mut self, whole: u64) -> Option<PageId> {
        let key = self.width.cut(whole);
        self.is_ambiguous |= key == 0 && whole != 0;
        self.id(key)
    }

    /// The pages of up to [`BATCH`] keys, as in [`id`](Self::id).
    #[inline]
    pub(crate) fn ids(&mut self, keys: &[u64], ids: &mut [Option<PageId>; BATCH]) {
        let mut missed = [0; BATCH];
        let count = self.look(keys, ids, &mut missed);
        for &place in missed.iter().take(count) {
            if let (Some(id), Some(&key)) = (ids.get_mut(place as usize), keys.get(place as usize))
            {
                *id = self.id(key);
            }
        }
    }

    /// The pages of up to [`BATCH`] keys; none for new keys.
    fn known(&self, keys: &[u64], ids: &mut [Option<PageId>; BATCH]) {
        let mut missed = [0; BATCH];
        let count = self.look(keys, ids, &mut missed);
        for &place in missed.iter().take(count) {
            if let (Some(id), Some(&key)) = (ids.get_mut(place as usize), keys.get(place as usize))
            {
                *id = self.find(key).and_then(PageId::of);
            }
        }
    }

    /// Looks for keys in their first slots. Returns how many were not there; their places come first in `missed`.
    #[inline]
    fn look(&self, keys: &[u64], ids: &mut [Option<PageId>; BATCH], missed: &mut Places) -> usize {
        let mut numbers = [0; BATCH];
        if self.width == KeyWidth::Leading {
            let count = self.index.look(keys, &mut numbers, missed);
            for (id, &number) in ids.iter_mut().zip(&numbers) {
                *id = PageId::of(number);
            }
            return count;
        }
        let mut leading = [0; BATCH];
        for (leading, &key) in leading.iter_mut().zip(keys) {
            *leading = self.width.leading(key);
        }
        self.index.look(
            leading.get(..keys.len()).unwrap_or(&leading),
            &mut numbers,
            missed,
        );
        let mut count = 0;
        for (place, (id, (&number, &key))) in
            (0..).zip(ids.iter_mut().zip(numbers.iter().zip(keys)))
        {
            *id = PageId::of(number);
            if !self.is_of(number, key)
                && let Some(missed) = missed.get_mut(count)
            {
                *missed = place;
                count += 1;
            }
        }
        count
    }

    /// Whether there is no number left for a new page. Some pages may have got none then.
    #[must_use]
    pub fn is_full(&self) -> bool {
        u32::try_from(self.keys.len() + 1).is_err()
    }

    /// The key of a page.
    #[must_use]
    pub fn key(&self, page: PageId) -> u64 {
        self.keys.get(page.index() - 1).copied().unwrap_or_default()
    }

    /// The URL of a page, if it is known.
    #[must_use]
    pub fn name(&self, page: PageId) -> Option<&str> {
        let span = (*self.names.get(page.index() - 1)?)?;
        self.text.get(span.range())
    }

    /// Whether all pages have a name.
    pub(crate) fn are_named(&self) -> bool {
        self.named == self.keys.len()
    }

    /// The URL of a page as bytes. Empty where it is not known.
    pub(crate) fn name_bytes(&self, page: PageId) -> &[u8] {
        let span = self.names.get(page.index() - 1).copied().flatten();
        let bytes = span.and_then(|span| self.text.as_bytes().get(span.range()));
        bytes.unwrap_or_default()
    }

    /// Number of bytes that all names begin with.
    pub(crate) fn shared_start(&self) -> usize {
        self.shared_start
    }

    /// Takes the names of known pages. Bytes that are not UTF-8 are replaced: a protobuf string must be valid, and one
    /// bad URL must not cost the whole answer.
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

    /// Adds pages of another tally, of which none has a name yet. `ids` gets their numbers in this one.
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
    }

    /// Takes over whether keys of this width do not tell the pages of another tally apart.
    pub(crate) fn adopt_ambiguity(&mut self, other: &Self) {
        self.is_ambiguous |= other.is_ambiguous;
    }

    /// Names a page that has no name. Where it has one, checks that both names belong to one page.
    fn set_name(&mut self, page: PageId, whole: u64, name: &str) {
        let place = page.index() - 1;
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
        self.shared_start = if self.named == 0 {
            name.len()
        } else {
            let first = self.text.bytes().take(self.shared_start);
            first
                .zip(name.bytes())
                .take_while(|(one, other)| one == other)
                .count()
        };
        self.named += 1;
        *span = Some(Span {
            start: self.text.len(),
            length: name.len(),
        });
        self.text.push_str(name);
    }
}

/// A name's place in the text of all names.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole keys may share leading bits, and these may be 0. Keys of either width are numbered in the order in which
    /// they come.
    #[test]
    fn keys_of_either_width_keep_their_numbers() {
        const HALF: u64 = 6_000;
        let twin = |key: u64| ((key % HALF) << 30) | (key / HALF);
        let mut whole: Vec<u64> = (1..2 * HALF).map(twin).collect();
        whole.extend([u64::MAX, u64::MAX - 1]);
        let leading: Vec<u64> = (1..2 * HALF)
            .map(|key| key.wrapping_mul(0x9e37_79b9))
            .collect();
        for (width, keys) in [(KeyWidth::Whole, whole), (KeyWidth::Leading, leading)] {
            let mut pages = Pages::with_seed(7);
            pages.set_width(width);
            for pass in 0..2 {
                for (number, keys) in keys.chunks(BATCH).enumerate() {
                    let mut ids = [None; BATCH];
                    pages.ids(keys, &mut ids);
                    for (nth, (id, &key)) in ids.iter().zip(keys).enumerate() {
                        assert_eq!(*id, PageId::at(number * BATCH + nth + 1), "pass {pass}");
                        assert_eq!(pages.id(key), *id);
                    }
                    let mut known = [None; BATCH];
                    pages.known(keys, &mut known);
                    assert_eq!(known[..keys.len()], ids[..keys.len()]);
                }
            }
            assert_eq!(pages.id(0), None);
            let mut ids = [None; BATCH];
            pages.ids(&[0, keys[7], (1 << 41) | 0x3039], &mut ids);
            assert_eq!(ids[..3], [None, PageId::at(8), PageId::at(keys.len() + 1)]);
            assert_eq!(pages.len(), keys.len() + 1);
        }
    }
}
