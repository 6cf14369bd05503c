//! The dynamic table (RFC 7541 2.3.2, 4), of either direction.
//!
//! Names and values lie one behind the other in a buffer of about twice the table's size; when its end is reached, what
//! is still valid moves to its beginning. So in steady state an insertion is one copy, and nothing is allocated.

use std::collections::VecDeque;

/// The size of a table before any SETTINGS (RFC 9113 6.5.2).
pub(super) const DEFAULT_TABLE_SIZE: usize = 4096;

/// What an entry counts beyond its bytes (RFC 7541 4.1).
pub(super) const OVERHEAD: usize = 32;

#[derive(Debug, Default)]
pub(super) struct DynamicTable {
    /// Newest first.
    entries: VecDeque<Entry>,
    bytes: Vec<u8>,
    size: usize,
    max_size: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: usize,
    name_len: usize,
    value_len: usize,
    /// Of name and value, and of the name alone; used by the encoder only.
    hash: Hash,
}

/// What finds an entry without comparing its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hash {
    pub(super) name: u32,
    pub(super) field: u32,
}

impl Entry {
    fn size(&self) -> usize {
        self.name_len + self.value_len + OVERHEAD
    }
}

impl DynamicTable {
    pub(super) fn new(max_size: usize) -> Self {
        Self { max_size, ..Self::default() }
    }

    pub(super) fn max_size(&self) -> usize {
        self.max_size
    }

    /// Changes the largest size, evicting what no longer fits.
    pub(super) fn resize(&mut self, max_size: usize) {
        self.max_size = max_size;
        self.evict(max_size);
    }

    /// The entry at `index`; 0 is the newest.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let entry = self.entries.get(index)?;
        let bytes = self.bytes.get(entry.start..entry.start + entry.name_len + entry.value_len)?;
        bytes.split_at_checked(entry.name_len)
    }

    /// Adds an entry, evicting old ones. One that is larger than the table empties it (RFC 7541 4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8], hash: Hash) {
        let size = name.len() + value.len() + OVERHEAD;
        let Some(left) = self.max_size.checked_sub(size) else {
            self.evict(0);
            return;
        };
        self.evict(left);
        self.make_room(name.len() + value.len());
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.entries.push_front(Entry { start, name_len: name.len(), value_len: value.len(), hash });
        self.size += size;
    }

    /// The position of an equal field, else of the newest entry of that name, with whether the value is equal too.
    #[inline]
    pub(super) fn find(&self, name: &[u8], value: &[u8], hash: Hash) -> Option<(usize, bool)> {
        let mut named = None;
        for (index, entry) in self.entries.iter().enumerate() {
            if entry.hash.name != hash.name {
                continue;
            }
            let is_name = |(known, _): (&[u8], &[u8])| known == name;
            if entry.hash.field == hash.field && self.get(index) == Some((name, value)) {
                return Some((index, true));
            }
            if named.is_none() && self.get(index).is_some_and(is_name) {
                named = Some((index, false));
            }
        }
        named
    }

    fn evict(&mut self, max_size: usize) {
        while self.size > max_size {
            let Some(oldest) = self.entries.pop_back() else { break };
            self.size -= oldest.size();
        }
        if self.entries.is_empty() {
            self.bytes.clear();
        }
    }

    /// Moves the live bytes to the front when the buffer would grow past twice the table's size.
    fn make_room(&mut self, wanted: usize) {
        if self.bytes.len() + wanted <= 2 * self.max_size {
            return;
        }
        let first = self.entries.back().map_or(self.bytes.len(), |oldest| oldest.start);
        self.bytes.drain(..first);
        for entry in &mut self.entries {
            entry.start -= first;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DynamicTable, Hash};

    #[test]
    fn old_entries_make_room_for_new_ones() {
        let mut table = DynamicTable::new(100);
        for n in 0..1000u32 {
            let name = format!("n{n}");
            table.insert(name.as_bytes(), b"v", Hash::default());
            assert_eq!(table.get(0), Some((name.as_bytes(), &b"v"[..])));
            assert!(table.size <= 100 && table.bytes.len() <= 200);
        }
        assert_eq!(table.get(1), Some((&b"n998"[..], &b"v"[..])));
        assert_eq!(table.get(2), None);
    }

    #[test]
    fn an_entry_that_is_too_large_empties_the_table() {
        let mut table = DynamicTable::new(64);
        table.insert(b"a", b"b", Hash::default());
        table.insert(b"a", &[b'x'; 64], Hash::default());
        assert_eq!((table.get(0), table.size), (None, 0));
    }
}
