//! The columns of the streams that a unit is counted from, and their rows as they come.

use std::slice;

use crate::index::BATCH;
use crate::native::{Arrays, Fixed, layout};
use crate::pages::{KeyWidth, PageId, Pages};
use crate::roles::Ends;

layout! {
    /// Sessions of the window. Without versions: each session without conversions, once. With versions: every version
    /// of every session.
    pub struct SessionColumns of "sessions" {
        /// User and pages in one column, for tallies of leading bits (`Packed`). The next four are absent then.
        packed: Fixed<[u8; 24]>,
        /// The user.
        user_key: Fixed<u64>,
        /// The first page; 0: none.
        landing_key: Fixed<u64>,
        /// The last page; 0: none.
        exit_key: Fixed<u64>,
        /// The last page that is not the exit page; 0: none.
        before_exit_key: Fixed<u64>,
        /// Milliseconds since the epoch.
        started_at: Fixed<i64>,
        /// A hash of the session's id. Of sessions that started together, the least comes first.
        session_key: Fixed<u64>,
        /// 1: passes the filters. 0: needed only for the user's journey. All pass where this column is absent.
        included: Fixed<u8>,
        /// When this version of the session was written. Of the versions at one place, only the last one counts.
        written_at: Fixed<i64>,
        /// 1: this version has a conversion, so the conversions stream has it.
        converting: Fixed<u8>,
        /// 1: the session has left this place.
        gone: Fixed<u8>,
    }
    optional {
        packed, user_key, landing_key, exit_key, before_exit_key, started_at, session_key, included, written_at,
        converting, gone
    }
}

layout! {
    /// Sessions with conversions, of the whole history.
    pub struct ConversionColumns of "conversions" {
        /// The user.
        user_key: Fixed<u64>,
        /// Milliseconds since the epoch.
        started_at: Fixed<i64>,
        /// A hash of the session's id, as the sessions stream has it.
        session_key: Fixed<u64>,
        /// 1: in the window and passes the session filters.
        included: Fixed<u8>,
        /// Number of conversions that pass the conversion filters.
        conversions: Fixed<u32>,
        /// The first page; 0: none.
        landing_key: Fixed<u64>,
        /// The last page; 0: none.
        exit_key: Fixed<u64>,
        /// The last page that is not the exit page; 0: none.
        before_exit_key: Fixed<u64>,
        /// The pages viewed, in order.
        page_keys: Arrays<u64>,
        /// The page of each conversion that counts; 0: none.
        conversion_keys: Arrays<u64>,
        /// How many of the first pages assist each of these conversions.
        assist_views: Arrays<u32>,
    }
    optional {}
}

layout! {
    /// Users who have a session before the window.
    pub struct UserColumns of "users" {
        /// The user.
        user_key: Fixed<u64>,
    }
    optional {}
}

/// How a session of the sessions stream is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Inclusion {
    /// It passes the filters.
    #[default]
    Included,
    /// It is needed only for the user's journey.
    Evidence,
    /// It is not in this stream: the conversions stream has it, or it has left this place.
    Elsewhere,
}

impl SessionColumns {
    /// Whether the rows come with their starts and their keys.
    pub(crate) fn is_dated(&self) -> bool {
        !self.started_at.values().is_empty()
    }

    /// Checks that a block has what a tally needs.
    pub(crate) fn check(&self, width: KeyWidth, needs_order: bool) -> Result<(), String> {
        let is_packed = !self.packed.values().is_empty();
        if is_packed != (width == KeyWidth::Leading) {
            return Err(
                "column packed is for tallies of leading bits, and they need it".to_owned(),
            );
        }
        let apart = [
            &self.user_key,
            &self.landing_key,
            &self.exit_key,
            &self.before_exit_key,
        ];
        if (apart.iter()).any(|column| column.values().is_empty() != is_packed) {
            return Err(
                "the block needs column packed, or columns user_key, landing_key, exit_key and \
                 before_exit_key"
                    .to_owned(),
            );
        }
        let has_versions = !self.written_at.values().is_empty();
        let has_keys = !self.session_key.values().is_empty();
        if self.is_dated() != has_keys || (has_versions && !has_keys) {
            return Err(
                "columns started_at and session_key come together, and written_at with them"
                    .to_owned(),
            );
        }
        // A packed row itself says whether the session converts or is gone.
        let says = [&self.converting, &self.gone].map(|column| !column.values().is_empty());
        if says != [has_versions && !is_packed; 2] {
            return Err(
                "columns converting and gone come with versions whose keys are whole".to_owned(),
            );
        }
        if needs_order && !self.is_dated() {
            return Err("the touch scope needs columns started_at and session_key".to_owned());
        }
        flags("included", &self.included)?;
        flags("converting", &self.converting)?;
        flags("gone", &self.gone)
    }

    /// Visits the rows in order: their number, the user, the pages as this tally numbers them, and how they are used.
    #[inline]
    pub(crate) fn each_row(
        &self,
        pages: &mut Pages,
        mut visit: impl FnMut(usize, u64, Ends, Inclusion),
    ) {
        let included = self.included.values();
        let inclusion = |row: usize, is_elsewhere: bool| match included.get(row) {
            _ if is_elsewhere => Inclusion::Elsewhere,
            Some(0) => Inclusion::Evidence,
            _ => Inclusion::Included,
        };
        let mut batch = Batch::EMPTY;
        let mut row = 0;
        if pages.width() == KeyWidth::Leading {
            let mut keys = [[0; BATCH]; 3];
            for packed in self.packed.values().chunks(BATCH) {
                let [landing, exit, before] = &mut keys;
                let slots = landing.iter_mut().zip(exit).zip(before);
                for (bytes, ((landing, exit), before)) in packed.iter().zip(slots) {
                    let packed = Packed::of(bytes);
                    (*landing, *exit, *before) =
                        (packed.landing(), packed.exit(), packed.before_exit());
                }
                let [landing, exit, before] = &keys;
                let count = packed.len();
                batch.look_up(pages, &landing[..count], &exit[..count], &before[..count]);
                for (bytes, ends) in packed.iter().zip(batch.ends()) {
                    let packed = Packed::of(bytes);
                    let inclusion = inclusion(row, packed.is_elsewhere());
                    visit(row, packed.user(), ends, inclusion);
                    row += 1;
                }
            }
            return;
        }
        let firsts = batches(&self.user_key).zip(batches(&self.landing_key));
        let lasts = batches(&self.exit_key).zip(batches(&self.before_exit_key));
        for ((users, landing), (exit, before)) in firsts.zip(lasts) {
            batch.look_up(pages, landing, exit, before);
            for (&user, ends) in users.iter().zip(batch.ends()) {
                let says = |column: &Fixed<u8>| column.values().get(row) == Some(&1);
                let is_elsewhere = says(&self.converting) || says(&self.gone);
                visit(row, user, ends, inclusion(row, is_elsewhere));
                row += 1;
            }
        }
    }
}

fn batches(column: &Fixed<u64>) -> slice::Chunks<'_, u64> {
    column.values().chunks(BATCH)
}

impl ConversionColumns {
    /// Checks that the columns do not contradict each other.
    pub(crate) fn check(&self) -> Result<(), String> {
        flags("included", &self.included)?;
        let lists = self.page_keys.iter().zip(self.conversion_keys.iter());
        let rows = lists
            .zip(self.assist_views.iter())
            .zip(self.conversions.values());
        for ((((viewed, converted), assists), &conversions), &included) in
            rows.zip(self.included.values())
        {
            if included == 0 {
                continue;
            }
            if converted.len() != conversions as usize || assists.len() != converted.len() {
                return Err(format!(
                    "a row of {conversions} conversions has {} conversion_keys and {} \
                     assist_views",
                    converted.len(),
                    assists.len()
                ));
            }
            if let Some(views) = assists.iter().find(|&&views| views as usize > viewed.len()) {
                return Err(format!(
                    "{views} page views assist a conversion in a session of {}",
                    viewed.len()
                ));
            }
        }
        Ok(())
    }
}

/// Checks that a column has nothing but zeros and ones.
pub(crate) fn flags(name: &str, column: &Fixed<u8>) -> Result<(), String> {
    match column.values().iter().find(|&&flag| flag > 1) {
        Some(flag) => Err(format!("column {name} holds {flag}, neither 0 nor 1")),
        None => Ok(()),
    }
}

/// Checks that all pages of some rows got a number.
pub(crate) fn not_full(pages: &Pages) -> Result<(), String> {
    if pages.is_full() {
        return Err(format!("more than {} pages", pages.len()));
    }
    Ok(())
}

/// The user and the pages of a session in 24 bytes, little-endian, as the store packs them: the user's key, then a
/// number of 128 bits. Its highest bit is 1 where the session has left this place, the next where it has a conversion;
/// then come the first 42 bits of the keys of the landing page, the exit page and the page before exit.
struct Packed([u64; 3]);

impl Packed {
    const BITS: u32 = KeyWidth::MASK.count_ones();

    #[inline]
    fn of(bytes: &[u8; 24]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let mut numbers = [0; 3];
        for (number, word) in numbers.iter_mut().zip(words) {
            *number = u64::from_le_bytes(*word);
        }
        Self(numbers)
    }

    #[inline]
    fn user(&self) -> u64 {
        self.0[0]
    }

    #[inline]
    fn landing(&self) -> u64 {
        self.0[2] >> (2 * Self::BITS - u64::BITS) & KeyWidth::MASK
    }

    #[inline]
    fn exit(&self) -> u64 {
        (self.0[1] >> Self::BITS | self.0[2] << (u64::BITS - Self::BITS)) & KeyWidth::MASK
    }

    #[inline]
    fn before_exit(&self) -> u64 {
        self.0[1] & KeyWidth::MASK
    }

    #[inline]
    fn is_elsewhere(&self) -> bool {
        self.0[2] >> 62 != 0
    }
}

/// The pages of a batch of sessions.
pub(crate) struct Batch {
    landings: [Option<PageId>; BATCH],
    exits: [Option<PageId>; BATCH],
    befores: [Option<PageId>; BATCH],
}

impl Batch {
    pub(crate) const EMPTY: Self = Self {
        landings: [None; BATCH],
        exits: [None; BATCH],
        befores: [None; BATCH],
    };

    /// Looks up the pages of up to [`BATCH`] sessions.
    #[inline]
    pub(crate) fn look_up(
        &mut self,
        pages: &mut Pages,
        landing: &[u64],
        exit: &[u64],
        before: &[u64],
    ) {
        pages.ids(landing, &mut self.landings);
        pages.ids(exit, &mut self.exits);
        pages.ids(before, &mut self.befores);
    }

    #[inline]
    pub(crate) fn ends(&self) -> impl Iterator<Item = Ends> {
        let pages = self.landings.iter().zip(&self.exits).zip(&self.befores);
        pages.map(|((&landing, &exit), &before_exit)| Ends {
            landing,
            exit,
            before_exit,
        })
    }
}
