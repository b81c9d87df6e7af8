//! What the streams of a unit bring, and its rows as they wait, compact, for the unit's end.

use std::num::NonZeroU64;

use crate::group::{Grouper, Keyed};
use crate::journey::{Moment, Selection};
use crate::native::{self, Arrays, Fixed, Strings, layout};
use crate::pages::{PageId, Pages};
use crate::roles::{Conversions, Ends};

layout! {
    /// Sessions of the window. Without versions, those that have no conversion at all, each once;
    /// with versions, every version of every session.
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
        /// 1: passes the filters; 0: known only for its place in the user's journey. All pass where
        /// this is absent.
        included: Fixed<u8>,
        /// A hash of the session's id.
        session_key: Fixed<u64>,
        /// When this version of the session was written: the last one counts, alone.
        written_at: Fixed<i64>,
        /// 1: this version has a conversion, so the conversions stream has it.
        converting: Fixed<u8>,
    }
    optional { started_at, session_id, included, session_key, written_at, converting }
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
        /// A hash of the session's id, as the sessions stream has it.
        session_key: Fixed<u64>,
    }
    optional { session_key }
}

layout! {
    /// Users who have a session before the window.
    pub struct UserColumns of "users" {
        /// The user.
        user_key: Fixed<u64>,
    }
    optional {}
}

/// A part of one of the unit's common buffers, in eight bytes: its start and its length, plus one.
#[derive(Debug, Clone, Copy)]
struct Span(NonZeroU64);

impl Span {
    const LENGTH_BITS: u32 = 21;
    const LENGTH_MASK: u64 = (1 << Self::LENGTH_BITS) - 1;

    fn push<T: Copy>(all: &mut Vec<T>, values: impl IntoIterator<Item = T>) -> Self {
        const {
            assert!(native::MAX_STRING <= Self::LENGTH_MASK);
            assert!(native::MAX_ARRAY <= Self::LENGTH_MASK);
        }
        let start = all.len() as u64;
        all.extend(values);
        let length = all.len() as u64 - start;
        Self(NonZeroU64::MIN.saturating_add(start << Self::LENGTH_BITS | length))
    }

    fn of<T>(self, all: &[T]) -> &[T] {
        let packed = self.0.get() - 1;
        let start = usize::try_from(packed >> Self::LENGTH_BITS).unwrap_or(usize::MAX);
        let length = usize::try_from(packed & Self::LENGTH_MASK).unwrap_or(usize::MAX);
        all.get(start..start.saturating_add(length))
            .unwrap_or_default()
    }
}

/// What a session of the sessions stream is to the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It passes the filters.
    Included,
    /// It is known only for its place in the user's journey.
    Evidence,
    /// The conversions stream has it.
    Converting,
}

/// A session's start, and its id if that came: what scopes ask that follow a journey.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct When {
    started_at: i64,
    session_id: Option<Span>,
}

/// A session without conversions. There are millions: 24 bytes where its time does not matter, 40
/// where it does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session<T> {
    user: u64,
    pub(crate) ends: Ends,
    standing: Standing,
    when: T,
}

impl<T> Session<T> {
    pub(crate) fn is_included(&self) -> bool {
        self.standing == Standing::Included
    }
}

/// A version of a session: 16 bytes more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Version<T> {
    session: Session<T>,
    session_key: u64,
    written_at: i64,
}

const _: () = {
    assert!(size_of::<Session<()>>() == 24 && size_of::<Session<When>>() == 40);
    assert!(size_of::<Version<()>>() == 40 && size_of::<Version<When>>() == 56);
};

/// A session with conversions, of which a filter may leave none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Converted {
    user: u64,
    started_at: i64,
    session_id: Span,
    session_key: Option<u64>,
    pub(crate) ends: Ends,
    pub(crate) included: bool,
    pub(crate) conversions: u32,
    viewed: Span,
    targets: Span,
}

impl<T> Keyed for Session<T> {
    fn user(&self) -> u64 {
        self.user
    }
}

impl<T> Keyed for Version<T> {
    fn user(&self) -> u64 {
        self.session.user
    }

    /// Stable: of versions written at once, the last in the stream stays last.
    fn sort(rows: &mut [Self]) {
        rows.sort_by_key(|version| (version.user(), version.session_key, version.written_at));
    }
}

impl Keyed for Converted {
    fn user(&self) -> u64 {
        self.user
    }
}

/// The rows of one unit. Its buffers are kept for the next.
#[derive(Debug, Default)]
pub(crate) struct Unit {
    /// For scopes that do not ask when a session took place; `dated` for those that do.
    undated: Sessions<()>,
    dated: Sessions<When>,
    converted: Vec<Converted>,
    converted_grouper: Grouper<Converted>,
    earlier_users: Vec<u64>,
    text: Text,
    lacks_ids: bool,
}

/// The rows of the sessions stream.
#[derive(Debug, Default)]
struct Sessions<T> {
    once: Vec<Session<T>>,
    versions: Vec<Version<T>>,
    once_grouper: Grouper<Session<T>>,
    versions_grouper: Grouper<Version<T>>,
}

impl<T: Copy> Sessions<T> {
    fn len(&self) -> usize {
        self.once.len() + self.versions.len()
    }

    fn clear(&mut self) {
        self.once.clear();
        self.versions.clear();
    }

    fn group(&mut self) {
        self.once_grouper.group(&mut self.once);
        self.versions_grouper.group(&mut self.versions);
    }

    /// Adds a block whose flags were checked; `when` is called with each row in order.
    fn add(&mut self, block: &SessionColumns, pages: &mut Pages, when: impl FnMut(usize) -> T) {
        let (keys, written_at) = (block.session_key.values(), block.written_at.values());
        let (included, converting) = (block.included.values(), block.converting.values());
        if keys.is_empty() && included.is_empty() {
            // The largest streams are of this form.
            let sessions = sessions(block, pages, |_| Standing::Included, when);
            return self.once.extend(sessions);
        }
        let standing = |row| match (converting.get(row), included.get(row)) {
            (Some(1), _) => Standing::Converting,
            (_, Some(0)) => Standing::Evidence,
            _ => Standing::Included,
        };
        let sessions = sessions(block, pages, standing, when);
        if keys.is_empty() {
            self.once.extend(sessions);
        } else if written_at.is_empty() {
            // Each session comes once, and its key is there for its identity.
            let versions = sessions.zip(keys).map(|(session, &session_key)| Version {
                session,
                session_key,
                written_at: 0,
            });
            self.versions.extend(versions);
        } else {
            let versions = sessions.zip(keys).zip(written_at);
            self.versions.extend(
                versions.map(|((session, &session_key), &written_at)| Version {
                    session,
                    session_key,
                    written_at,
                }),
            );
        }
    }
}

/// The sessions of a block, with their pages as this tally numbers them.
fn sessions<T>(
    block: &SessionColumns,
    pages: &mut Pages,
    standing: impl Fn(usize) -> Standing,
    mut when: impl FnMut(usize) -> T,
) -> impl Iterator<Item = Session<T>> {
    let users = block.user_key.values().iter().enumerate();
    let first_pages = block.landing_key.values();
    let last_pages = block.exit_key.values().iter();
    let last_pages = last_pages.zip(block.before_exit_key.values());
    let rows = users.zip(first_pages).zip(last_pages);
    rows.map(
        move |(((row, &user), &landing), (&exit, &before_exit))| Session {
            user,
            ends: Ends {
                landing: pages.id(landing),
                exit: pages.id(exit),
                before_exit: pages.id(before_exit),
            },
            standing: standing(row),
            when: when(row),
        },
    )
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
pub(crate) struct User<'a, T> {
    once: &'a [Session<T>],
    versions: &'a [Version<T>],
    pub(crate) converted: &'a [Converted],
    /// Whether the user's first session lies before the window.
    pub(crate) came_earlier: bool,
}

impl<'a, T> User<'a, T> {
    /// Whether there is but one row.
    pub(crate) fn is_alone(&self) -> bool {
        self.once.len() + self.versions.len() + self.converted.len() <= 1
    }

    /// Visits the sessions that the conversions stream does not have, as they were written last,
    /// with their keys, if those came.
    #[inline]
    pub(crate) fn each_session(&self, mut visit: impl FnMut(&'a Session<T>, Option<u64>)) {
        for session in self.once {
            visit(session, None);
        }
        // Not the rule: kept apart, so that sessions that come once pay nothing for it.
        if !self.versions.is_empty() {
            let runs = self
                .versions
                .chunk_by(|one, next| one.session_key == next.session_key);
            for version in runs.filter_map(<[_]>::last) {
                if version.session.standing != Standing::Converting {
                    visit(&version.session, Some(version.session_key));
                }
            }
        }
    }
}

impl Unit {
    pub(crate) fn is_empty(&self) -> bool {
        self.sessions() == 0 && self.earlier_users.is_empty()
    }

    /// Number of sessions, each as often as it was fed.
    pub(crate) fn sessions(&self) -> usize {
        self.undated.len() + self.dated.len() + self.converted.len()
    }

    /// Whether the order of sessions that started together may be unknown.
    pub(crate) fn lacks_ids(&self) -> bool {
        self.lacks_ids
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
        self.lacks_ids = false;
    }

    pub(crate) fn add_sessions(
        &mut self,
        block: &SessionColumns,
        pages: &mut Pages,
        selection: Selection,
    ) -> Result<(), String> {
        let (started_at, has_ids) = (block.started_at.values(), !block.session_id.is_empty());
        let (has_keys, has_versions) = (
            !block.session_key.values().is_empty(),
            !block.written_at.values().is_empty(),
        );
        if has_versions == block.converting.values().is_empty() || (has_versions && !has_keys) {
            return Err("columns session_key, written_at and converting come together".to_owned());
        }
        flags("included", &block.included)?;
        flags("converting", &block.converting)?;
        if !selection.scope.needs_order() {
            self.undated.add(block, pages, |_| ());
            return full(pages);
        }
        if started_at.is_empty() || block.included.values().is_empty() || !(has_ids || has_keys) {
            return Err(
                "the touch scope needs columns started_at and included, and session_id or \
                 session_key"
                    .to_owned(),
            );
        }
        let mut ids = block.session_id.iter();
        let text = &mut self.text.session_ids;
        self.dated.add(block, pages, |row| When {
            started_at: started_at.get(row).copied().unwrap_or_default(),
            session_id: ids.next().map(|id| Span::push(text, id.iter().copied())),
        });
        self.lacks_ids |= !has_ids;
        full(pages)
    }

    pub(crate) fn add_conversions(
        &mut self,
        block: &ConversionColumns,
        pages: &mut Pages,
    ) -> Result<(), String> {
        flags("included", &block.included)?;
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
            let included = block.included.values().get(row) == Some(&1);
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
                session_key: block.session_key.values().get(row).copied(),
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

    /// Brings the rows of each user together; the unit can be read by user then.
    pub(crate) fn group(&mut self) {
        self.undated.group();
        self.dated.group();
        self.converted_grouper.group(&mut self.converted);
        self.earlier_users.sort_unstable();
    }

    /// The users, for a scope that does not ask when a session took place.
    pub(crate) fn undated_users(&self) -> Users<'_, ()> {
        self.users(&self.undated)
    }

    /// The users, for a scope that asks when a session took place.
    pub(crate) fn dated_users(&self) -> Users<'_, When> {
        self.users(&self.dated)
    }

    fn users<'a, T>(&'a self, sessions: &'a Sessions<T>) -> Users<'a, T> {
        Users {
            once: Runs(&sessions.once),
            versions: Runs(&sessions.versions),
            converted: Runs(&self.converted),
            earlier: Runs(&self.earlier_users),
        }
    }

    pub(crate) fn text(&self) -> &Text {
        &self.text
    }
}

impl Text {
    pub(crate) fn moment_of_dated(&self, row: &Session<When>, key: Option<u64>) -> Moment<'_> {
        let session_id = row.when.session_id;
        Moment {
            started_at: row.when.started_at,
            session_id: session_id.map(|id| id.of(&self.session_ids)),
            session_key: key,
        }
    }

    pub(crate) fn moment_of_converted(&self, row: &Converted) -> Moment<'_> {
        Moment {
            started_at: row.started_at,
            session_id: Some(row.session_id.of(&self.session_ids)),
            session_key: row.session_key,
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

/// The users of a unit, each with their rows.
#[derive(Debug)]
pub(crate) struct Users<'a, T> {
    once: Runs<'a, Session<T>>,
    versions: Runs<'a, Version<T>>,
    converted: Runs<'a, Converted>,
    earlier: Runs<'a, u64>,
}

impl<'a, T> Iterator for Users<'a, T> {
    type Item = User<'a, T>;

    #[inline]
    fn next(&mut self) -> Option<User<'a, T>> {
        let users = [
            self.once.next_user(),
            self.versions.next_user(),
            self.converted.next_user(),
        ];
        let user = users.into_iter().flatten().min()?;
        self.earlier.skip_before(user);
        Some(User {
            once: self.once.take(user),
            versions: self.versions.take(user),
            converted: self.converted.take(user),
            came_earlier: !self.earlier.take(user).is_empty(),
        })
    }
}

/// Rows in order of their users, taken from the front.
#[derive(Debug)]
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

fn flags(name: &str, column: &Fixed<u8>) -> Result<(), String> {
    match column.values().iter().find(|&&flag| flag > 1) {
        Some(flag) => Err(format!("column {name} holds {flag}, neither 0 nor 1")),
        None => Ok(()),
    }
}

fn full(pages: &Pages) -> Result<(), String> {
    if pages.is_full() {
        return Err(format!("more than {} pages", pages.len()));
    }
    Ok(())
}
