//! The answer as JSON, from the messages of the contract, one after another.
//!
//! The messages may come from anywhere, so nothing in them is trusted. Every length is checked against the bytes that
//! are there, and the JSON of a message is never larger than in proportion to it.

use crate::answer::fields::{data, hint, page, response, time_frame, timestamp};
use crate::error::{Error, Fault, Result};
use crate::roles::{MOST_ROLES, Side};
use crate::wire::{Fields, each_field};

/// The sessions and users of one role.
type Count = [u64; 2];

/// Names of `SummaryTotals`, in the order of its fields.
const TOTALS: [&str; 4] = [
    "total_sessions",
    "total_users",
    "total_conversion_events",
    "total_conversion_users",
];

/// Names of `Balance`, in the order of its fields.
const BALANCE: [&str; 6] = [
    "included",
    "converting",
    "dropping_off",
    "both",
    "converting_without_views",
    "dropping_off_without_views",
];

/// The text before the counts of the sessions that landed on a page.
const LANDING_LABEL: &[u8] = b",\"landing\":{\"sessions\":";

/// How far the JSON is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is written. The head is being collected.
    Head,
    /// The head and some rows of a side are written.
    Rows(Side),
    /// A message is written, and no rows follow.
    Message,
    Finished,
}

/// Writes one answer as JSON, from the message of `Pages` or from the messages of `StreamPages`.
#[derive(Debug)]
pub struct JsonAnswer {
    state: State,
    head: Head,
    tail: Tail,
    /// Whether a row of the side is written.
    follows: bool,
    /// The text before the counts of each role, for each side.
    labels: [Vec<String>; 2],
    position: u64,
    failed: Option<Error>,
}

/// Everything but the rows.
#[derive(Debug, Default)]
struct Head {
    time_frame: Option<[Timestamp; 2]>,
    totals: Option<[u64; 4]>,
    message: String,
}

/// What may stand before and after the rows in the messages, and comes after them in the JSON.
#[derive(Debug, Default)]
struct Tail {
    data: Option<Data>,
    balance: Option<[Count; 6]>,
    omitted: Option<[u64; 2]>,
    hints: Vec<Hint>,
}

#[derive(Debug, Default)]
struct Data {
    version: String,
    complete_through: Timestamp,
}

#[derive(Debug, Default)]
struct Hint {
    field: String,
    value: String,
    sessions: u64,
    sentence: String,
}

#[derive(Debug, Default, Clone, Copy)]
struct Timestamp {
    seconds: i64,
    nanos: i64,
}

#[derive(Debug, Default)]
struct Page<'a> {
    url: &'a str,
    roles: [Count; MOST_ROLES],
    landing: Option<Count>,
}

impl Default for JsonAnswer {
    fn default() -> Self {
        let label = |name| format!(",\"{name}\":{{\"sessions\":");
        Self {
            state: State::Head,
            head: Head::default(),
            tail: Tail::default(),
            follows: false,
            labels: Side::ALL
                .map(|side| side.roles().iter().map(|role| label(role.name())).collect()),
            position: 0,
            failed: None,
        }
    }
}

impl JsonAnswer {
    /// Takes the next message. Returns the bytes that it adds to the JSON, if any.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] for bytes that are no such message, for rows before the head or out of order, and for
    /// anything after the end. The answer can't go on after that: further calls return the same error.
    pub fn feed(&mut self, message: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.guarded(|answer| answer.take(message, &mut out))?;
        self.position += message.len() as u64;
        Ok(out)
    }

    /// Returns the closing bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] where the head is not complete. After a failed feed, its error.
    pub fn finish(&mut self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.guarded(|answer| {
            match answer.state {
                State::Head => return Err("the answer ends before its head is complete".into()),
                State::Rows(side) => {
                    if side == Side::Conversion {
                        begin_drop_offs(&mut out);
                    }
                    out.push(b']');
                    answer.tail.put(&mut out)?;
                }
                State::Message => answer.tail.put(&mut out)?,
                State::Finished => return Err("the answer is finished".into()),
            }
            answer.state = State::Finished;
            Ok(())
        })?;
        Ok(out)
    }

    fn guarded(&mut self, step: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        step(self).map_err(|reason| {
            let error = Error::Malformed {
                stream: "answer",
                at: self.position,
                reason,
            };
            self.failed = Some(error.clone());
            error
        })
    }

    fn take(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.state == State::Finished && !message.is_empty() {
            return Err("the answer is finished".into());
        }
        // A row is about three times as long in JSON.
        out.reserve(message.len().saturating_mul(3));
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                response::TIME_FRAME => {
                    let ends = self.head_part(number)?.time_frame.get_or_insert_default();
                    each_field(value.bytes(number)?, |number, value| {
                        match number {
                            time_frame::START => ends[0].read(value.bytes(number)?)?,
                            time_frame::END => ends[1].read(value.bytes(number)?)?,
                            _ => {}
                        }
                        Ok(())
                    })?;
                }
                response::SUMMARY_TOTALS => {
                    let totals = self.head_part(number)?.totals.get_or_insert_default();
                    read_numbers(value.bytes(number)?, totals)?;
                }
                response::CONVERSION_ROW => {
                    self.row(Side::Conversion, value.bytes(number)?, out)?;
                }
                response::DROP_OFF_ROW => self.row(Side::DropOff, value.bytes(number)?, out)?,
                response::MESSAGE => {
                    let text = utf8(value.bytes(number)?)?;
                    text.clone_into(&mut self.head_part(number)?.message);
                }
                response::DATA => {
                    let data = self.tail.data.get_or_insert_default();
                    data.read(value.bytes(number)?)?;
                }
                response::HINT => self.tail.hints.push(Hint::read(value.bytes(number)?)?),
                response::BALANCE => {
                    let balance = self.tail.balance.get_or_insert_default();
                    each_field(value.bytes(number)?, |number, value| {
                        if let Some(count) = balance.get_mut(number as usize - 1) {
                            read_numbers(value.bytes(number)?, count)?;
                        }
                        Ok(())
                    })?;
                }
                response::OMITTED => {
                    let omitted = self.tail.omitted.get_or_insert_default();
                    read_numbers(value.bytes(number)?, omitted)?;
                }
                _ => {}
            }
        }
        self.end_of_head(out)
    }

    /// The head, unless it is written already.
    fn head_part(&mut self, number: u32) -> Result<&mut Head, Fault> {
        if self.state == State::Head {
            Ok(&mut self.head)
        } else {
            Err(format!("field {number} of the head comes after the head"))
        }
    }

    /// Writes the head once it is complete.
    fn end_of_head(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.state != State::Head {
            return Ok(());
        }
        let Head {
            time_frame,
            totals,
            message,
        } = &self.head;
        if !message.is_empty() {
            if time_frame.is_some() || totals.is_some() {
                return Err("an answer has a message or pages, not both".into());
            }
            out.extend_from_slice(b"{\"message\":\"");
            put_text(out, message);
            out.push(b'"');
            self.state = State::Message;
        } else if let (Some([start, end]), Some(totals)) = (time_frame, totals) {
            out.extend_from_slice(b"{\"time_frame\":{\"start\":\"");
            start.put(out)?;
            out.extend_from_slice(b"\",\"end\":\"");
            end.put(out)?;
            out.extend_from_slice(b"\"},\"summary_totals\":");
            for (separator, (name, total)) in separated(TOTALS.iter().zip(totals)) {
                out.push(separator);
                put_name(out, name);
                put_number(out, *total);
            }
            out.push(b'}');
            begin_rows(Side::Conversion, out);
            self.state = State::Rows(Side::Conversion);
        }
        Ok(())
    }

    fn row(&mut self, side: Side, message: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        self.end_of_head(out)?;
        match (self.state, side) {
            (State::Rows(Side::Conversion), Side::DropOff) => {
                begin_drop_offs(out);
                self.state = State::Rows(side);
                self.follows = false;
            }
            (State::Rows(Side::DropOff), Side::Conversion) => {
                return Err(format!(
                    "a row of {} comes after {}",
                    Side::Conversion.name(),
                    Side::DropOff.name()
                ));
            }
            (State::Rows(_), _) => {}
            _ => return Err("a row comes before the head is complete".into()),
        }
        let page = Page::read(side, message)?;
        let opening = if self.follows {
            ",{\"url\":\""
        } else {
            "{\"url\":\""
        };
        out.extend_from_slice(opening.as_bytes());
        put_text(out, page.url);
        out.push(b'"');
        for (label, count) in self.labels[side as usize].iter().zip(page.roles) {
            put_count(out, label.as_bytes(), count);
        }
        if let Some(landing) = page.landing {
            put_count(out, LANDING_LABEL, landing);
        }
        out.push(b'}');
        self.follows = true;
        Ok(())
    }
}

#[inline]
fn put_count(out: &mut Vec<u8>, label: &[u8], [sessions, users]: Count) {
    out.extend_from_slice(label);
    put_number(out, sessions);
    out.extend_from_slice(b",\"users\":");
    put_number(out, users);
    out.push(b'}');
}

fn begin_rows(side: Side, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(side.name().as_bytes());
    out.extend_from_slice(b"\":[");
}

fn begin_drop_offs(out: &mut Vec<u8>) {
    out.push(b']');
    begin_rows(Side::DropOff, out);
}

impl Tail {
    /// Writes it, and the end of the answer.
    fn put(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if let Some(data) = &self.data {
            out.extend_from_slice(b",\"data\":{\"version\":\"");
            put_text(out, &data.version);
            out.extend_from_slice(b"\",\"complete_through\":\"");
            data.complete_through.put(out)?;
            out.extend_from_slice(b"\"}");
        }
        if let Some(balance) = &self.balance {
            out.extend_from_slice(b",\"balance\":");
            for (separator, (name, &count)) in separated(BALANCE.iter().zip(balance)) {
                out.push(separator);
                put_name(out, name);
                put_count(out, b"{\"sessions\":", count);
            }
            out.push(b'}');
        }
        if let Some(omitted) = &self.omitted {
            out.extend_from_slice(b",\"omitted\":");
            for (separator, (side, omitted)) in separated(Side::ALL.iter().zip(omitted)) {
                out.push(separator);
                put_name(out, side.name());
                put_number(out, *omitted);
            }
            out.push(b'}');
        }
        for (nth, hint) in self.hints.iter().enumerate() {
            out.extend_from_slice(if nth == 0 { b",\"hints\":[" } else { b"," });
            hint.put(out);
        }
        if !self.hints.is_empty() {
            out.push(b']');
        }
        out.push(b'}');
        Ok(())
    }
}

impl Data {
    fn read(&mut self, message: &[u8]) -> Result<(), Fault> {
        each_field(message, |number, value| {
            match number {
                data::VERSION => utf8(value.bytes(number)?)?.clone_into(&mut self.version),
                data::COMPLETE_THROUGH => self.complete_through.read(value.bytes(number)?)?,
                _ => {}
            }
            Ok(())
        })
    }
}

impl Hint {
    fn read(message: &[u8]) -> Result<Self, Fault> {
        let mut hint = Self::default();
        each_field(message, |number, value| {
            match number {
                hint::FIELD => utf8(value.bytes(number)?)?.clone_into(&mut hint.field),
                hint::VALUE => utf8(value.bytes(number)?)?.clone_into(&mut hint.value),
                hint::SESSIONS => hint.sessions = value.number(number)?,
                hint::SENTENCE => utf8(value.bytes(number)?)?.clone_into(&mut hint.sentence),
                _ => {}
            }
            Ok(())
        })?;
        Ok(hint)
    }

    fn put(&self, out: &mut Vec<u8>) {
        let texts = [
            ("{\"field\":\"", &self.field),
            ("\",\"value\":\"", &self.value),
        ];
        for (label, text) in texts {
            out.extend_from_slice(label.as_bytes());
            put_text(out, text);
        }
        out.extend_from_slice(b"\",\"sessions\":");
        put_number(out, self.sessions);
        out.extend_from_slice(b",\"sentence\":\"");
        put_text(out, &self.sentence);
        out.extend_from_slice(b"\"}");
    }
}

/// Gives each item with what stands before it in an object.
fn separated<T>(items: impl Iterator<Item = T>) -> impl Iterator<Item = (u8, T)> {
    std::iter::once(b'{')
        .chain(std::iter::repeat(b','))
        .zip(items)
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

impl<'a> Page<'a> {
    #[inline]
    fn read(side: Side, message: &'a [u8]) -> Result<Self, Fault> {
        let mut page = Self::default();
        each_field(message, |number, value| {
            if number == page::URL {
                page.url = utf8(value.bytes(number)?)?;
            }
            if number == page::LANDING {
                let landing = page.landing.get_or_insert_default();
                read_numbers(value.bytes(number)?, landing)?;
            }
            for (role, count) in side.roles().iter().zip(&mut page.roles) {
                if number == role.field() {
                    read_numbers(value.bytes(number)?, count)?;
                }
            }
            Ok(())
        })?;
        Ok(page)
    }
}

impl Timestamp {
    /// From year 1 to year 9999, as the message type promises.
    const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

    fn read(&mut self, message: &[u8]) -> Result<(), Fault> {
        each_field(message, |number, value| {
            match number {
                timestamp::SECONDS => self.seconds = value.number(number)?.cast_signed(),
                timestamp::NANOS => self.nanos = value.number(number)?.cast_signed(),
                _ => {}
            }
            Ok(())
        })
    }

    fn put(self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Self { seconds, nanos } = self;
        if !Self::SECONDS.contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
            return Err(format!("{seconds} s and {nanos} ns are no time"));
        }
        let (year, month, day) = date(seconds.div_euclid(86_400));
        let second = seconds.rem_euclid(86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let time = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
        out.extend_from_slice(time.as_bytes());
        if let millis @ 1.. = nanos / 1_000_000 {
            out.extend_from_slice(format!(".{millis:03}").as_bytes());
        }
        out.push(b'Z');
        Ok(())
    }
}

/// Year, month and day of a day, counted from 1970-01-01.
fn date(day: i64) -> (i64, i64, i64) {
    // In years that begin on 1 March, the leap day is the last day of its year. Days are counted from 0000-03-01, and
    // every 400 years are the same.
    const FROM_YEAR_0: i64 = 719_468;
    const DAYS_OF_400_YEARS: i64 = 146_097;
    let day = day + FROM_YEAR_0;
    let (span, day) = (
        day.div_euclid(DAYS_OF_400_YEARS),
        day.rem_euclid(DAYS_OF_400_YEARS),
    );
    // There is a leap day every 4 years (1461 days), but not in the last of every 100 years (36,524 days).
    let year = (day - day / 1460 + day / 36_524 - day / (DAYS_OF_400_YEARS - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // From March on, every five months have 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (span * 400 + year + next_year, month, day)
}

/// Appends a text as it is written between quotation marks.
#[inline]
fn put_text(out: &mut Vec<u8>, text: &str) {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    // There is no early exit, so that many bytes are looked at in one step. Most URLs are plain.
    if text
        .bytes()
        .fold(true, |plain, byte| plain & is_plain(byte))
    {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            _ if byte < b' ' => {
                let digit = b"0123456789abcdef"[usize::from(byte & 15)];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), digit]);
                continue;
            }
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
}

#[inline]
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        *digit += (number % 10).to_le_bytes()[0];
        number /= 10;
        start = place;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Reads a message whose fields are numbers: 1, 2, 3, …
#[inline]
fn read_numbers(message: &[u8], numbers: &mut [u64]) -> Result<(), Fault> {
    each_field(message, |number, value| {
        if let Some(place) = numbers.get_mut(number as usize - 1) {
            *place = value.number(number)?;
        }
        Ok(())
    })
}

#[inline]
fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| "a string is not UTF-8".into())
}
