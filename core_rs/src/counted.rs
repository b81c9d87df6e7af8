//! The counts of one question: names come in, messages go out.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::answer::{Answer, Snapshot};
use crate::counts::{Counts, Totals};
use crate::error::{Error, Result};
use crate::native::Reader;
use crate::pages::{PageColumns, PageId, Pages};

/// Pages that several counts may share.
#[derive(Debug, Clone)]
pub(crate) struct SharedPages(Arc<RwLock<Pages>>);

impl SharedPages {
    pub(crate) fn new(pages: Pages) -> Self {
        Self(Arc::new(RwLock::new(pages)))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Pages> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn are(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Pages> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The finished counts of one question.
#[derive(Debug)]
pub struct Counted {
    pages: SharedPages,
    counts: Counts,
    names: Reader<PageColumns>,
}

impl Counted {
    pub(crate) fn new(pages: SharedPages, counts: Counts) -> Self {
        Self {
            pages,
            counts,
            names: Reader::default(),
        }
    }

    /// The totals.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.counts.totals
    }

    /// The keys of the pages with a role in the answer.
    #[must_use]
    pub fn page_keys(&self) -> Vec<u64> {
        let pages = self.pages.read();
        self.with_role(&pages).map(|page| pages.key(page)).collect()
    }

    /// Number of pages with a role in the answer.
    #[must_use]
    pub fn page_count(&self) -> usize {
        self.with_role(&self.pages.read()).count()
    }

    /// The keys of the pages that have a role and no name.
    #[must_use]
    pub fn missing_pages(&self) -> Vec<u64> {
        let pages = self.pages.read();
        if pages.are_named() {
            return Vec::new();
        }
        self.with_role(&pages)
            .filter(|&page| pages.name(page).is_none())
            .map(|page| pages.key(page))
            .collect()
    }

    /// Takes a chunk of page names ([`PageColumns`]), with whole keys in any case. Unknown pages are ignored. A page
    /// that has a name keeps it.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`]; [`Error::Ambiguous`] where two pages were counted as one.
    pub fn feed_pages(&mut self, chunk: &[u8]) -> Result<()> {
        let mut pages = self.pages.write();
        self.names.feed(chunk, |block| {
            pages.read_names(block);
            Ok(())
        })?;
        if pages.is_ambiguous() {
            return Err(Error::Ambiguous);
        }
        Ok(())
    }

    /// The answer, in order, ready to be written. Times are milliseconds since the epoch.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] where the names ended inside a block, or the error of their failed feed; [`Error::Unnamed`];
    /// [`Error::Ambiguous`].
    pub fn answer(&mut self, start_ms: i64, end_ms: i64) -> Result<Answer> {
        self.names.finish()?;
        // A page that has no leading bit has no number, so no name of it is missing.
        if self.pages.read().is_ambiguous() {
            return Err(Error::Ambiguous);
        }
        match self.missing_pages().len() {
            0 => Ok(self.read(|snapshot| Answer::new(snapshot, start_ms, end_ms))),
            missing => Err(Error::Unnamed(missing)),
        }
    }

    /// Calls a function with the counts and names. Every call that makes messages of an answer takes them.
    pub fn read<T>(&self, reading: impl FnOnce(Snapshot<'_>) -> T) -> T {
        let pages = self.pages.read();
        reading(Snapshot::new(&pages, &self.counts))
    }

    /// Has each page's sessions that landed on it as another count of the same domain has them, which counted them.
    pub fn take_landings(&mut self, other: &Self) {
        let places: Vec<(usize, usize)> = {
            let pages = self.pages.read();
            let with_role = self.with_role(&pages);
            if self.pages.are(&other.pages) {
                with_role.map(|page| (page.index(), page.index())).collect()
            } else {
                let others = other.pages.read();
                let found = with_role.map(|page| {
                    let number = others.number_with(pages.key(page)).unwrap_or_default();
                    (page.index(), number as usize)
                });
                found.collect()
            }
        };
        for (place, page) in places {
            self.counts.take_landing(&other.counts, page, place);
        }
    }

    fn with_role(&self, pages: &Pages) -> impl Iterator<Item = PageId> {
        pages.iter().filter(|&page| self.counts.has_role(page))
    }
}
