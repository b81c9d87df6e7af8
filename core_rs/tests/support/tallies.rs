//! From streams to the bytes of an answer, in the simplest way, and what these bytes must be.

use pageroles_core::{Counted, KeyWidth, Scope, Tally};
use prost::Message;

use super::messages::PagesResponse;
use super::streams::{self, Streams};
use super::{END_MS, Form, Question, START_MS, Session};

pub fn empty((scope, filter): Question) -> Tally {
    Tally::new(Scope::from_number(scope).unwrap(), filter)
}

/// An empty tally with page keys as a form has them.
pub fn empty_of(form: Form, question: Question) -> Tally {
    let width = if form.packed {
        KeyWidth::Leading
    } else {
        KeyWidth::Whole
    };
    empty(question).with_keys(width)
}

pub fn feed_unit(tally: &mut Tally, streams: &Streams) {
    tally.feed_sessions(&streams.sessions).unwrap();
    tally.feed_users(&streams.users).unwrap();
    tally.feed_conversions(&streams.conversions).unwrap();
    tally.finish_unit().unwrap();
}

/// The counts of a world that comes as one unit.
pub fn tally_of(world: &[Session], question: Question) -> Tally {
    let mut tally = empty(question);
    feed_unit(&mut tally, &Streams::of(world, question));
    tally
}

/// The counts with the names of their pages, and that of a page that nobody asked for.
pub fn named(mut tally: Tally) -> Counted {
    let mut counted = tally.take().unwrap();
    let mut keys = counted.missing_pages();
    keys.push(4711);
    counted.feed_pages(&streams::pages(&keys)).unwrap();
    counted
}

pub fn whole(counted: &mut Counted) -> Vec<u8> {
    let answer = counted.answer(START_MS, END_MS).unwrap();
    counted.read(|snapshot| answer.whole(snapshot))
}

pub fn response(tally: Tally) -> Vec<u8> {
    whole(&mut named(tally))
}

/// The answer where pages have keys as [`make_leading`] makes them, if sessions are packed.
pub fn response_of(form: Form, mut tally: Tally) -> Vec<u8> {
    let mut counted = tally.take().unwrap();
    let whole_key = |key: u64| if form.packed { key << 22 | 5 } else { key };
    let keys: Vec<u64> = (counted.missing_pages().into_iter())
        .map(whole_key)
        .collect();
    counted.feed_pages(&streams::pages(&keys)).unwrap();
    whole(&mut counted)
}

pub fn count(world: &[Session], question: Question) -> Vec<u8> {
    response(tally_of(world, question))
}

pub fn decoded(bytes: &[u8]) -> PagesResponse {
    PagesResponse::decode(bytes).unwrap()
}

/// Checks the content first, whose differences can be read, then every byte.
#[track_caller]
pub fn same(bytes: &[u8], expected: &PagesResponse, question: Question) {
    assert_eq!(&decoded(bytes), expected, "scope and filter {question:?}");
    assert_eq!(
        bytes,
        expected.encode_to_vec(),
        "scope and filter {question:?}"
    );
}

/// Gives a session pages whose keys differ in their leading bits, as hashes do.
pub fn make_leading(session: &mut Session) {
    let targets = (session.conversions.iter_mut()).map(|conversion| &mut conversion.page);
    let pages = session.pages.iter_mut().chain(targets);
    for page in pages.filter(|page| **page != 0) {
        *page = *page << 22 | 5;
    }
}
