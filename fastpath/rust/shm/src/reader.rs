//! The lock-free reader: series and values of a region that somebody else writes.
//!
//! Readers take nothing on trust: offsets are checked against the real length, descriptors against their checksums,
//! and the epoch before and after, so a region that is made anew meanwhile gives an error and not a mix.

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::fence;

use crate::descriptor::{BadDescriptor, Series, decode};
use crate::layout::{
    HEADER_LEN, MAGIC, MAX_DESCRIPTOR, VERSION, WORD, header, header_checksum, unguard, values_at,
};
use crate::mapping::Region;

/// Why a region cannot be read now. It may be readable the next time: its writer repairs and rebuilds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nobody has made it yet, or it is being made anew.
    #[error("the telemetry region is not made yet")]
    NotReady,
    /// Another version of the layout.
    #[error("the telemetry region has layout version {0}, want {VERSION}")]
    Version(u64),
    /// The header contradicts itself or the length.
    #[error("the telemetry region's header is corrupt")]
    Header,
    /// A descriptor is unusable.
    #[error("descriptor {index} of the telemetry region: {fault}")]
    Descriptor {
        /// Its place in the order of registration.
        index: usize,
        /// What is wrong.
        fault: BadDescriptor,
    },
}

/// Follows one region. Each [`Reader::poll`] decodes only the series that are new.
#[derive(Debug)]
pub struct Reader {
    region: Region,
    epoch: u64,
    next: usize,
    values_used: usize,
    series: Vec<Series>,
}

impl Region {
    pub(crate) fn load(&self, word: usize) -> u64 {
        self.words.get(word).map_or(0, |word| word.load(Relaxed))
    }

    pub(crate) fn store(&self, word: usize, value: u64) {
        if let Some(word) = self.words.get(word) {
            word.store(value, Relaxed);
        }
    }

    /// The fixed header words, in order, as a region of this length must have them.
    pub(crate) fn fixed_words(&self) -> [u64; header::CHECKSUM] {
        let values_at = values_at(self.len());
        let capacity = (self.len() - values_at) / WORD;
        [MAGIC, VERSION, self.len() as u64, HEADER_LEN as u64, values_at as u64, capacity as u64]
    }

    /// The epoch, when the fixed header words are sound.
    pub(crate) fn check_header(&self) -> Result<u64, ReadError> {
        let epoch = self.words.get(header::EPOCH).map_or(0, |word| word.load(Acquire));
        match (self.load(header::MAGIC), self.load(header::VERSION)) {
            (0, _) => return Err(ReadError::NotReady),
            (MAGIC, VERSION) => {}
            (MAGIC, other) => return Err(ReadError::Version(other)),
            _ => return Err(ReadError::Header),
        }
        let expected = self.fixed_words();
        let same = expected.iter().enumerate().all(|(word, want)| self.load(word) == *want);
        if !same || self.load(header::CHECKSUM) != header_checksum(&expected) {
            return Err(ReadError::Header);
        }
        match epoch {
            0 => Err(ReadError::NotReady),
            _ => unguard(epoch).map(|_| epoch).ok_or(ReadError::Header),
        }
    }

    /// Series that readers may look at.
    pub(crate) fn published(&self) -> Result<u32, ReadError> {
        let word = self.words.get(header::PUBLISHED).map_or(0, |word| word.load(Acquire));
        unguard(word).ok_or(ReadError::Header)
    }

    /// A private copy of up to `len` bytes from `at` (both multiples of 8), ending where the descriptors must end.
    pub(crate) fn copy_descriptors(&self, at: usize, len: usize) -> Vec<u8> {
        let end = at.saturating_add(len).min(values_at(self.len()));
        let words = self.words.get(at / WORD..end / WORD).unwrap_or_default();
        words.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect()
    }

    /// The value words of a series, when they are inside the value area.
    pub(crate) fn values(&self, at: usize, width: usize) -> Option<&'static [std::sync::atomic::AtomicU64]> {
        let first = (values_at(self.len()) / WORD).checked_add(at)?;
        self.words.get(first..first.checked_add(width)?)
    }
}

impl Reader {
    /// A reader that has seen nothing yet. The region may still be empty.
    pub fn new(region: Region) -> Self {
        Self { region, epoch: 0, next: HEADER_LEN, values_used: 0, series: Vec::new() }
    }

    /// Takes in the series published since the last call; all of them, in order of registration, are returned.
    /// After a change of [`Reader::epoch`] the list starts again.
    pub fn poll(&mut self) -> Result<&[Series], ReadError> {
        let epoch = self.region.check_header()?;
        if epoch != self.epoch {
            *self = Self { epoch, ..Self::new(self.region) };
        }
        let published = self.region.published()?;
        for index in self.series.len()..published as usize {
            self.take_one().map_err(|fault| ReadError::Descriptor { index, fault })?;
        }
        fence(Acquire);
        if self.region.load(header::EPOCH) != self.epoch {
            *self = Self::new(self.region);
            return Err(ReadError::NotReady);
        }
        Ok(&self.series)
    }

    fn take_one(&mut self) -> Result<(), BadDescriptor> {
        let [a, b, c, d, ..] = self.region.load(self.next / WORD).to_ne_bytes();
        let claimed = u32::from_ne_bytes([a, b, c, d]) as usize; // judged by decode()
        let (series, len) = decode(&self.region.copy_descriptors(self.next, claimed.min(MAX_DESCRIPTOR)))?;
        let end = series.value + series.kind.width();
        if series.value != self.values_used || self.region.values(series.value, series.kind.width()).is_none()
        {
            return Err(BadDescriptor::Value);
        }
        self.next += len;
        self.values_used = end;
        self.series.push(series);
        Ok(())
    }

    /// The value words of `series` now: one, or the buckets and the sum. Words are read one by one, so two of them
    /// may be a few increments apart.
    pub fn read(&self, series: &Series) -> Vec<u64> {
        let words = self.region.values(series.value, series.kind.width()).unwrap_or_default();
        words.iter().map(|word| word.load(Relaxed)).collect()
    }

    /// What the last [`Reader::poll`] knew.
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// Changes when the region was made anew and its counters began again at zero. Zero before the first poll.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Bytes of descriptors and words of values in use.
    pub(crate) fn used(&self) -> (usize, usize) {
        (self.next - HEADER_LEN, self.values_used)
    }
}
