//! The JSON against a JSON library, and bytes that are no messages.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
#![allow(clippy::struct_field_names, reason = "the contract's names")]

#[path = "support/as_json.rs"]
mod as_json;
mod support;

use as_json::{balance_json, count_json};
use pageroles_core::{Error, JsonAnswer, Scope, Tally};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};
use support::blocks::{Values, block};
use support::messages::{
    Balance, DataState, Hint, OmittedPages, Page, PagesResponse, RoleCount, SummaryTotals,
    TimeFrame, Timestamp,
};
use support::{END_MS, START_MS, tallies, worlds};

/// The expected answer, built as values, each with its name.
fn expected(response: &PagesResponse) -> Value {
    let mut beside = serde_json::Map::new();
    if let Some(data) = &response.data {
        let through = time(data.complete_through.unwrap_or_default());
        let data = json!({"version": data.version, "complete_through": through});
        beside.insert("data".to_owned(), data);
    }
    if !response.hints.is_empty() {
        let hint = |hint: &Hint| {
            json!({
                "field": hint.field,
                "value": hint.value,
                "sessions": hint.sessions,
                "sentence": hint.sentence,
            })
        };
        let hints = response.hints.iter().map(hint).collect();
        beside.insert("hints".to_owned(), hints);
    }
    if let Some(balance) = &response.balance {
        beside.insert("balance".to_owned(), balance_json(balance));
    }
    if let Some(omitted) = &response.omitted {
        let sides = json!({
            "conversion_performance": omitted.conversion_performance,
            "drop_off_performance": omitted.drop_off_performance,
        });
        beside.insert("omitted".to_owned(), sides);
    }
    if !response.message.is_empty() {
        beside.insert("message".to_owned(), json!(response.message));
        return Value::Object(beside);
    }
    let frame = response.time_frame.unwrap();
    let totals = response.summary_totals.unwrap();
    let rows = |pages: &[Page], names: [&str; 3]| -> Value {
        let row = |page: &Page| {
            let mut row = json!({
                "url": page.url,
                names[0]: count_json(page.first),
                names[1]: count_json(page.assist),
                names[2]: count_json(page.landing),
            });
            if page.landed.is_some() {
                row["landing"] = count_json(page.landed);
            }
            row
        };
        pages.iter().map(row).collect()
    };
    let mut answer = json!({
        "time_frame": {
            "start": time(frame.start.unwrap_or_default()),
            "end": time(frame.end.unwrap_or_default()),
        },
        "summary_totals": {
            "total_sessions": totals.total_sessions,
            "total_users": totals.total_users,
            "total_conversion_events": totals.total_conversion_events,
            "total_conversion_users": totals.total_conversion_users,
        },
        "conversion_performance": rows(
            &response.conversion_performance,
            ["conversion", "conversion_assist", "landing_assisted_conversion"],
        ),
        "drop_off_performance": rows(
            &response.drop_off_performance,
            ["drop_off", "drop_off_assist", "landing_assisted_drop_off"],
        ),
    });
    answer.as_object_mut().unwrap().append(&mut beside);
    answer
}

/// Counts days one by one from 1970, forwards or backwards.
fn time(time: Timestamp) -> String {
    let length = |year: i64| {
        if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) {
            366
        } else {
            365
        }
    };
    let mut day = time.seconds.div_euclid(86_400);
    let mut year = 1970;
    while day < 0 {
        year -= 1;
        day += length(year);
    }
    while day >= length(year) {
        day -= length(year);
        year += 1;
    }
    let february = length(year) - 337;
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    let second = time.seconds.rem_euclid(86_400);
    let millis = match time.nanos / 1_000_000 {
        0 => String::new(),
        millis => format!(".{millis:03}"),
    };
    format!(
        "{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}{millis}Z",
        day + 1,
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// The JSON of all messages, as a text. The order of names is not part of values, so another test holds it.
fn written<'a>(messages: impl IntoIterator<Item = &'a [u8]>) -> Result<String, Error> {
    let mut answer = JsonAnswer::default();
    let mut out = Vec::new();
    for message in messages {
        out.extend(answer.feed(message)?);
    }
    out.extend(answer.finish()?);
    Ok(String::from_utf8(out).unwrap())
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn reason(messages: &[&[u8]]) -> String {
    match written(messages.iter().copied()) {
        Err(Error::Malformed { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

fn responses() -> impl Strategy<Value = PagesResponse> {
    let number = || prop_oneof![0..3_u64, any::<u64>()];
    let count =
        move || (number(), number()).prop_map(|(sessions, users)| RoleCount { sessions, users });
    let pages = move || {
        let roles = prop::array::uniform4(prop::option::of(count()));
        let url = prop_oneof![
            any::<String>(),
            "[ -~]{0,40}",
            "[\"\\\\/\u{0}-\u{20}\u{7f}]{0,9}"
        ];
        let page = (url, roles).prop_map(|(url, [first, assist, landing, landed])| Page {
            url,
            first,
            assist,
            landing,
            landed,
        });
        vec(page, 0..5)
    };
    let instant = (-62_135_596_800_i64..=253_402_300_799, 0..1_000_000_000)
        .prop_map(|(seconds, nanos)| Timestamp { seconds, nanos });
    let data = (any::<String>(), prop::option::of(instant.clone())).prop_map(
        |(version, complete_through)| DataState {
            version,
            complete_through,
        },
    );
    let hint = (prop::array::uniform3(any::<String>()), number()).prop_map(
        |([field, value, sentence], sessions)| Hint {
            field,
            value,
            sessions,
            sentence,
        },
    );
    let ends = prop::array::uniform2(prop::option::of(instant));
    let kinds = prop::array::uniform6(prop::option::of(count()));
    let balance = kinds.prop_map(
        |[
            included,
            converting,
            dropping_off,
            both,
            blank_converting,
            blank_dropping_off,
        ]| Balance {
            included,
            converting,
            dropping_off,
            both,
            converting_without_views: blank_converting,
            dropping_off_without_views: blank_dropping_off,
        },
    );
    let omitted =
        prop::array::uniform2(number()).prop_map(|[conversions, drop_offs]| OmittedPages {
            conversion_performance: conversions,
            drop_off_performance: drop_offs,
        });
    let beside = (
        prop::option::of(balance),
        prop::option::of(omitted),
        prop::option::of(data),
        vec(hint, 0..3),
    );
    (
        ends,
        prop::array::uniform4(number()),
        pages(),
        pages(),
        beside,
    )
        .prop_map(
            |(
                [start, end],
                totals,
                conversion_performance,
                drop_off_performance,
                (balance, omitted, data, hints),
            )| {
                PagesResponse {
                    time_frame: Some(TimeFrame { start, end }),
                    summary_totals: Some(SummaryTotals {
                        total_sessions: totals[0],
                        total_users: totals[1],
                        total_conversion_events: totals[2],
                        total_conversion_users: totals[3],
                    }),
                    conversion_performance,
                    drop_off_performance,
                    message: String::new(),
                    data,
                    balance,
                    omitted,
                    hints,
                }
            },
        )
}

proptest! {
    #![proptest_config(support::config())]

    #[test]
    fn any_answer_is_what_a_json_library_reads(response in responses()) {
        let text = written([&response.encode_to_vec()[..]]).unwrap();
        prop_assert_eq!(parsed(&text), expected(&response));
        for page in response.conversion_performance.iter().chain(&response.drop_off_performance) {
            let url = serde_json::to_string(&page.url).unwrap();
            let has_url = text.contains(&format!("{{\"url\":{url},"));
            prop_assert!(has_url, "{} in {}", url, text);
        }
    }

    #[test]
    fn a_stream_says_what_the_whole_says(world in worlds(), max_bytes in 0_usize..400) {
        for question in support::questions() {
            let mut counted = tallies::named(tallies::tally_of(&world, question));
            let whole = tallies::whole(&mut counted);
            let mut answer = counted.answer(START_MS, END_MS).unwrap();
            let text = written([&whole[..]]).unwrap();
            let response = PagesResponse::decode(&whole[..]).unwrap();
            prop_assert_eq!(parsed(&text), expected(&response));
            let mut next = || counted.read(|snapshot| answer.next_message(snapshot, max_bytes));
            let messages: Vec<_> = std::iter::from_fn(&mut next).collect();
            prop_assert_eq!(written(messages.iter().map(|message| &message[..])).unwrap(), text);
        }
    }

    #[test]
    fn damaged_messages_never_panic(
        response in responses(),
        damages in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..6),
    ) {
        let mut message = response.encode_to_vec();
        for (index, byte, damage) in damages {
            let at = index.index(message.len().max(1));
            match damage {
                0 if at < message.len() => message[at] = byte,
                1 if at < message.len() => message[at] ^= 1 << (byte % 8),
                2 => message.insert(at, byte),
                _ => drop(message.drain(at..message.len().min(at + usize::from(byte)))),
            }
        }
        for message in [&message[..], &message[..message.len() / 2]] {
            if let Ok(text) = written([message]) {
                // What is accepted is accepted by a protobuf library too, and means the same.
                parsed(&text);
                if let Ok(response) = PagesResponse::decode(message) {
                    prop_assert_eq!(parsed(&text), expected(&response));
                }
            }
        }
    }

    #[test]
    fn noise_never_panics(messages in vec(vec(any::<u8>(), 0..40), 0..4)) {
        if let Ok(text) = written(messages.iter().map(|message| &message[..])) {
            parsed(&text);
        }
    }
}

fn head() -> PagesResponse {
    let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
    PagesResponse {
        time_frame: Some(TimeFrame {
            start: at(1_751_328_000, 0),
            end: at(1_754_006_399, 500_000_000),
        }),
        summary_totals: Some(SummaryTotals {
            total_sessions: 1289,
            total_users: 1075,
            total_conversion_events: 423,
            total_conversion_users: u64::MAX,
        }),
        ..PagesResponse::default()
    }
}

fn rows(conversions: &[&str], drop_offs: &[&str]) -> PagesResponse {
    let page = |url: &&str| Page {
        url: (*url).to_owned(),
        assist: Some(RoleCount {
            sessions: 134,
            users: 127,
        }),
        ..Page::default()
    };
    PagesResponse {
        conversion_performance: conversions.iter().map(page).collect(),
        drop_off_performance: drop_offs.iter().map(page).collect(),
        ..PagesResponse::default()
    }
}

const HEAD: &str = concat!(
    r#"{"time_frame":{"start":"2025-07-01T00:00:00Z","end":"2025-07-31T23:59:59.500Z"},"#,
    r#""summary_totals":{"total_sessions":1289,"total_users":1075,"total_conversion_events":423,"#,
    r#""total_conversion_users":18446744073709551615},"conversion_performance":["#,
);

#[test]
fn the_shape_is_exact() {
    let (head, both) = (
        head().encode_to_vec(),
        rows(&["/a", "/\"\\\n\u{1}é"], &["/"]),
    );
    let mut answer = JsonAnswer::default();
    assert_eq!(answer.feed(b""), Ok(vec![]));
    assert_eq!(answer.feed(&head).unwrap(), HEAD.as_bytes());
    let counts = |names: [&str; 3]| {
        format!(
            concat!(
                r#","{}":{{"sessions":0,"users":0}},"{}":{{"sessions":134,"users":127}},"#,
                r#""{}":{{"sessions":0,"users":0}}}}"#
            ),
            names[0], names[1], names[2]
        )
    };
    let conversion = counts([
        "conversion",
        "conversion_assist",
        "landing_assisted_conversion",
    ]);
    let drop_off = counts(["drop_off", "drop_off_assist", "landing_assisted_drop_off"]);
    let rows = format!(
        r#"{{"url":"/a"{conversion},{{"url":"/\"\\\n\u0001é"{conversion}],"drop_off_performance":[{{"url":"/"{drop_off}"#
    );
    assert_eq!(
        String::from_utf8(answer.feed(&both.encode_to_vec()).unwrap()).unwrap(),
        rows
    );
    assert_eq!(answer.feed(b""), Ok(vec![]));
    assert_eq!(answer.finish().unwrap(), b"]}");
    assert!(answer.finish().is_err());
}

#[test]
fn arrays_may_be_empty() {
    let none = written([&head().encode_to_vec()[..]]).unwrap();
    assert_eq!(none, format!(r#"{HEAD}],"drop_off_performance":[]}}"#));
}

#[test]
fn no_data_is_a_message() {
    let response = PagesResponse {
        message: "No page data found for the given parameters.".to_owned(),
        ..PagesResponse::default()
    };
    assert_eq!(
        written([&response.encode_to_vec()[..]]).unwrap(),
        r#"{"message":"No page data found for the given parameters."}"#
    );
}

#[test]
fn order_is_kept() {
    let head = head().encode_to_vec();
    let (conversion, drop_off) = (rows(&["/a"], &[]), rows(&[], &["/a"]));
    let (conversion, drop_off) = (conversion.encode_to_vec(), drop_off.encode_to_vec());
    let message = PagesResponse {
        message: "None.".to_owned(),
        ..PagesResponse::default()
    }
    .encode_to_vec();
    let early = "a row comes before the head is complete";
    assert_eq!(reason(&[&conversion, &head]), early);
    assert_eq!(reason(&[&drop_off]), early);
    assert_eq!(
        reason(&[&head, &drop_off, &conversion]),
        "a row of conversion_performance comes after drop_off_performance"
    );
    assert_eq!(
        reason(&[&head, &head]),
        "field 1 of the head comes after the head"
    );
    assert_eq!(
        reason(&[&head, &message]),
        "field 5 of the head comes after the head"
    );
    assert_eq!(reason(&[&message, &drop_off]), early);
    assert_eq!(
        reason(&[&[&head[..], &message].concat()]),
        "an answer has a message or pages, not both"
    );
    assert_eq!(reason(&[]), "the answer ends before its head is complete");
}

#[test]
fn a_refusal_stays() {
    let mut answer = JsonAnswer::default();
    let refusal = answer.feed(b"\x0a\x05\x00").unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "answer stream, byte 0: a field of 5 bytes where 1 are left"
    );
    assert_eq!(answer.feed(&head().encode_to_vec()), Err(refusal.clone()));
    assert_eq!(answer.finish(), Err(refusal));
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    let refused = |bytes: &[u8]| reason(&[&head().encode_to_vec(), bytes]);
    assert_eq!(refused(b"\x1a"), "the message ends inside a number");
    assert_eq!(refused(b"\x1a\x80"), "the message ends inside a number");
    assert_eq!(refused(&[0xff; 11]), "a number of more than 64 bits");
    assert_eq!(
        refused(b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        format!("a field of {} bytes where 0 are left", u64::MAX)
    );
    assert_eq!(refused(b"\x00"), "a field of number 0");
    assert_eq!(refused(b"\x1b"), "field 3 has wire type 3");
    assert_eq!(refused(b"\x18\x00"), "field 3 is no message or string");
    assert_eq!(refused(b"\x1a\x03\x0a\x01\xff"), "a string is not UTF-8");
    assert_eq!(refused(b"\x1a\x04\x12\x02\x0a\x00"), "field 1 is no number");
    let out_of_time = |seconds, nanos| {
        let mut response = head();
        response.time_frame = Some(TimeFrame {
            start: Some(Timestamp { seconds, nanos }),
            end: None,
        });
        reason(&[&response.encode_to_vec()])
    };
    assert_eq!(
        out_of_time(253_402_300_800, 0),
        "253402300800 s and 0 ns are no time"
    );
    assert_eq!(out_of_time(0, -1), "0 s and -1 ns are no time");
}

#[test]
fn unknown_fields_are_skipped() {
    let unknown = b"\x70\x01\x79\0\0\0\0\0\0\0\0\x7d\0\0\0\0\x82\x01\x02ab";
    let row = [&b"\x22\x1b\x0a\x01/"[..], unknown, b"\x12\x02\x08\x07"].concat();
    let row = [
        &row[..1],
        &[u8::try_from(row.len() - 2).unwrap()],
        &row[2..],
    ]
    .concat();
    let text = written([&head().encode_to_vec()[..], unknown, &row]).unwrap();
    assert!(
        text.contains(r#"{"url":"/","drop_off":{"sessions":7,"users":0}"#),
        "{text}"
    );
}

/// A page without a URL takes two bytes, and its JSON some 130.
#[test]
fn the_text_is_in_proportion_to_the_bytes() {
    let head = head().encode_to_vec();
    let rows: Vec<u8> = [0x1a, 0x00].into_iter().cycle().take(20_000).collect();
    let controls = rows_of_control_characters();
    for message in [rows, controls] {
        let mut answer = JsonAnswer::default();
        answer.feed(&head).unwrap();
        let out = answer.feed(&message).unwrap();
        assert!(out.capacity() <= 256 * message.len(), "{}", out.capacity());
    }
}

fn rows_of_control_characters() -> Vec<u8> {
    rows(&[&"\u{1}".repeat(10_000)], &[]).encode_to_vec()
}

#[test]
fn names_with_odd_bytes_stay_json() {
    let mut tally = Tally::new(Scope::Any, false);
    let one = || Values::U64(vec![1]);
    let columns = ["user_key", "landing_key", "exit_key", "before_exit_key"];
    let session = block(&columns.map(|name| (name, one())));
    tally.feed_sessions(&session).unwrap();
    tally.finish_unit().unwrap();
    let name = [
        ("page_key", one()),
        ("url", Values::Text(vec![b"\xff\"".to_vec()])),
    ];
    let mut counted = tally.take().unwrap();
    counted.feed_pages(&block(&name)).unwrap();
    let whole = tallies::whole(&mut counted);
    let text = written([&whole[..]]).unwrap();
    assert!(text.contains("{\"url\":\"\u{fffd}\\\"\","), "{text}");
}
