//! What the streams of a unit bring, and its rows as they wait, compact, for the unit's end.

use crate::group::{Grouper, Keyed};
use crate::journey::{Moment, Selection};
use crate::native::{Arrays, Fixed, Strings, layout};
use crate::pages::{PageId, Pages};
use crate::roles::{Conversions, Ends};

layout! {
    /// Sessions without any conversion.
    pub struct SessionColumns of "sessions" {
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
        /// The session's id.
        session_id: Strings,
        /// 1: passes the filters; 0: known only for its place in the user's journey.
        included: Fixed<u8>,
    }
    optional { started_at, session_id, included }
}

layout! {
    /// Sessions with conversions, of the whole history.
    pub struct ConversionColumns of "conversions" {
        /// The user.
        user_key: Fixed<u64>,
        /// Milliseconds since the epoch.
        started_at: Fixed<i64>,
        /// The session's id.
        session_id: Strings,
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

/// A part of one of the unit's common buffers.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    len: u32,
}

impl Span {
    fn push<T: Copy>(all: &mut Vec<T>, values: impl IntoIterator<Item = T>) -> Self {
        let start = all.len();
        all.extend(values);
        // The reader's limits for strings and arrays are far below 2^32.
        let len = u32::try_from(all.len() - start).unwrap_or(u32::MAX);
        Self { start, len }
    }

    fn of<T>(self, all: &[T]) -> &[T] {
        all.get(self.start..self.start + self.len as usize)
            .unwrap_or_default()
    }
}

/// A session without conversions whose time does not matter: 24 bytes, as there are millions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Undated {
    user: u64,
    pub(crate) ends: Ends,
}

/// A session without conversions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dated {
    user: u64,
    started_at: i64,
    session_id: Span,
    pub(crate) ends: Ends,
    pub(crate) included: bool,
}

/// A session with conversions, of which a filter may leave none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Converted {
    user: u64,
    started_at: i64,
    session_id: Span,
    pub(crate) ends: Ends,
    pub(crate) included: bool,
    pub(crate) conversions: u32,
    viewed: Span,
    targets: Span,
}

macro_rules! keyed {
    ($($row:ty),*) => {$(
        impl Keyed for $row {
            fn user(&self) -> u64 {
                self.user
            }
        }
    )*};
}

keyed!(Undated, Dated, Converted);

/// The rows of one unit. Its buffers are kept for the next.
#[derive(Debug, Default)]
pub(crate) struct Unit {
    undated: Vec<Undated>,
    dated: Vec<Dated>,
    converted: Vec<Converted>,
    earlier_users: Vec<u64>,
    text: Text,
    undated_grouper: Grouper<Undated>,
    dated_grouper: Grouper<Dated>,
    converted_grouper: Grouper<Converted>,
}

/// The parts of rows that have no fixed size.
#[derive(Debug, Default)]
pub(crate) struct Text {
    session_ids: Vec<u8>,
    viewed: Vec<Option<PageId>>,
    targets: Vec<Option<PageId>>,
    assist_views: Vec<u32>,
}

/// One user's rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User<'a> {
    pub(crate) undated: &'a [Undated],
    pub(crate) dated: &'a [Dated],
    pub(crate) converted: &'a [Converted],
    /// Whether the user's first session lies before the window.
    pub(crate) came_earlier: bool,
}

impl Unit {
    pub(crate) fn is_empty(&self) -> bool {
        self.sessions() == 0 && self.earlier_users.is_empty()
    }

    /// Number of sessions.
    pub(crate) fn sessions(&self) -> usize {
        self.undated.len() + self.dated.len() + self.converted.len()
    }

    pub(crate) fn clear(&mut self) {
        self.undated.clear();
        self.dated.clear();
        self.converted.clear();
        self.earlier_users.clear();
        self.text.session_ids.clear();
        self.text.viewed.clear();
        self.text.targets.clear();
        self.text.assist_views.clear();
    }

    pub(crate) fn add_sessions(
        &mut self,
        block: &SessionColumns,
        pages: &mut Pages,
        selection: Selection,
    ) -> Result<(), String> {
        let users = block.user_key.values();
        let ends = ends(
            pages,
            block.landing_key.values(),
            block.exit_key.values(),
            block.before_exit_key.values(),
        );
        let started_at = block.started_at.values();
        let included = block.included.values();
        let optional = [started_at.len(), block.session_id.len(), included.len()];
        if optional == [0; 3] {
            if selection.scope.needs_order() {
                return Err(
                    "the touch scope needs columns started_at, session_id and included".to_owned(),
                );
            }
            let rows = users.iter().zip(ends);
            self.undated
                .extend(rows.map(|(&user, ends)| Undated { user, ends }));
        } else if optional.contains(&0) {
            return Err("columns started_at, session_id and included come together".to_owned());
        } else {
            let ids = block.session_id.iter();
            let times = started_at.iter().zip(ids).zip(included);
            for ((&user, ends), ((&started_at, id), &included)) in users.iter().zip(ends).zip(times)
            {
                self.dated.push(Dated {
                    user,
                    started_at,
                    session_id: Span::push(&mut self.text.session_ids, id.iter().copied()),
                    ends,
                    included: flag(included)?,
                });
            }
        }
        full(pages)
    }

    pub(crate) fn add_conversions(
        &mut self,
        block: &ConversionColumns,
        pages: &mut Pages,
    ) -> Result<(), String> {
        let mut page_keys = block.page_keys.iter();
        let mut conversion_keys = block.conversion_keys.iter();
        let mut assist_views = block.assist_views.iter();
        let mut session_ids = block.session_id.iter();
        for (row, &user) in block.user_key.values().iter().enumerate() {
            let at = |column: &Fixed<u64>| column.values().get(row).copied().unwrap_or_default();
            let viewed = page_keys.next().unwrap_or_default();
            let converted = conversion_keys.next().unwrap_or_default();
            let assists = assist_views.next().unwrap_or_default();
            let session_id = session_ids.next().unwrap_or_default();
            let included = flag(
                block
                    .included
                    .values()
                    .get(row)
                    .copied()
                    .unwrap_or_default(),
            )?;
            let conversions = block
                .conversions
                .values()
                .get(row)
                .copied()
                .unwrap_or_default();
            if included {
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
            // Rows that are only evidence have no roles to give.
            let (viewed, converted, assists) = if included {
                (viewed, converted, assists)
            } else {
                Default::default()
            };
            let text = &mut self.text;
            Span::push(&mut text.assist_views, assists.iter().copied());
            self.converted.push(Converted {
                user,
                started_at: block
                    .started_at
                    .values()
                    .get(row)
                    .copied()
                    .unwrap_or_default(),
                session_id: Span::push(&mut text.session_ids, session_id.iter().copied()),
                ends: Ends {
                    landing: pages.id(at(&block.landing_key)),
                    exit: pages.id(at(&block.exit_key)),
                    before_exit: pages.id(at(&block.before_exit_key)),
                },
                included,
                conversions,
                viewed: Span::push(&mut text.viewed, viewed.iter().map(|&key| pages.id(key))),
                targets: Span::push(
                    &mut text.targets,
                    converted.iter().map(|&key| pages.id(key)),
                ),
            });
        }
        full(pages)
    }

    pub(crate) fn add_users(&mut self, block: &UserColumns) {
        self.earlier_users.extend(block.user_key.values());
    }

    /// Calls `count` with each user's rows.
    pub(crate) fn by_user(&mut self, mut count: impl FnMut(&Text, User<'_>)) {
        self.undated_grouper.group(&mut self.undated);
        self.dated_grouper.group(&mut self.dated);
        self.converted_grouper.group(&mut self.converted);
        self.earlier_users.sort_unstable();
        let mut undated = Runs(&self.undated);
        let mut dated = Runs(&self.dated);
        let mut converted = Runs(&self.converted);
        let mut earlier = Runs(&self.earlier_users);
        let users = [
            undated.next_user(),
            dated.next_user(),
            converted.next_user(),
        ];
        let mut next = users.into_iter().flatten().min();
        while let Some(user) = next {
            earlier.skip_before(user);
            count(
                &self.text,
                User {
                    undated: undated.take(user),
                    dated: dated.take(user),
                    converted: converted.take(user),
                    came_earlier: !earlier.take(user).is_empty(),
                },
            );
            let users = [
                undated.next_user(),
                dated.next_user(),
                converted.next_user(),
            ];
            next = users.into_iter().flatten().min();
        }
    }
}

impl Text {
    pub(crate) fn moment_of_dated(&self, row: &Dated) -> Moment<'_> {
        Moment {
            started_at: row.started_at,
            session_id: row.session_id.of(&self.session_ids),
        }
    }

    pub(crate) fn moment_of_converted(&self, row: &Converted) -> Moment<'_> {
        Moment {
            started_at: row.started_at,
            session_id: row.session_id.of(&self.session_ids),
        }
    }

    pub(crate) fn conversions(&self, row: &Converted) -> Conversions<'_> {
        Conversions {
            pages: row.viewed.of(&self.viewed),
            converted: row.targets.of(&self.targets),
            assist_views: row.targets.of(&self.assist_views),
        }
    }
}

/// Rows in order of their users, taken from the front.
struct Runs<'a, R>(&'a [R]);

impl<'a, R: Keyed> Runs<'a, R> {
    #[inline]
    fn next_user(&self) -> Option<u64> {
        self.0.first().map(Keyed::user)
    }

    #[inline]
    fn take(&mut self, user: u64) -> &'a [R] {
        let run = self.0.iter().take_while(|row| row.user() == user).count();
        let (taken, rest) = self.0.split_at(run);
        self.0 = rest;
        taken
    }

    fn skip_before(&mut self, user: u64) {
        let run = self.0.iter().take_while(|row| row.user() < user).count();
        self.0 = &self.0[run..];
    }
}

/// The three pages of each row, as this tally numbers them.
fn ends(
    pages: &mut Pages,
    landing: &[u64],
    exit: &[u64],
    before_exit: &[u64],
) -> impl Iterator<Item = Ends> {
    landing
        .iter()
        .zip(exit)
        .zip(before_exit)
        .map(|((&landing, &exit), &before_exit)| Ends {
            landing: pages.id(landing),
            exit: pages.id(exit),
            before_exit: pages.id(before_exit),
        })
}

fn flag(value: u8) -> Result<bool, String> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(format!("column included holds {value}, neither 0 nor 1")),
    }
}

fn full(pages: &Pages) -> Result<(), String> {
    if pages.is_full() {
        return Err(format!("more than {} pages", pages.len()));
    }
    Ok(())
}
