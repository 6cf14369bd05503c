//! Field blocks to fields (RFC 7541 3, 6).

use thiserror::Error;

use super::dynamic_table::{DEFAULT_TABLE_SIZE, DynamicTable, Hash};
use super::{huffman, integer, static_table};

/// The block cannot be decoded, and with it the connection: the tables no longer agree (RFC 9113 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HpackError {
    #[error("the block ends in the middle of a field, or an integer is too large")]
    Truncated,
    #[error("an index that no table has")]
    InvalidIndex,
    #[error("a Huffman string with EOS or without proper padding")]
    InvalidHuffman,
    #[error("a table size update that is too large, behind a field, or the third of its block")]
    InvalidSizeUpdate,
}

/// Who takes the decoded fields. It cannot fail: what is wrong with a field is no reason to lose the tables.
pub trait FieldSink {
    fn field(&mut self, name: &[u8], value: &[u8]);
}

/// Updates of the table's size before the first field: the smallest since the last block, and the last (RFC 7541 4.2).
const SIZE_UPDATES: u8 = 2;
/// What a string may leave allocated behind a block.
const KEPT_SCRATCH: usize = 8 * 1024;

/// Decodes the field blocks of one connection, in their order.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable,
    /// The largest table that the peer may use.
    limit: usize,
    /// The peer has accepted a limit below its table's size, so its next block begins with an update (RFC 7541 4.2).
    must_resize: bool,
    /// Strings that were Huffman-encoded, or copied from the table that is about to change.
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    /// `limit` is our SETTINGS_HEADER_TABLE_SIZE. One below the default holds only from [`Self::limit_accepted`] on.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let table = DynamicTable::new(DEFAULT_TABLE_SIZE);
        let limit = limit.max(DEFAULT_TABLE_SIZE);
        Self { table, limit, must_resize: false, name: Vec::new(), value: Vec::new() }
    }

    /// The peer has acknowledged our setting.
    pub fn limit_accepted(&mut self, limit: usize) {
        self.limit = limit;
        self.must_resize = self.table.max_size() > limit;
    }

    /// Decodes a whole block. After an error the decoder must not be used again.
    pub fn decode(&mut self, block: &[u8], sink: &mut impl FieldSink) -> Result<(), HpackError> {
        let mut at = 0;
        let mut updates_left = SIZE_UPDATES;
        while let Some(first) = block.get(at).copied() {
            if first & 0xe0 == 0x20 {
                updates_left = updates_left.checked_sub(1).ok_or(HpackError::InvalidSizeUpdate)?;
                self.resize(block, &mut at)?;
                continue;
            }
            if self.must_resize {
                return Err(HpackError::InvalidSizeUpdate);
            }
            updates_left = 0;
            if first & 0x80 != 0 {
                let index = integer::decode(block, &mut at, 7).ok_or(HpackError::Truncated)?;
                let (name, value) = entry(&self.table, index).ok_or(HpackError::InvalidIndex)?;
                sink.field(name, value);
            } else {
                self.literal(block, &mut at, first & 0x40 != 0, sink)?;
            }
        }
        self.name.shrink_to(KEPT_SCRATCH);
        self.value.shrink_to(KEPT_SCRATCH);
        Ok(())
    }

    fn resize(&mut self, block: &[u8], at: &mut usize) -> Result<(), HpackError> {
        let size = integer::decode(block, at, 5).ok_or(HpackError::Truncated)?;
        if size > self.limit {
            return Err(HpackError::InvalidSizeUpdate);
        }
        self.table.resize(size);
        self.must_resize = false;
        Ok(())
    }

    fn literal(
        &mut self,
        block: &[u8],
        at: &mut usize,
        is_indexed: bool,
        sink: &mut impl FieldSink,
    ) -> Result<(), HpackError> {
        let prefix = if is_indexed { 6 } else { 4 };
        let index = integer::decode(block, at, prefix).ok_or(HpackError::Truncated)?;
        let name = match index {
            0 => string(block, at, &mut self.name)?,
            _ => {
                let (name, _) = entry(&self.table, index).ok_or(HpackError::InvalidIndex)?;
                self.name.clear();
                self.name.extend_from_slice(name);
                &self.name
            }
        };
        let value = string(block, at, &mut self.value)?;
        sink.field(name, value);
        if is_indexed {
            self.table.insert(name, value, Hash::default());
        }
        Ok(())
    }
}

#[inline]
fn entry(table: &DynamicTable, index: usize) -> Option<(&[u8], &[u8])> {
    match index.checked_sub(static_table::LEN + 1) {
        None => static_table::get(index),
        Some(index) => table.get(index),
    }
}

/// A string literal (RFC 7541 5.2): of the block itself, or decoded into `scratch`.
#[inline]
fn string<'s>(block: &'s [u8], at: &mut usize, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], HpackError> {
    let is_huffman = block.get(*at).ok_or(HpackError::Truncated)? & 0x80 != 0;
    let len = integer::decode(block, at, 7).ok_or(HpackError::Truncated)?;
    let end = at.checked_add(len).ok_or(HpackError::Truncated)?;
    let bytes = block.get(*at..end).ok_or(HpackError::Truncated)?;
    *at = end;
    if !is_huffman {
        return Ok(bytes);
    }
    scratch.clear();
    huffman::decode(bytes, scratch).ok_or(HpackError::InvalidHuffman)?;
    Ok(scratch)
}
