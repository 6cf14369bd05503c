//! The memory itself: the only file of this crate that says `unsafe`.

use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags, mmap};

use crate::layout::{MAX_LEN, MIN_LEN, WORD};

/// Why a region cannot be mapped. Content is not judged here: bad content is rebuilt, see [`crate::Telemetry::adopt`].
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The size is outside of [`MIN_LEN`]..=[`MAX_LEN`] or no multiple of 8.
    #[error("telemetry region of {0} bytes: want a multiple of 8 between {MIN_LEN} and {MAX_LEN}")]
    Length(usize),
    /// The file is shorter than the mapping would be; touching its end would kill the process.
    #[error("telemetry region file has {actual} bytes, want {wanted}")]
    Truncated {
        /// Size of the file.
        actual: u64,
        /// Size asked for.
        wanted: usize,
    },
    /// The system refused.
    #[error("map telemetry region: {0}")]
    Map(#[from] rustix::io::Errno),
}

/// A telemetry region in memory, as words. It stays mapped for the life of the process (a worker attaches once),
/// which is what lets handles be plain copyable references.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    pub(crate) words: &'static [AtomicU64],
}

impl Region {
    /// Maps `len` bytes of `fd` shared, for reading and writing. The file must not shrink afterwards: whoever makes
    /// it seals it (`F_SEAL_SHRINK`). The descriptor is closed; the mapping keeps the file alive.
    pub fn attach(fd: OwnedFd, len: usize) -> Result<Self, AttachError> {
        if !(MIN_LEN..=MAX_LEN).contains(&len) || len % WORD != 0 {
            return Err(AttachError::Length(len));
        }
        let actual = u64::try_from(rustix::fs::fstat(&fd)?.st_size).unwrap_or(0);
        if actual < len as u64 {
            return Err(AttachError::Truncated { actual, wanted: len });
        }
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing of ours; `fd` is open.
        let base = unsafe {
            mmap(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &fd, 0)?
        };
        // SAFETY: bounds: `len` bytes are mapped and the file is that long (checked above, sealed by its maker);
        // alignment: mappings start at a page; aliasing: other processes share the memory, and every word is atomic,
        // for which all bit patterns are values; lifetime: the mapping is never removed, so 'static holds.
        let words = unsafe { std::slice::from_raw_parts(base.cast::<AtomicU64>(), len / WORD) };
        Ok(Self { words })
    }

    /// A region that no other process sees: for tests, and for a proxy that is run without an arbiter. Never freed.
    pub fn private(len: usize) -> Result<Self, AttachError> {
        if !(MIN_LEN..=MAX_LEN).contains(&len) || len % WORD != 0 {
            return Err(AttachError::Length(len));
        }
        let words: Vec<AtomicU64> = std::iter::repeat_with(AtomicU64::default).take(len / WORD).collect();
        Ok(Self { words: words.leak() })
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.words.len() * WORD
    }

    /// Never: a region has at least [`MIN_LEN`] bytes.
    pub fn is_empty(&self) -> bool {
        false
    }
}
