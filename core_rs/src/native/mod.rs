//! A resumable reader of ClickHouse's `Native` format (revision 0).
//!
//! A block is a count of columns and a count of rows (varints), then for each column its name, its type and its data. A
//! chunk may end anywhere in a block. Whatever is complete goes into typed columns at once; only an item that was cut
//! waits for the next chunk. So no byte is read twice, however small the chunks are. Allocate for bytes received, never
//! for lengths announced: that keeps memory in proportion to the stream.
//!
//! | module | does |
//! |---|---|
//! | `items` | numbers and strings at the beginning of some bytes, which may be cut |
//! | `columns` | the values of a column |
//! | `layout` | the columns of a stream, declared once |
//! | `reader` | a stream, chunk by chunk → blocks |

mod columns;
mod items;
mod layout;
mod reader;

pub use columns::{
    Arrays, Column, Fixed, MAX_ARRAY, MAX_BLOCK_ELEMENTS, MAX_BLOCK_TEXT, MAX_STRING, Number,
    Strings,
};
pub use items::Progress;
pub use layout::Layout;
pub(crate) use layout::layout;
pub use reader::{MAX_COLUMNS, MAX_HEADER_TEXT, MAX_ROWS, Reader};
