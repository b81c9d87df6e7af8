//! Any bytes as the messages of an answer bring an error or JSON, which is the same for one message as for two.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pageroles_core::JsonAnswer;

fn written(messages: &[&[u8]]) -> Option<Vec<u8>> {
    let mut answer = JsonAnswer::default();
    let mut out = Vec::new();
    for message in messages {
        out.extend(answer.feed(message).ok()?);
    }
    out.extend(answer.finish().ok()?);
    Some(out)
}

fuzz_target!(|input: &[u8]| {
    let [cut, message @ ..] = input else {
        return;
    };
    let (head, rows) = message.split_at(usize::from(*cut).min(message.len()));
    let whole = written(&[message]);
    if let Some(out) = written(&[head, rows]) {
        assert!(std::str::from_utf8(&out).is_ok());
        assert_eq!(Some(out), whole);
    }
});
