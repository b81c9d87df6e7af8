//! The core against the text of the contract: roles, sides, scopes and totals have its names, order and numbers.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
#![allow(clippy::struct_field_names, reason = "the contract's names")]

mod support;

use std::fs;
use std::path::Path;

use pageroles_core::roles::{ROLES, Side};
use pageroles_core::{Field, JsonAnswer, Part, Scope, Tally};
use support::blocks::{Values, block, put_varuint};
use support::{END_MS, START_MS, streams, tallies};

/// A field of a message, or a value of an enum, whose type is empty then.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    type_name: String,
    name: String,
    number: u32,
}

/// The entries of a message or an enum, in the order of the contract.
fn entries(definition: &str) -> Vec<Entry> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/pageroles/v1/pages.proto");
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    let text = lines.collect::<Vec<_>>().join("\n");
    let (_, rest) = text
        .split_once(&format!("\n{definition} {{"))
        .unwrap_or_else(|| panic!("pages.proto has no {definition}"));
    let (body, _) = rest.split_once('}').unwrap();
    let entry = |entry: &str| {
        let (left, number) = entry.split_once('=').unwrap();
        let words: Vec<_> = left.split_whitespace().collect();
        let (name, type_name) = words.split_last().unwrap();
        Entry {
            type_name: type_name.join(" "),
            name: (*name).to_owned(),
            number: number.trim().parse().unwrap(),
        }
    };
    let written = body.split(';').filter(|entry| !entry.trim().is_empty());
    written.map(entry).collect()
}

/// Name and number of the entries of a type.
fn of_type(entries: &[Entry], type_name: &str) -> Vec<(String, u32)> {
    let of_type = entries.iter().filter(|entry| entry.type_name == type_name);
    of_type
        .map(|entry| (entry.name.clone(), entry.number))
        .collect()
}

/// What is added behind the messages of the core; and `message`, which only an empty answer has.
const NOT_OF_A_REPORT: [&str; 3] = ["message", "data", "hints"];

/// Each side with the message of its rows.
fn sides() -> Vec<(Side, String)> {
    let fields = entries("message PagesResponse");
    let lists: Vec<_> = fields
        .iter()
        .filter(|field| !NOT_OF_A_REPORT.contains(&field.name.as_str()))
        .filter_map(|field| Some((field.type_name.strip_prefix("repeated ")?, field)))
        .collect();
    let names: Vec<_> = lists
        .iter()
        .map(|(_, field)| (field.name.as_str(), field.number))
        .collect();
    assert_eq!(
        names,
        Side::ALL.map(|side| (side.name(), side.field())),
        "the lists of PagesResponse in pages.proto (left) are not the sides in roles.rs (right)"
    );
    let rows = lists.iter().map(|(row, _)| format!("message {row}"));
    Side::ALL.into_iter().zip(rows).collect()
}

#[test]
fn roles_are_those_of_the_contract() {
    for (side, row) in sides() {
        let fields = entries(&row);
        let mut roles = of_type(&fields, "RoleCount");
        let landing = ("landing".to_owned(), 5);
        assert_eq!(roles.pop(), Some(landing), "what comes behind the roles");
        let known: Vec<_> = side
            .roles()
            .iter()
            .map(|role| (role.name().to_owned(), role.field()))
            .collect();
        assert_eq!(
            roles, known,
            "the roles of {row} in pages.proto (left) are not those of {side:?} in roles.rs (right)"
        );
        assert_eq!(
            of_type(&fields, "string"),
            [("url".to_owned(), 1)],
            "{row} in pages.proto has a URL as its first field"
        );
        assert_eq!(
            fields.len(),
            2 + known.len(),
            "{row} in pages.proto has a field that the core does not write"
        );
    }
}

/// Number and content of the fields of a message, all of which are strings or messages shorter than 128 bytes.
fn parts(mut message: &[u8]) -> Vec<(u32, &[u8])> {
    let mut parts = Vec::new();
    while let [tag, length, rest @ ..] = message {
        assert_eq!(tag % 8, 2);
        let (content, rest) = rest.split_at(usize::from(*length));
        parts.push((u32::from(tag / 8), content));
        message = rest;
    }
    parts
}

#[test]
fn messages_have_the_fields_of_the_contract() {
    let one = || Values::U64(vec![1]);
    let columns = ["user_key", "landing_key", "exit_key", "before_exit_key"];
    let session = support::Session {
        conversions: vec![support::Conversion {
            page: 1,
            assist_views: 1,
            matches: true,
        }],
        ..support::session(2, 12, "s", 1)
    };
    let mut tally = Tally::new(Scope::Any, false).with_balance().with_landings();
    tally
        .feed_sessions(&block(&columns.map(|name| (name, one()))))
        .unwrap();
    let converted = streams::conversion_columns(&[&&session], false);
    tally.feed_conversions(&block(&converted)).unwrap();
    tally.finish_unit().unwrap();
    let mut counted = tallies::named(tally);
    let answer = counted.answer(START_MS, END_MS).unwrap().limited_to(1);
    let message = counted.read(|snapshot| answer.whole(snapshot));
    let message = parts(&message);

    let mut numbers: Vec<_> = message.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    let fields = entries("message PagesResponse");
    let known = fields
        .iter()
        .filter(|field| !NOT_OF_A_REPORT.contains(&field.name.as_str()));
    let known: Vec<_> = known.map(|field| field.number).collect();
    assert_eq!(numbers, known, "the fields of the answer");
    for (side, row) in sides() {
        let (_, content) = message
            .iter()
            .find(|(number, _)| *number == side.field())
            .unwrap();
        let numbers: Vec<_> = parts(content).iter().map(|(number, _)| *number).collect();
        let known: Vec<_> = entries(&row).iter().map(|field| field.number).collect();
        assert_eq!(numbers, known, "the fields of a row, and those of {row}");
    }
}

/// A field with a message in it.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varuint(&mut out, u64::from(number * 8 + 2));
    put_varuint(&mut out, content.len() as u64);
    out.extend(content);
    out
}

/// A message of numbers, each ten times its field's own.
fn numbers(fields: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        put_varuint(&mut out, u64::from(field.number * 8));
        put_varuint(&mut out, u64::from(field.number * 10));
    }
    out
}

fn named(fields: &[Entry]) -> String {
    let fields = fields
        .iter()
        .map(|field| format!("\"{}\":{}", field.name, field.number * 10));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

#[test]
fn json_has_the_names_of_the_contract() {
    let totals = entries("message SummaryTotals");
    let mut message = [field(1, b""), field(2, &numbers(&totals))].concat();
    let mut expected = format!(
        r#"{{"time_frame":{{"start":"1970-01-01T00:00:00Z","end":"1970-01-01T00:00:00Z"}},"summary_totals":{}"#,
        named(&totals)
    );
    let counts = entries("message RoleCount");
    for (side, row) in sides() {
        let roles = of_type(&entries(&row), "RoleCount");
        let contents = roles
            .iter()
            .flat_map(|(_, number)| field(*number, &numbers(&counts)));
        message.extend(field(side.field(), &contents.collect::<Vec<_>>()));
        let roles = roles
            .iter()
            .map(|(name, _)| format!(",\"{name}\":{}", named(&counts)));
        let roles: String = roles.collect();
        let list = format!(",\"{}\":[{{\"url\":\"\"{roles}}}]", side.name());
        expected.push_str(&list);
    }
    // What is beside the report comes last in the JSON.
    let fields = entries("message PagesResponse");
    let number_of = |name: &str| {
        let field = fields.iter().find(|field| field.name == name);
        field.unwrap().number
    };
    // A version is text and a time is a message, where others have numbers.
    let data = entries("message DataState");
    let texts = [field(data[0].number, b"v"), field(data[1].number, b"")].concat();
    message.extend(field(number_of("data"), &texts));
    let data = format!(
        r#"{{"{}":"v","{}":"1970-01-01T00:00:00Z"}}"#,
        data[0].name, data[1].name
    );
    let hint = entries("message Hint");
    let (texts, numbers_of_hint): (Vec<_>, Vec<_>) =
        hint.iter().partition(|entry| entry.type_name == "string");
    let texts = texts.iter().flat_map(|entry| field(entry.number, b"t"));
    let mut content: Vec<u8> = texts.collect();
    content.extend(
        numbers_of_hint
            .iter()
            .flat_map(|&entry| numbers(std::slice::from_ref(entry))),
    );
    message.extend(field(number_of("hints"), &content));
    let hint = hint.iter().map(|entry| {
        let value = match entry.type_name.as_str() {
            "string" => "\"t\"".to_owned(),
            _ => (entry.number * 10).to_string(),
        };
        format!("\"{}\":{value}", entry.name)
    });
    let hint = hint.collect::<Vec<_>>().join(",");
    let kinds = entries("message Balance");
    let contents = kinds
        .iter()
        .flat_map(|kind| field(kind.number, &numbers(&counts)));
    message.extend(field(number_of("balance"), &contents.collect::<Vec<_>>()));
    let kinds = kinds
        .iter()
        .map(|kind| format!("\"{}\":{}", kind.name, named(&counts)));
    let kinds = kinds.collect::<Vec<_>>().join(",");
    let omitted = entries("message OmittedPages");
    message.extend(field(number_of("omitted"), &numbers(&omitted)));
    let omitted = named(&omitted);
    let last = format!(
        ",\"data\":{data},\"balance\":{{{kinds}}},\"omitted\":{omitted},\"hints\":[{{{hint}}}]"
    );
    expected.push_str(&last);
    expected.push('}');
    let mut answer = JsonAnswer::default();
    let mut text = answer.feed(&message).unwrap();
    text.extend(answer.finish().unwrap());
    assert_eq!(String::from_utf8(text).unwrap(), expected);
}

#[test]
fn scopes_are_those_of_the_contract() {
    let values = entries("enum TouchScope");
    for value in &values {
        let scope = Scope::from_number(i64::from(value.number)).unwrap_or_else(|error| {
            panic!(
                "{} of pages.proto is no scope of journey.rs: {error}",
                value.name
            )
        });
        let name = format!("TOUCH_SCOPE_{scope:?}").to_uppercase();
        let is_unset = value.number == 0 && name == "TOUCH_SCOPE_ANY";
        assert!(
            is_unset || name == value.name,
            "{} of pages.proto is {scope:?} in journey.rs",
            value.name
        );
    }
    let next = i64::try_from(values.len()).unwrap();
    assert!(
        Scope::from_number(next).is_err(),
        "journey.rs has a scope {next} that pages.proto lacks"
    );
}

#[test]
fn further_questions_have_the_numbers_of_the_contract() {
    let roles = entries("enum Role");
    let numbered = |entry: &Entry| (entry.name.clone(), entry.number);
    let known = ROLES.map(|role| (role.name().to_owned(), role.number()));
    let as_values = known.iter().map(|(name, number)| {
        let name = format!("ROLE_{name}").to_uppercase();
        (name, *number)
    });
    let around = [("ROLE_UNSPECIFIED", 0), ("ROLE_LANDING", 7)];
    let [first, last] = around.map(|(name, number)| (name.to_owned(), number));
    let as_values = std::iter::once(first).chain(as_values).chain([last]);
    assert!(
        as_values.eq(roles.iter().map(numbered)),
        "the roles of pages.proto: {roles:?}"
    );
    for role in &roles {
        assert!(Part::from_numbers(Some(1), role.number.into()).is_ok());
    }
    assert_eq!(of_type(&entries("message PageRoles"), "RoleCount"), known);

    let day = entries("message PageDay");
    let fields = ["date", "summary_totals", "roles", "landing"];
    let fields = fields.map(str::to_owned).into_iter().zip(1..);
    assert!(fields.eq(day.iter().map(numbered)), "{day:?}");
    let days = entries("message PageDaysResponse");
    assert!(days.iter().map(numbered).eq([("days".to_owned(), 1)]));

    // The filters lie together.
    let filters = entries("message PagesRequest");
    let filters = filters.iter().filter(|field| {
        let is_filter = !["start_date", "end_date"].contains(&field.name.as_str());
        is_filter && field.type_name == "string"
    });
    let by_place: Vec<_> = filters.map(|field| field.name.as_str()).zip(0..).collect();
    for (names, of) in [
        (
            &["conversion_page", "meta_type", "meta_id"][..],
            Field::Conversion as fn(usize) -> _,
        ),
        (
            &["source", "medium", "campaign", "content", "term"],
            Field::Traffic,
        ),
        (&["landing_page"], |_| Field::Landing),
    ] {
        for (place, name) in names.iter().enumerate() {
            let (_, number) = by_place.iter().find(|(other, _)| other == name).unwrap();
            assert_eq!(Field::from_number(*number), Ok(of(place)), "{name}");
        }
    }
    assert_eq!(by_place.len(), 9);
}
