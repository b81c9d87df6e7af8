//! The rows of a unit, a set of users with all their rows, kept compact until the unit ends; then blocks are made of them,
//! one after the other.

use crate::arrange::{Arranged, Converted, Dated, EVIDENCE, INCLUDED, Rest, Undated, Word};
use crate::block::{Block, Row, small};
use crate::group::{Partitions, Range};
use crate::journey::Moment;
use crate::pages::{PageId, Pages};
use crate::roles::{Conversion, Ends};
use crate::streams::{ConversionColumns, Inclusion, SessionColumns, UserColumns, not_full};

/// The rows of one unit. Its buffers are kept for the next.
#[derive(Debug, Default)]
pub(crate) struct Unit {
    range: Range,
    undated: Partitions<Undated>,
    dated: Partitions<Dated>,
    /// Whether several of these may be versions of one session.
    has_versions: bool,
    converted: Vec<Converted>,
    views: Vec<Option<PageId>>,
    conversions: Vec<Conversion>,
    /// Users who have a session before the window.
    earlier: Vec<u64>,
    arranged: Arranged,
    block: Block,
}

impl Unit {
    /// Says which users the unit has, before any row of it is added.
    pub(crate) fn begin(&mut self, range: Range) {
        self.range = range;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.undated.len() == 0
            && self.dated.len() == 0
            && self.converted.is_empty()
            && self.earlier.is_empty()
    }

    /// Forgets the rows. The next unit may have any users until its range is set.
    pub(crate) fn clear(&mut self) {
        self.range = Range::default();
        self.undated.clear();
        self.dated.clear();
        self.converted.clear();
        self.views.clear();
        self.conversions.clear();
        self.earlier.clear();
        self.has_versions = false;
    }

    /// Checks that all users of some rows belong to the unit.
    fn check_users(&self, users: &[u64]) -> Result<(), String> {
        match users.iter().find(|&&user| !self.range.contains(user)) {
            Some(user) => Err(format!("user {user} lies outside of the unit's range")),
            None => Ok(()),
        }
    }

    /// Adds a checked block of the sessions stream. All blocks of a unit are dated, or none is.
    pub(crate) fn add_sessions(
        &mut self,
        block: &SessionColumns,
        pages: &mut Pages,
    ) -> Result<(), String> {
        let range = self.range;
        let is_dated = block.is_dated();
        if is_dated && self.undated.len() > 0 || !is_dated && self.dated.len() > 0 {
            return Err(
                "columns started_at and session_key come in all blocks or in none".to_owned(),
            );
        }
        let mut stray = None;
        if is_dated {
            let starts = block.started_at.values();
            let keys = block.session_key.values();
            let written = block.written_at.values();
            let has_versions = !written.is_empty();
            self.has_versions |= has_versions;
            block.each_row(pages, |row, user, ends, inclusion| {
                if !range.contains(user) {
                    stray = Some(user);
                } else if has_versions || inclusion != Inclusion::Elsewhere {
                    let at = |column: &[i64]| column.get(row).copied().unwrap_or_default();
                    let dated = Dated {
                        user: Word::new(user),
                        ends,
                        started_at: Word::new(at(starts).cast_unsigned()),
                        session_key: Word::new(keys.get(row).copied().unwrap_or_default()),
                        written_at: Word::new(at(written).cast_unsigned()),
                        inclusion,
                    };
                    self.dated.push(range, dated);
                }
            });
        } else {
            block.each_row(pages, |_, user, ends, inclusion| {
                if !range.contains(user) {
                    stray = Some(user);
                } else if inclusion == Inclusion::Included {
                    let user = Word::new(user);
                    self.undated.push(range, Undated { user, ends });
                }
            });
        }
        stray.map_or(Ok(()), |user| self.check_users(&[user]))?;
        not_full(pages)
    }

    /// Adds a block of the conversions stream.
    pub(crate) fn add_conversions(
        &mut self,
        block: &ConversionColumns,
        pages: &mut Pages,
    ) -> Result<(), String> {
        block.check()?;
        self.check_users(block.user_key.values())?;
        let mut page_keys = block.page_keys.iter();
        let mut conversion_keys = block.conversion_keys.iter();
        let mut assist_views = block.assist_views.iter();
        for (row, &user) in block.user_key.values().iter().enumerate() {
            let at = |column: &[u64]| column.get(row).copied().unwrap_or_default();
            let viewed = page_keys.next().unwrap_or_default();
            let converted = conversion_keys.next().unwrap_or_default();
            let assists = assist_views.next().unwrap_or_default();
            let included = block.included.values().get(row) == Some(&1);
            let (first_view, first_conversion) = (self.views.len(), self.conversions.len());
            if included {
                self.views
                    .extend(viewed.iter().map(|&key| pages.id_of_whole(key)));
                let conversions = converted.iter().zip(assists);
                self.conversions
                    .extend(conversions.map(|(&key, &assist_views)| Conversion {
                        page: PageId::number(pages.id_of_whole(key)),
                        assist_views,
                        ..Conversion::default()
                    }));
            } else {
                // It has no roles. What it shows is that its user converted.
                let conversions = block.conversions.values().get(row).copied();
                let conversions = conversions.unwrap_or_default().min(1) as usize;
                let length = self.conversions.len() + conversions;
                self.conversions.resize(length, Conversion::default());
            }
            let started_at = block.started_at.values().get(row).copied();
            self.converted.push(Converted {
                row: Row {
                    user,
                    ends: Ends {
                        landing: pages.id_of_whole(at(block.landing_key.values())),
                        exit: pages.id_of_whole(at(block.exit_key.values())),
                        before_exit: pages.id_of_whole(at(block.before_exit_key.values())),
                    },
                    traffic: if included { INCLUDED } else { EVIDENCE },
                },
                moment: Moment {
                    started_at: started_at.unwrap_or_default(),
                    session_key: at(block.session_key.values()),
                },
                views: [first_view, self.views.len()].map(small),
                conversions: [first_conversion, self.conversions.len()].map(small),
            });
        }
        not_full(pages)
    }

    /// Adds a block of the users stream.
    pub(crate) fn add_users(&mut self, block: &UserColumns) -> Result<(), String> {
        self.check_users(block.user_key.values())?;
        self.earlier.extend(block.user_key.values());
        Ok(())
    }

    /// Visits the unit as blocks, whose sessions have the codes [`INCLUDED`] and [`EVIDENCE`]. Times and keys are left
    /// out.
    pub(crate) fn each_block<E>(
        &mut self,
        needs_order: bool,
        only_converting: bool,
        mut visit: impl FnMut(&Block) -> Result<(), E>,
    ) -> Result<(), E> {
        self.converted
            .sort_unstable_by_key(|row| (row.row.user, row.moment));
        self.earlier.sort_unstable();
        let mut rest = Rest {
            converted: &self.converted,
            earlier: &self.earlier,
        };
        for place in 0..Partitions::<Dated>::COUNT {
            let of_place = rest.take(|user| self.range.is_up_to(place, user));
            if needs_order || self.dated.len() > 0 {
                let dated = self.dated.grouped(self.range, place);
                (self.arranged).fill_dated(dated, self.has_versions, needs_order, of_place);
            } else {
                let undated = self.undated.grouped(self.range, place);
                self.arranged.fill_undated(undated, of_place);
            }
            let mut start = 0;
            while start < self.arranged.rows.len() {
                let end = self.arranged.end_of_block(start);
                self.block.clear();
                self.block.extend(&self.arranged.rows[start..end]);
                for (place, row) in self.arranged.converted_within(start, end) {
                    let views = part(&self.views, row.views).iter().copied();
                    let conversions = part(&self.conversions, row.conversions).iter().copied();
                    self.block.convert(place, views, conversions);
                }
                self.block.seal(only_converting);
                visit(&self.block)?;
                start = end;
            }
        }
        Ok(())
    }
}
fn part<T>(list: &[T], [start, end]: [u32; 2]) -> &[T] {
    list.get(start as usize..end as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::FULL;

    /// A block has a limit, which only a user of very many sessions may pass, and each user is in one block.
    #[test]
    fn blocks_are_small_and_have_whole_users() {
        const MANY: u64 = 10_000;
        for key in [|user: u64| user, |user: u64| user << 50] {
            let mut unit = Unit::default();
            let (mut sessions, mut users) = (0, 0);
            for user in 0..9_000 {
                let of_user = if user == 5_000 { MANY } else { 1 + user % 3 };
                for _ in 0..of_user {
                    let ends = Ends::default();
                    let user = Word::new(key(user));
                    unit.undated.push(unit.range, Undated { user, ends });
                }
                if user % 1_000 == 1 {
                    unit.converted.push(Converted {
                        row: Row {
                            user: key(user),
                            ends: Ends::default(),
                            traffic: INCLUDED,
                        },
                        moment: Moment {
                            started_at: 0,
                            session_key: 0,
                        },
                        views: [0; 2],
                        conversions: [0; 2],
                    });
                    sessions += 1;
                }
                sessions += of_user;
                users += 1;
            }
            let visited: Result<(), ()> = unit.each_block(false, false, |block| {
                let of_block = block.user.chunk_by(|one, next| one == next);
                let most = of_block.clone().map(<[_]>::len).max().unwrap_or_default();
                assert!(block.len() < 2 * FULL + most, "{} sessions", block.len());
                let numbers = of_block.map(|sessions| usize::from(sessions[0]));
                assert!(numbers.clone().eq(0..numbers.clone().count()));
                sessions -= block.len() as u64;
                users -= numbers.count();
                Ok(())
            });
            assert_eq!((visited, sessions, users), (Ok(()), 0, 0));
        }
    }
}
