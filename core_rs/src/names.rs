//! The texts of values, by their keys.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use crate::error::Result;
use crate::native::{Fixed, Reader, Strings, layout};

layout! {
    /// Texts of values.
    pub struct NameColumns of "names" {
        /// The value's key.
        key: Fixed<u64>,
        /// Its text.
        value: Strings,
    }
    optional {}
}

type Texts = HashMap<u64, Box<str>>;

/// Texts by their keys. Several threads may read and add at once.
#[derive(Debug, Default)]
pub struct Names {
    texts: RwLock<Texts>,
    reader: Mutex<Reader<NameColumns>>,
}

impl Names {
    /// Takes a chunk of a stream of texts ([`NameColumns`]). The chunks of one stream come one after the other, so names
    /// that several threads share get a stream by [`merge`](Self::merge). Bytes that are not UTF-8 are replaced. A key
    /// that has a text keeps it.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`](crate::Error::Malformed): nothing can be fed after that.
    pub fn feed(&self, chunk: &[u8]) -> Result<()> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.feed(chunk, |block| {
            let mut texts = self.texts.write().unwrap_or_else(PoisonError::into_inner);
            for (&key, text) in block.key.values().iter().zip(block.value.iter()) {
                let text = || String::from_utf8_lossy(text).into();
                texts.entry(key).or_insert_with(text);
            }
            Ok(())
        })
    }

    /// Adds the texts of others whose stream has ended.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`](crate::Error::Truncated) where their stream ended inside a block, or the error of their
    /// failed feed. Nothing is added then.
    pub fn merge(&self, other: &Self) -> Result<()> {
        let mut reader = other.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.finish()?;
        drop(reader);
        // One lock at a time: these may be the same, or merged into each other.
        let others: Vec<_> = {
            let others = other.read();
            let others = others.iter();
            others.map(|(&key, text)| (key, text.clone())).collect()
        };
        let mut texts = self.texts.write().unwrap_or_else(PoisonError::into_inner);
        for (key, text) in others {
            texts.entry(key).or_insert(text);
        }
        Ok(())
    }

    /// Number of texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    /// The bytes that all of it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        /// Of a text, what the memory's bookkeeping takes.
        const EACH: usize = 16;
        let texts = self.read();
        let text: usize = texts.values().map(|text| text.len() + EACH).sum();
        text + texts.capacity() * (size_of::<(u64, Box<str>)>() + 1)
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Texts> {
        self.texts.read().unwrap_or_else(PoisonError::into_inner)
    }
}
