//! A stream, chunk by chunk.

use crate::error::{Error, Fault, Result, Stop};
use crate::native::items::{Item, Progress, cut, string, varint, whole};
use crate::native::layout::Layout;

/// Most columns of one block. Text in place of a block (an error of the server) soon exceeds it.
pub const MAX_COLUMNS: u64 = 24;
/// Most rows of one block.
pub const MAX_ROWS: u64 = 1 << 22;
/// Most bytes of one column's name or type.
pub const MAX_HEADER_TEXT: u64 = 256;

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
    /// Rows of all blocks that have begun so far.
    rows_begun: u64,
    /// One bit for each column that this block has brought.
    seen: u32,
    /// The beginning of an item that was cut at the end of the last chunk.
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
            rows_begun: 0,
            seen: 0,
            carry: Vec::new(),
            need: 0,
            position: 0,
            failed: None,
        }
    }
}

impl<L: Layout> Reader<L> {
    /// Reads a chunk. Calls `on_block` with each block that is complete and has rows. A block of one column may come in
    /// parts, so that its rows are used while they are in the cache.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] for bytes that are no such block, and any error of `on_block`. The stream can't go on after
    /// that: further chunks return the same error.
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

    /// Checks that the stream ends between two blocks. The next stream may begin then.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] inside a block. After a failed feed, its error.
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

    /// The number of rows of all streams so far; those of a block count from its begin.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows_begun
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
                // Only the bytes that complete the item are copied.
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

    /// Reads one item: a count, a name, a type, or as much of a column's data as is there.
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
        let Item::Whole(count, used) = varint(input)? else {
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
        let Item::Whole(count, used) = varint(input)? else {
            return Ok(cut(input));
        };
        self.rows = usize::try_from(count)
            .ok()
            .filter(|_| count <= MAX_ROWS)
            .ok_or_else(|| format!("a block of {count} rows: at most {MAX_ROWS} are accepted"))?;
        self.rows_begun += count;
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

    /// Gives `on_block` the values of a block's only column that are complete.
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
        // A block without columns and rows is ClickHouse's sign of an end.
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

/// Foreign bytes for an error text: short, and without control characters.
fn quoted(bytes: &[u8]) -> String {
    const SHOWN: usize = 40;
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    let more = if bytes.len() > SHOWN { "…" } else { "" };
    format!("\"{}{more}\"", shown.escape_debug())
}
