//! The values of a column.

use crate::error::{Fault, Result};
use crate::native::items::{Item, Progress, string};

/// Most bytes of one string value.
pub const MAX_STRING: u64 = 1 << 20;
/// Most bytes of all values of one string column in one block.
pub const MAX_BLOCK_TEXT: u64 = 1 << 30;
/// Most elements of one row's array.
pub const MAX_ARRAY: u64 = 1 << 20;
/// Most elements of all arrays of one column in one block.
pub const MAX_BLOCK_ELEMENTS: u64 = 1 << 28;

/// The values of one column of one block.
pub trait Column {
    /// ClickHouse's name of the type. The block must carry exactly this name.
    fn type_name(&self) -> &'static str;
    /// Forgets the values and keeps the memory.
    fn clear(&mut self);
    /// Takes as many of the `rows` values as `input` holds.
    ///
    /// # Errors
    ///
    /// A sentence that says what a column of this type can't hold.
    fn read(&mut self, rows: usize, input: &[u8]) -> Result<Progress, Fault>;
    /// How many values are complete, whatever follows. 0 where that is not known.
    fn ready(&self) -> usize {
        0
    }
}

/// Numbers of a fixed width.
#[derive(Debug, Default)]
pub struct Fixed<T>(Vec<T>);

impl<T> Fixed<T> {
    /// The values, one for each row. Empty where an optional column is absent.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.0
    }
}

/// A number, or a fixed number of bytes, as ClickHouse writes it.
pub trait Number: Copy {
    /// The type's name in ClickHouse.
    const TYPE: &'static str;
    /// The name of an array of these.
    const ARRAY_TYPE: &'static str;
    /// Bytes of one value.
    const SIZE: usize;
    /// Appends the values that are complete in `bytes`, and ignores the rest.
    fn append(values: &mut Vec<Self>, bytes: &[u8]);
}

macro_rules! number {
    ($type:ty, $name:literal) => {
        impl Number for $type {
            const TYPE: &'static str = $name;
            const ARRAY_TYPE: &'static str = concat!("Array(", $name, ")");
            const SIZE: usize = size_of::<$type>();

            fn append(values: &mut Vec<Self>, bytes: &[u8]) {
                let (whole, _) = bytes.as_chunks::<{ size_of::<$type>() }>();
                values.extend(whole.iter().map(|&value| <$type>::from_le_bytes(value)));
            }
        }
    };
}

number!(u8, "UInt8");
number!(u16, "UInt16");
number!(u32, "UInt32");
number!(u64, "UInt64");
number!(i64, "Int64");

impl Number for [u8; 24] {
    const TYPE: &'static str = "FixedString(24)";
    const ARRAY_TYPE: &'static str = "Array(FixedString(24))";
    const SIZE: usize = 24;

    fn append(values: &mut Vec<Self>, bytes: &[u8]) {
        values.extend_from_slice(bytes.as_chunks().0);
    }
}

impl<T: Number> Column for Fixed<T> {
    fn type_name(&self) -> &'static str {
        T::TYPE
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn read(&mut self, rows: usize, input: &[u8]) -> Result<Progress, Fault> {
        let missing = rows - self.0.len();
        let whole = missing.min(input.len() / T::SIZE);
        let used = whole * T::SIZE;
        T::append(&mut self.0, &input[..used]);
        let need = if whole == missing { 0 } else { T::SIZE };
        Ok(Progress { used, need })
    }

    fn ready(&self) -> usize {
        self.0.len()
    }
}

/// Strings as bytes, which need not be UTF-8.
#[derive(Debug, Default)]
pub struct Strings {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Strings {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        slices(&self.bytes, &self.ends)
    }
}

impl Column for Strings {
    fn type_name(&self) -> &'static str {
        "String"
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn read(&mut self, rows: usize, input: &[u8]) -> Result<Progress, Fault> {
        let mut used = 0;
        while self.ends.len() < rows {
            match string(&input[used..], MAX_STRING)? {
                Item::Whole(value, size) => {
                    let end = to_u32(self.bytes.len() + value.len(), MAX_BLOCK_TEXT)
                        .ok_or_else(|| format!("more than {MAX_BLOCK_TEXT} bytes of strings"))?;
                    self.bytes.extend_from_slice(value);
                    self.ends.push(end);
                    used += size;
                }
                Item::Cut(need) => return Ok(Progress { used, need }),
            }
        }
        Ok(Progress { used, need: 0 })
    }
}

/// Arrays of numbers.
#[derive(Debug, Default)]
pub struct Arrays<T> {
    ends: Vec<u32>,
    values: Fixed<T>,
}

impl<T> Arrays<T> {
    /// Number of arrays.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no array.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The arrays in order.
    pub fn iter(&self) -> impl Iterator<Item = &[T]> {
        slices(&self.values.0, &self.ends)
    }
}

impl<T: Number> Column for Arrays<T> {
    fn type_name(&self) -> &'static str {
        T::ARRAY_TYPE
    }

    fn clear(&mut self) {
        self.ends.clear();
        self.values.clear();
    }

    fn read(&mut self, rows: usize, input: &[u8]) -> Result<Progress, Fault> {
        let missing = rows - self.ends.len();
        let (offsets, _) = input.as_chunks::<8>();
        let offsets = &offsets[..missing.min(offsets.len())];
        let mut last = self.ends.last().map_or(0, |&end| u64::from(end));
        for offset in offsets {
            let end = u64::from_le_bytes(*offset);
            let length = end
                .checked_sub(last)
                .ok_or_else(|| format!("array offsets fall from {last} to {end}"))?;
            if length > MAX_ARRAY {
                return Err(format!(
                    "an array of {length} elements: at most {MAX_ARRAY} are accepted"
                ));
            }
            let end_in_block = u32::try_from(end)
                .ok()
                .filter(|_| end <= MAX_BLOCK_ELEMENTS);
            self.ends.push(end_in_block.ok_or_else(|| {
                format!(
                    "{end} array elements in a block: at most {MAX_BLOCK_ELEMENTS} are accepted"
                )
            })?);
            last = end;
        }
        let used = offsets.len() * 8;
        if offsets.len() < missing {
            return Ok(Progress { used, need: 8 });
        }
        let elements = self.ends.last().map_or(0, |&end| end as usize);
        let values = self.values.read(elements, &input[used..])?;
        Ok(Progress {
            used: used + values.used,
            need: values.need,
        })
    }
}

fn slices<'a, T>(values: &'a [T], ends: &'a [u32]) -> impl Iterator<Item = &'a [T]> {
    let mut start = 0;
    ends.iter().map(move |&end| {
        let slice = &values[start..end as usize];
        start = end as usize;
        slice
    })
}

fn to_u32(length: usize, limit: u64) -> Option<u32> {
    u32::try_from(length)
        .ok()
        .filter(|&length| u64::from(length) <= limit)
}
