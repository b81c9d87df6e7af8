//! The rows of an answer, in order.

use std::cmp::Ordering;

use crate::answer::parallel::join;
use crate::counts::{Balance, Cell, Counts, Row, Totals};
use crate::pages::{PageId, Pages};
use crate::roles::{MOST_ROLES, Side};

/// The counts and the page names that an answer is made from.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    pages: &'a Pages,
    counts: &'a Counts,
}

impl<'a> Snapshot<'a> {
    pub(crate) fn new(pages: &'a Pages, counts: &'a Counts) -> Self {
        Self { pages, counts }
    }

    pub(super) fn totals(&self) -> Totals {
        self.counts.totals
    }

    pub(super) fn balance(&self) -> Option<Balance> {
        self.counts.balance
    }

    /// A page's URL.
    pub(super) fn url(&self, page: PageId) -> &'a [u8] {
        self.pages.name_bytes(page)
    }

    /// A page's counts on a side; zeros where it has no role there.
    pub(super) fn row(&self, side: Side, page: PageId) -> Row {
        self.counts.row(side, page).copied().unwrap_or_default()
    }

    /// The sessions that landed on a page, if they are counted.
    pub(super) fn landing(&self, page: PageId) -> Option<Cell> {
        self.counts.landing(page.index())
    }

    /// The pages of both sides in the order of the answer.
    pub(super) fn rows(&self) -> Vec<(Side, PageId)> {
        let shared = self.pages.shared_start();
        let [first, second] = Side::ALL;
        let (mut rows, after) = join(
            self.pages.len(),
            || self.ranked(first, shared),
            || self.ranked(second, shared),
        );
        rows.extend(after);
        rows
    }

    /// The pages of one side in order. `shared` is the number of bytes that all names begin with.
    fn ranked(&self, side: Side, shared: usize) -> Vec<(Side, PageId)> {
        let mut rows: Vec<Ranked> = self
            .pages
            .iter()
            .filter_map(|page| {
                let counts = self.counts.row(side, page)?;
                Some(Ranked::new(self.pages, counts, page, shared))
            })
            .collect();
        rows.sort_unstable_by(|one, other| one.order(other, self.pages));
        rows.into_iter().map(|row| (side, row.page)).collect()
    }
}

/// A page of a side, with what decides on its place.
struct Ranked {
    sessions: [u32; MOST_ROLES],
    /// The first bytes of its name after those that all names begin with. They settle most comparisons; to look at the
    /// name itself means to wait for memory.
    name: [u8; 24],
    page: PageId,
}

impl Ranked {
    fn new(pages: &Pages, counts: &Row, page: PageId, shared: usize) -> Self {
        let rest = pages.name_bytes(page).get(shared..).unwrap_or_default();
        let mut name = [0; 24];
        let length = rest.len().min(name.len());
        name[..length].copy_from_slice(&rest[..length]);
        Self {
            sessions: counts.map(|cell| cell.sessions),
            name,
            page,
        }
    }

    fn order(&self, other: &Self, pages: &Pages) -> Ordering {
        // The key comes last: URLs that were no UTF-8 may have become the same.
        let key = |page| (pages.name_bytes(page), pages.key(page));
        (other.sessions.cmp(&self.sessions))
            .then(self.name.cmp(&other.name))
            .then_with(|| key(self.page).cmp(&key(other.page)))
    }
}
