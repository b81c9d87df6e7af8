//! The columns of a stream, declared once.

use crate::native::columns::Column;

/// The columns that a stream's blocks carry. Each is declared with `layout!`.
pub trait Layout: Default {
    /// The stream's name in error texts.
    const STREAM: &'static str;
    /// All columns, in the order of the declaration.
    const NAMES: &'static [&'static str];
    /// The columns that a block may lack.
    const OPTIONAL: &'static [&'static str];
    /// The values of the column of that number.
    fn column(&mut self, index: usize) -> Option<&mut dyn Column>;
}

/// Declares a struct of typed columns and makes it a [`Layout`]. A column's name and type stand in one line, so they
/// can't disagree.
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
