//! Where everything is in a telemetry region, in bytes and words. ABI with the Python readers
//! (`fastpath/cython/_telemetry.pyx`, `tests/reference/telemetry.py`): a change here bumps [`VERSION`] and all three.
//!
//! ```text
//! 0            512                  values_at               len
//! | header     | descriptors ...    | values: u64 ...       |
//! ```
//! A descriptor is `u32 length, u32 checksum, u32 value index, u8 kind, u8 bounds, u16 label count`, then strings,
//! each `u16 length` + UTF-8: flat name, base name, and name and value of every label; zeros up to a multiple of 8.
//! The checksum is FNV-1a over everything behind it. Integers have the machine's byte order (a region never leaves it).

/// "MLTELEM1" read as a native integer.
pub const MAGIC: u64 = u64::from_ne_bytes(*b"MLTELEM1");
/// Version of the layout described in this file.
pub const VERSION: u64 = 1;
/// Bytes before the first descriptor.
pub const HEADER_LEN: usize = 512;
/// Bytes of a word; everything in a region is made of aligned words.
pub const WORD: usize = size_of::<u64>();
/// A region shorter than this has no room for the overflow series and a few more.
pub const MIN_LEN: usize = 16 * 1024;
/// What the arbiter should ask for: sparse, so only pages in use cost memory. Room for some 60,000 series.
pub const DEFAULT_LEN: usize = 32 * 1024 * 1024;
/// No mapping beyond this is accepted: offsets stay far from overflow, and value indices fit in `u32`.
pub const MAX_LEN: usize = 1 << 32;

/// Bytes of a descriptor in front of its strings.
pub const DESCRIPTOR_HEAD: usize = 16;
/// Offset of the first checksummed byte in a descriptor.
pub(crate) const CHECKED_FROM: usize = 8;
/// Offset of the first byte that identifies a series (kind, bounds, names, labels).
pub(crate) const KEY_FROM: usize = 12;
/// Longest descriptor; names and labels beyond it are refused.
pub const MAX_DESCRIPTOR: usize = 16 * 1024;

/// Word numbers in the header.
pub mod header {
    /// [`super::MAGIC`]; zero while a region is being made.
    pub const MAGIC: usize = 0;
    /// [`super::VERSION`].
    pub const VERSION: usize = 1;
    /// Bytes of the whole region.
    pub const LEN: usize = 2;
    /// Byte offset of the descriptors.
    pub const DESCRIPTORS_AT: usize = 3;
    /// Byte offset of the values; descriptors end before it.
    pub const VALUES_AT: usize = 4;
    /// Words in the value area.
    pub const VALUES_CAPACITY: usize = 5;
    /// FNV-1a over the words before it.
    pub const CHECKSUM: usize = 6;
    /// Names this content: changes whenever a region is made anew, zero while that happens. [`super::guard`]ed.
    pub const EPOCH: usize = 8;
    /// How many workers have attached since the region was made; gauges restart with each.
    pub const GENERATION: usize = 9;
    /// Process id of the writer.
    pub const WRITER: usize = 10;
    /// Series that readers may look at. Stored last, with release order. [`super::guard`]ed.
    pub const PUBLISHED: usize = 11;
    /// Grows while the worker's loop turns.
    pub const HEARTBEAT: usize = 12;
    /// Registrations that ended in an overflow series.
    pub const DROPPED: usize = 13;
    /// Words that the writer found changed by somebody else and wrote again.
    pub const REPAIRS: usize = 14;
    /// Times that a worker found the region unusable and made it anew.
    pub const REBUILDS: usize = 15;
    /// One past the last word in use.
    pub const END: usize = 16;
}

const _: () = assert!(header::END * WORD <= HEADER_LEN, "the header overlaps the descriptors");
const _: () = assert!(HEADER_LEN % WORD == 0 && DESCRIPTOR_HEAD % WORD == 0 && MIN_LEN % WORD == 0);
const _: () =
    assert!(CHECKED_FROM < KEY_FROM && KEY_FROM < DESCRIPTOR_HEAD && DESCRIPTOR_HEAD < MAX_DESCRIPTOR);
const _: () = assert!(
    align_of::<std::sync::atomic::AtomicU64>() == WORD && size_of::<std::sync::atomic::AtomicU64>() == WORD
);
const _: () = assert!(usize::BITS == 64, "regions are for 64-bit machines");

/// Byte offset of the value area in a region of `len` bytes. A series with Istio's labels takes about 900 bytes of
/// descriptor; values are 8 bytes a counter and 168 a histogram: three quarters for descriptors fits both mixes.
pub(crate) const fn values_at(len: usize) -> usize {
    len / 4 * 3 / WORD * WORD
}

/// 32-bit FNV-1a. Any single changed byte changes it; it guards against accidents, not against forgery.
pub(crate) fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u32 {
    bytes.into_iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// A number that vouches for itself in one word: its complement is in the upper half. A word that changes by accident
/// is so told from one that was stored, which a checksum in a second word could not do without tearing.
pub(crate) const fn guard(number: u32) -> u64 {
    ((!number as u64) << 32) | number as u64
}

/// The number in a guarded word, unless it was damaged.
pub(crate) const fn unguard(word: u64) -> Option<u32> {
    let number = word as u32;
    if guard(number) == word { Some(number) } else { None }
}

/// The header's checksum over its fixed words (those before [`header::CHECKSUM`]).
pub(crate) fn header_checksum(words: &[u64]) -> u64 {
    u64::from(fnv1a(words.iter().flat_map(|word| word.to_ne_bytes())))
}
