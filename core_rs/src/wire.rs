//! The wire formats: varints and protobuf fields, read and written.
//!
//! Protobuf and ClickHouse's Native format write such numbers alike: seven bits in a byte, the lowest first; the
//! highest bit of a byte says that another byte follows.

use crate::error::{Fault, Result};

/// Why no varint was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoVarint {
    /// It goes on after the bytes.
    Cut,
    /// It has more than 64 bits.
    TooLong,
}

/// Takes a varint from the front of `input`.
#[inline]
pub(crate) fn take_varint(input: &mut &[u8]) -> Result<u64, NoVarint> {
    if let [byte @ ..0x80, rest @ ..] = *input {
        *input = rest;
        return Ok(u64::from(*byte));
    }
    take_long_varint(input)
}

fn take_long_varint(input: &mut &[u8]) -> Result<u64, NoVarint> {
    let mut value = 0;
    for (place, &byte) in (0..).zip(*input) {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if place > 9 || (place == 9 && bits > 1) {
            return Err(NoVarint::TooLong);
        }
        value |= bits << (7 * place);
        if byte < 0x80 {
            *input = &input[place + 1..];
            return Ok(value);
        }
    }
    Err(NoVarint::Cut)
}

#[inline]
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn varint_len(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// What the lowest three bits of a field's tag say of its value.
mod wire_type {
    pub const VARINT: u64 = 0;
    pub const FIXED_64: u64 = 1;
    pub const LENGTH_DELIMITED: u64 = 2;
    pub const FIXED_32: u64 = 5;
}

/// Writes a varint field, or nothing where the value is zero.
#[inline]
pub(crate) fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(field) << 3 | wire_type::VARINT);
        put_varint(out, value);
    }
}

/// Writes a length-delimited field.
#[inline]
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_header(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

/// Writes tag and length of a field; its content must follow.
#[inline]
pub(crate) fn put_header(out: &mut Vec<u8>, field: u32, size: usize) {
    put_varint(out, u64::from(field) << 3 | wire_type::LENGTH_DELIMITED);
    put_varint(out, size as u64);
}

/// Size of a length-delimited field of a number up to 15, whose tag is one byte.
pub(crate) fn bytes_len(size: usize) -> usize {
    1 + varint_len(size as u64) + size
}

/// Size of a varint field of a number up to 15, whose tag is one byte.
pub(crate) fn number_len(value: u32) -> usize {
    if value == 0 {
        0
    } else {
        1 + varint_len(u64::from(value))
    }
}

/// The value of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    /// A varint.
    Number(u64),
    /// A string or a message.
    Bytes(&'a [u8]),
    /// A value of fixed width: no field of the contract has one.
    Other,
}

impl<'a> Value<'a> {
    /// The string or message of field `number`.
    #[inline]
    pub(crate) fn bytes(self, number: u32) -> Result<&'a [u8], Fault> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(format!("field {number} is no message or string")),
        }
    }

    /// The number of field `number`.
    #[inline]
    pub(crate) fn number(self, number: u32) -> Result<u64, Fault> {
        match self {
            Self::Number(value) => Ok(value),
            _ => Err(format!("field {number} is no number")),
        }
    }
}

/// The fields of a message that are still to be read.
///
/// Every length is checked against the bytes that are there.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// The number and the value of the next field.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Fault> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3)
            .ok()
            .filter(|number| (1..1 << 29).contains(number))
            .ok_or_else(|| format!("a field of number {}", tag >> 3))?;
        let value = match tag & 7 {
            wire_type::VARINT => Value::Number(self.varint()?),
            wire_type::FIXED_64 => self.bytes(8).map(|_| Value::Other)?,
            wire_type::LENGTH_DELIMITED => {
                let length = self.varint()?;
                Value::Bytes(self.bytes(length)?)
            }
            wire_type::FIXED_32 => self.bytes(4).map(|_| Value::Other)?,
            other => return Err(format!("field {number} has wire type {other}")),
        };
        Ok(Some((number, value)))
    }

    #[inline]
    fn bytes(&mut self, length: u64) -> Result<&'a [u8], Fault> {
        let parts = usize::try_from(length)
            .ok()
            .and_then(|length| self.0.split_at_checked(length));
        let (bytes, rest) = parts
            .ok_or_else(|| format!("a field of {length} bytes where {} are left", self.0.len()))?;
        self.0 = rest;
        Ok(bytes)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Fault> {
        take_varint(&mut self.0).map_err(|reason| match reason {
            NoVarint::Cut => "the message ends inside a number".into(),
            NoVarint::TooLong => "a number of more than 64 bits".into(),
        })
    }
}

/// Calls `read` with the number and the value of each field of a message.
#[inline]
pub(crate) fn each_field<'a>(
    message: &'a [u8],
    mut read: impl FnMut(u32, Value<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next()? {
        read(number, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers at which a varint grows by a byte, and their neighbours.
    fn numbers() -> impl Iterator<Item = u64> {
        let powers = (0..64).map(|bits| 1_u64 << bits);
        powers.flat_map(|power| [power - 1, power, power | 1, !power])
    }

    #[test]
    fn a_varint_is_read_as_it_was_written_and_no_sooner() {
        for number in numbers() {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            assert_eq!(bytes.len(), varint_len(number), "{number}");
            for cut in 0..bytes.len() {
                let mut input = &bytes[..cut];
                assert_eq!(take_varint(&mut input), Err(NoVarint::Cut), "{number}");
                assert_eq!(input.len(), cut, "nothing is taken");
            }
            bytes.push(0xff);
            let mut input = &bytes[..];
            assert_eq!(take_varint(&mut input), Ok(number));
            assert_eq!(input, [0xff]);
        }
    }

    #[test]
    fn a_varint_has_64_bits() {
        let nine = [0xff; 9];
        for (last, value) in [
            (&[0x00][..], Ok(u64::MAX >> 1)),
            (&[0x01], Ok(u64::MAX)),
            (&[0x02], Err(NoVarint::TooLong)),
            (&[0x80, 0x00], Err(NoVarint::TooLong)),
        ] {
            let bytes = [&nine, last].concat();
            assert_eq!(take_varint(&mut &bytes[..]), value, "{last:x?}");
        }
    }

    #[test]
    fn sizes_are_those_of_the_fields() {
        for number in numbers().filter_map(|number| u32::try_from(number).ok()) {
            let mut out = Vec::new();
            put_number(&mut out, 15, u64::from(number));
            assert_eq!(out.len(), number_len(number), "{number}");
        }
        for size in [0, 1, 127, 128, 16_383, 16_384] {
            let mut out = Vec::new();
            put_bytes(&mut out, 15, &vec![7; size]);
            assert_eq!(out.len(), bytes_len(size), "{size}");
        }
    }
}
