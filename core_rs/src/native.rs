//! A resumable reader of ClickHouse's `Native` format (revision 0).
//!
//! A block is a count of columns and a count of rows (varuints), then for each column its name, its
//! type and its data. Chunks may cut a block anywhere. Whatever is whole goes into typed columns at
//! once; only an element that a chunk has cut is carried over, so no byte is looked at twice however
//! small the chunks are, and no buffer grows ahead of the bytes that really came: a count in a
//! header is a claim, and memory is given to data, not to claims.

use crate::error::{Error, Fault, Result, Stop};
use crate::wire::{NoVarint, take_varint};

/// Columns of one block. Also what tells an error text in place of a block early on.
pub const MAX_COLUMNS: u64 = 16;
/// Rows of one block.
pub const MAX_ROWS: u64 = 1 << 22;
/// Bytes of one column's name or type.
pub const MAX_HEADER_TEXT: u64 = 256;
/// Bytes of one string value.
pub const MAX_STRING: u64 = 1 << 20;
/// Bytes of all values of one string column in one block.
pub const MAX_BLOCK_TEXT: u64 = 1 << 30;
/// Elements of one row's array.
pub const MAX_ARRAY: u64 = 1 << 20;
/// Elements of all arrays of one column in one block.
pub const MAX_BLOCK_ELEMENTS: u64 = 1 << 28;

/// How far one step came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    used: usize,
    /// Bytes, counted from the first unused one, without which nothing more can be read;
    /// zero: the item is complete.
    need: usize,
}

/// The values of one column of one block.
pub trait Column {
    /// ClickHouse's name of the type, exactly as the block must carry it.
    fn type_name(&self) -> &'static str;
    /// Forgets the values and keeps the memory.
    fn clear(&mut self);
    /// Takes as many of the `rows` values as `input` holds.
    ///
    /// # Errors
    ///
    /// A sentence on what no column of this type can hold.
    fn read(&mut self, rows: usize, input: &[u8]) -> Result<Progress, Fault>;
    /// How many values there are that need nothing of what follows; 0 where that is not known.
    fn ready(&self) -> usize {
        0
    }
}

/// Numbers of a fixed width.
#[derive(Debug, Default)]
pub struct Fixed<T>(Vec<T>);

impl<T> Fixed<T> {
    /// The values, one a row; empty where an optional column is absent.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.0
    }
}

/// A number, or bytes of a fixed length, as ClickHouse writes it.
pub trait Number: Copy {
    /// The type's name in ClickHouse.
    const TYPE: &'static str;
    /// The name of an array of these.
    const ARRAY_TYPE: &'static str;
    /// Bytes of one value.
    const SIZE: usize;
    /// Appends whole values; bytes of a value that is cut are left alone.
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

/// Strings, as the bytes they are: UTF-8 is a matter for whoever shows them.
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

/// The columns that a stream's blocks carry. Each is declared with `layout!`.
pub trait Layout: Default {
    /// The stream's name in error texts.
    const STREAM: &'static str;
    /// All columns, in the order of the declaration.
    const NAMES: &'static [&'static str];
    /// Those of them that a block may lack.
    const OPTIONAL: &'static [&'static str];
    /// The buffer of the column of that number.
    fn column(&mut self, index: usize) -> Option<&mut dyn Column>;
}

/// Declares a struct of typed columns and makes it a [`Layout`]: a column's name, type and buffer
/// stand in one line and can't disagree.
macro_rules! layout {
    (
        $(#[$doc:meta])*
        $visibility:vis struct $name:ident of $stream:literal {
            $($(#[$field_doc:meta])* $field:ident: $type:ty,)+
        }
        optional { $($optional:ident),* }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        $visibility struct $name {
            $($(#[$field_doc])* pub $field: $type,)+
        }

        impl $crate::native::Layout for $name {
            const STREAM: &'static str = $stream;
            const NAMES: &'static [&'static str] = &[$(stringify!($field)),+];
            const OPTIONAL: &'static [&'static str] = &[$(stringify!($optional)),*];

            fn column(&mut self, index: usize) -> Option<&mut dyn $crate::native::Column> {
                let columns: [&mut dyn $crate::native::Column; Self::NAMES.len()] =
                    [$(&mut self.$field),+];
                columns.into_iter().nth(index)
            }
        }
    };
}
pub(crate) use layout;

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy)]
enum State {
    Columns,
    Rows,
    Name,
    Type(usize),
    Data(usize),
}

/// Reads one stream, chunk by chunk.
#[derive(Debug)]
pub struct Reader<L> {
    block: L,
    state: State,
    columns: u64,
    columns_left: u64,
    rows: usize,
    /// One bit for each column that this block has brought.
    seen: u32,
    /// The beginning of an item that the last chunk cut, and the bytes it takes to go on.
    carry: Vec<u8>,
    need: usize,
    position: u64,
    failed: Option<Error>,
}

impl<L: Layout> Default for Reader<L> {
    fn default() -> Self {
        Self {
            block: L::default(),
            state: State::Columns,
            columns: 0,
            columns_left: 0,
            rows: 0,
            seen: 0,
            carry: Vec::new(),
            need: 0,
            position: 0,
            failed: None,
        }
    }
}

impl<L: Layout> Reader<L> {
    /// Reads on; calls `on_block` with each block that is complete and has rows. One of a single column
    /// may be handed on in parts, as it comes: its rows need not be read twice from distant memory.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] for bytes that are not such a block, and whatever `on_block` refuses
    /// (a reason, made into the same error, or an error). The stream can't be read on after that: further
    /// chunks bring the same error.
    pub fn feed(
        &mut self,
        chunk: &[u8],
        mut on_block: impl FnMut(&L) -> Result<(), Stop>,
    ) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.take(chunk, &mut on_block).map_err(|stop| {
            let error = match stop {
                Stop::Error(error) => error,
                Stop::Malformed(reason) => Error::Malformed {
                    stream: L::STREAM,
                    at: self.position,
                    reason,
                },
            };
            self.failed = Some(error.clone());
            error
        })
    }

    /// Makes sure that the stream stands between two blocks; the next stream may begin.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] inside a block; after a failed feed, its error.
    pub fn finish(&mut self) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if !self.is_between_blocks() {
            return Err(Error::Truncated {
                stream: L::STREAM,
                at: self.position + self.carry.len() as u64,
            });
        }
        self.position = 0;
        Ok(())
    }

    /// Whether no block has begun and no error has occurred.
    #[must_use]
    pub fn is_between_blocks(&self) -> bool {
        self.failed.is_none() && self.carry.is_empty() && matches!(self.state, State::Columns)
    }

    fn take(
        &mut self,
        mut chunk: &[u8],
        on_block: &mut impl FnMut(&L) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        while !chunk.is_empty() {
            if self.carry.is_empty() {
                let progress = self.step(chunk, on_block)?;
                chunk = &chunk[progress.used..];
                if progress.need > chunk.len() {
                    self.carry.extend_from_slice(chunk);
                    self.need = progress.need;
                    break;
                }
            } else {
                // Only what completes the item is copied; the rest is read where it lies.
                let missing = self.need.saturating_sub(self.carry.len());
                let (head, rest) = chunk.split_at(missing.min(chunk.len()));
                self.carry.extend_from_slice(head);
                chunk = rest;
                if self.carry.len() >= self.need {
                    let carry = std::mem::take(&mut self.carry);
                    let progress = self.step(&carry, on_block)?;
                    self.carry = carry;
                    self.carry.drain(..progress.used);
                    self.need = progress.need;
                }
            }
        }
        Ok(())
    }

    /// Reads one item: a count, a name, a type, or as much of a column's data as there is.
    fn step(
        &mut self,
        input: &[u8],
        on_block: &mut impl FnMut(&L) -> Result<(), Stop>,
    ) -> Result<Progress, Stop> {
        let progress = match self.state {
            State::Columns => self.columns(input)?,
            State::Rows => self.row_count(input)?,
            State::Name => self.name(input)?,
            State::Type(column) => self.column_type(column, input)?,
            State::Data(column) => self.data(column, input, on_block)?,
        };
        self.position += progress.used as u64;
        if progress.need == 0 && matches!(self.state, State::Name) && self.columns_left == 0 {
            self.state = State::Columns;
            self.end_of_block(on_block)?;
        }
        Ok(progress)
    }

    fn columns(&mut self, input: &[u8]) -> Result<Progress, Fault> {
        let Item::Whole(count, used) = varuint(input)? else {
            return Ok(cut(input));
        };
        if count > MAX_COLUMNS {
            return Err(format!(
                "a block of {count} columns: at most {MAX_COLUMNS} are accepted"
            ));
        }
        self.columns = count;
        self.columns_left = count;
        self.seen = 0;
        for index in 0..L::NAMES.len() {
            if let Some(column) = self.block.column(index) {
                column.clear();
            }
        }
        self.state = State::Rows;
        Ok(whole(used))
    }

    fn row_count(&mut self, input: &[u8]) -> Result<Progress, Fault> {
        let Item::Whole(count, used) = varuint(input)? else {
            return Ok(cut(input));
        };
        self.rows = usize::try_from(count)
            .ok()
            .filter(|_| count <= MAX_ROWS)
            .ok_or_else(|| format!("a block of {count} rows: at most {MAX_ROWS} are accepted"))?;
        self.state = State::Name;
        Ok(whole(used))
    }

    fn name(&mut self, input: &[u8]) -> Result<Progress, Fault> {
        let (name, used) = match string(input, MAX_HEADER_TEXT)? {
            Item::Whole(name, used) => (name, used),
            Item::Cut(need) => return Ok(Progress { used: 0, need }),
        };
        let index = L::NAMES
            .iter()
            .position(|known| known.as_bytes() == name)
            .ok_or_else(|| format!("unexpected column {}", quoted(name)))?;
        if self.seen & (1 << index) != 0 {
            return Err(format!("column {} comes twice", quoted(name)));
        }
        self.seen |= 1 << index;
        self.state = State::Type(index);
        Ok(whole(used))
    }

    fn column_type(&mut self, index: usize, input: &[u8]) -> Result<Progress, Fault> {
        let (found, used) = match string(input, MAX_HEADER_TEXT)? {
            Item::Whole(found, used) => (found, used),
            Item::Cut(need) => return Ok(Progress { used: 0, need }),
        };
        let expected = self
            .block
            .column(index)
            .map_or("", |column| column.type_name());
        if found != expected.as_bytes() {
            let name = L::NAMES.get(index).unwrap_or(&"");
            return Err(format!(
                "column {name} is {}, not {expected}",
                quoted(found)
            ));
        }
        if self.rows == 0 {
            self.end_of_column();
        } else {
            self.state = State::Data(index);
        }
        Ok(whole(used))
    }

    fn data(
        &mut self,
        index: usize,
        input: &[u8],
        on_block: &mut impl FnMut(&L) -> Result<(), Stop>,
    ) -> Result<Progress, Stop> {
        let rows = self.rows;
        let progress = self.block.column(index).map_or(Ok(whole(0)), |column| {
            column.read(rows, input).map_err(|fault| {
                let name = L::NAMES.get(index).unwrap_or(&"");
                format!("column {name}: {fault}")
            })
        })?;
        if progress.need == 0 {
            self.end_of_column();
        } else if self.columns == 1 {
            self.hand_on(index, on_block)?;
        }
        Ok(progress)
    }

    /// Hands on what there is of a block's only column.
    fn hand_on(
        &mut self,
        index: usize,
        on_block: &mut impl FnMut(&L) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let ready = self.block.column(index).map_or(0, |column| column.ready());
        if ready > 0 {
            self.end_of_block(on_block)?;
            self.rows -= ready;
            if let Some(column) = self.block.column(index) {
                column.clear();
            }
        }
        Ok(())
    }

    fn end_of_column(&mut self) {
        self.columns_left -= 1;
        self.state = State::Name;
    }

    fn end_of_block(
        &mut self,
        on_block: &mut impl FnMut(&L) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        // ClickHouse's own sign of an end without rows.
        if self.seen == 0 && self.rows == 0 {
            return Ok(());
        }
        for (index, name) in L::NAMES.iter().enumerate() {
            if self.seen & (1 << index) == 0 && !L::OPTIONAL.contains(name) {
                return Err(format!("column {name} is missing").into());
            }
        }
        if self.rows == 0 {
            return Ok(());
        }
        on_block(&self.block)
    }
}

/// An item at the beginning of some bytes: it and its size, or how many bytes it takes to know more.
enum Item<T> {
    Whole(T, usize),
    Cut(usize),
}

fn whole(used: usize) -> Progress {
    Progress { used, need: 0 }
}

fn cut(input: &[u8]) -> Progress {
    Progress {
        used: 0,
        need: input.len() + 1,
    }
}

fn varuint(input: &[u8]) -> Result<Item<u64>, Fault> {
    let mut rest = input;
    match take_varint(&mut rest) {
        Ok(value) => Ok(Item::Whole(value, input.len() - rest.len())),
        Err(NoVarint::Cut) => Ok(Item::Cut(input.len() + 1)),
        Err(NoVarint::TooLong) => Err("a count of more than 64 bits".to_owned()),
    }
}

fn string(input: &[u8], limit: u64) -> Result<Item<&[u8]>, Fault> {
    let (length, start) = match varuint(input)? {
        Item::Whole(length, start) => (length, start),
        Item::Cut(need) => return Ok(Item::Cut(need)),
    };
    let length = usize::try_from(length)
        .ok()
        .filter(|_| length <= limit)
        .ok_or_else(|| format!("a string of {length} bytes: at most {limit} are accepted"))?;
    let size = start + length;
    Ok(input
        .get(start..size)
        .map_or(Item::Cut(size), |value| Item::Whole(value, size)))
}

/// Foreign bytes as they may stand in an error text: short, and without control characters.
fn quoted(bytes: &[u8]) -> String {
    const SHOWN: usize = 40;
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    let more = if bytes.len() > SHOWN { "…" } else { "" };
    format!("\"{}{more}\"", shown.escape_debug())
}
