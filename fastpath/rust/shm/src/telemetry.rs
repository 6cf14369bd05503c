//! The writer: registers series and hands out their handles. One per worker, owned by its thread.
//!
//! The writer never trusts the region after it has taken it over: it keeps its own copy of the descriptors, finds
//! series there, and puts right what others changed ([`Telemetry::repair`]).

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::bounds::Bounds;
use crate::descriptor::{Kind, Label, Name, encode_key, seal};
use crate::layout::{HEADER_LEN, KEY_FROM, WORD, guard, header, header_checksum, values_at};
use crate::mapping::Region;
use crate::reader::{ReadError, Reader};
use crate::series::{Counter, Gauge, Histogram};

/// The label value that stands for all series beyond a limit.
pub const OTHER: &str = "other";
/// Takes what could not be counted anywhere else, which the bounds of a region rule out.
static LOST: AtomicU64 = AtomicU64::new(0);
/// Descriptor bytes looked at by one [`Telemetry::repair`].
const REPAIR_STEP: usize = 64 * 1024;

/// How many series a worker may make.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Series of one base name; what comes later is counted in one series whose label values are all [`OTHER`].
    pub series_per_metric: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { series_per_metric: 16_384 }
    }
}

/// What happened to the region when it was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// It was empty.
    Made,
    /// Its series and counters live on; gauges are zero again.
    Adopted {
        /// Series found.
        series: usize,
    },
    /// It was unusable, so it was made anew and everything counts from zero; readers see a new epoch.
    Rebuilt(ReadError),
}

/// Where a record of the mirror is and where its values are.
#[derive(Clone, Copy, Debug)]
struct Record {
    at: u32,
    len: u32,
    value: u32,
}

/// The writer of one region. Registration takes about a microsecond: keep the handles, do not look them up per request.
#[derive(Debug)]
pub struct Telemetry {
    region: Region,
    limits: Limits,
    epoch: u64,
    generation: u64,
    published: u32,
    values_used: usize,
    heartbeat: u64,
    /// Private copy of all descriptors, and what is looked up in it.
    mirror: Vec<u8>,
    index: HashTable<Record>,
    hasher: DefaultHashBuilder,
    per_metric: HashMap<Box<str>, u32>,
    scratch: Vec<u8>,
    repair_at: usize,
}

impl Telemetry {
    /// Takes `region` over as its only writer: what an earlier worker registered is kept, what cannot be read is made
    /// anew. Readers may be at work all the time.
    pub fn adopt(region: Region, limits: Limits) -> (Self, Adoption) {
        let mut reader = Reader::new(region);
        let outcome = reader.poll().map(<[_]>::len);
        let rebuilds = region.load(header::REBUILDS);
        let generation = region.load(header::GENERATION);
        let mut telemetry = Self::empty(region, limits);
        let adoption = match outcome {
            Ok(series) => {
                telemetry.take_over(&reader, generation.wrapping_add(1));
                Adoption::Adopted { series }
            }
            Err(ReadError::NotReady) if rebuilds == 0 && generation == 0 => {
                telemetry.make(0);
                Adoption::Made
            }
            Err(fault) => {
                telemetry.make(rebuilds.wrapping_add(1));
                Adoption::Rebuilt(fault)
            }
        };
        telemetry.reserve_overflow();
        (telemetry, adoption)
    }

    /// The counter of this name: the same handle for the same name.
    pub fn counter(&mut self, flat: &str, base: &str, labels: &[Label<'_>]) -> Counter {
        let value = self.register(Kind::Counter, &Name { flat, base, labels });
        Counter(self.word(value))
    }

    /// The gauge of this name.
    pub fn gauge(&mut self, flat: &str, base: &str, labels: &[Label<'_>]) -> Gauge {
        let value = self.register(Kind::Gauge, &Name { flat, base, labels });
        Gauge(self.word(value))
    }

    /// The histogram of this name and these bounds.
    pub fn histogram(&mut self, bounds: Bounds, flat: &str, base: &str, labels: &[Label<'_>]) -> Histogram {
        let value = self.register(Kind::Histogram(bounds), &Name { flat, base, labels });
        let words = self.region.values(value, bounds.width()).unwrap_or_default();
        let (buckets, sum) = words.split_at(words.len().saturating_sub(1));
        Histogram { upper: bounds.upper(), buckets, sum: sum.first().unwrap_or(&LOST) }
    }

    /// Says that the worker's loop turns. One store.
    pub fn beat(&mut self) {
        self.heartbeat = self.heartbeat.wrapping_add(1);
        self.region.store(header::HEARTBEAT, self.heartbeat);
    }

    /// Compares the header and the next 64 KiB of descriptors with the private copy and writes again what somebody
    /// else changed; the number of such words. Call about once a second.
    pub fn repair(&mut self) -> u64 {
        let fixed = self.region.fixed_words();
        let checksum = header_checksum(&fixed);
        let header = fixed.into_iter().chain([checksum]).enumerate().chain([
            (header::EPOCH, self.epoch),
            (header::GENERATION, self.generation),
            (header::WRITER, u64::from(std::process::id())),
        ]);
        let mut wrong = header.map(|(word, want)| self.restore(word, want)).sum::<u64>();
        let end = (self.repair_at + REPAIR_STEP).min(self.mirror.len());
        wrong += self.restore_descriptors(self.repair_at, end);
        self.repair_at = if end == self.mirror.len() { 0 } else { end };
        wrong += self.restore(header::PUBLISHED, guard(self.published));
        if wrong > 0 {
            self.region.store(header::REPAIRS, self.region.load(header::REPAIRS).wrapping_add(wrong));
        }
        wrong
    }

    /// Series in the region, those of earlier workers and the overflow series included.
    pub fn series(&self) -> u32 {
        self.published
    }

    /// Registrations that ended in an overflow series, since the region was made.
    pub fn dropped(&self) -> u64 {
        self.region.load(header::DROPPED)
    }

    fn empty(region: Region, limits: Limits) -> Self {
        Self {
            region,
            limits,
            epoch: 0,
            generation: 1,
            published: 0,
            values_used: 0,
            heartbeat: 0,
            mirror: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            per_metric: HashMap::new(),
            scratch: Vec::new(),
            repair_at: 0,
        }
    }
}

// === taking over ===

impl Telemetry {
    /// Makes the region anew. The epoch is zero while its content is between two states.
    fn make(&mut self, rebuilds: u64) {
        self.region.store(header::EPOCH, 0);
        self.region.store(header::MAGIC, 0);
        fence(Release);
        for word in self.region.words.iter().take(HEADER_LEN / WORD).skip(1) {
            word.store(0, Relaxed);
        }
        let fixed = self.region.fixed_words();
        for (word, value) in fixed.into_iter().enumerate().skip(1) {
            self.region.store(word, value);
        }
        self.region.store(header::CHECKSUM, header_checksum(&fixed));
        self.region.store(header::GENERATION, self.generation);
        self.region.store(header::WRITER, u64::from(std::process::id()));
        self.region.store(header::REBUILDS, rebuilds);
        let random = RandomState::new().build_hasher().finish(); // its keys are random, so epochs differ
        self.epoch = guard(random as u32);
        self.publish(header::PUBLISHED, guard(0));
        self.publish(header::MAGIC, fixed.first().copied().unwrap_or_default());
        self.publish(header::EPOCH, self.epoch);
    }

    fn take_over(&mut self, reader: &Reader, generation: u64) {
        let (len, values_used) = reader.used();
        self.mirror = self.region.copy_descriptors(HEADER_LEN, len);
        self.epoch = reader.epoch();
        self.generation = generation;
        self.heartbeat = self.region.load(header::HEARTBEAT);
        let mut at = 0;
        for series in reader.series() {
            let len = self.record_len(at);
            let value = u32::try_from(series.value).unwrap_or(u32::MAX); // MAX_LEN: fits
            self.insert(Record { at: u32::try_from(at).unwrap_or(u32::MAX), len, value });
            *self.per_metric.entry(series.base.as_str().into()).or_default() += 1;
            if series.kind == Kind::Gauge {
                self.word(series.value).store(0, Relaxed);
            }
            at += len as usize;
            self.published += 1;
        }
        self.values_used = values_used;
        self.region.store(header::GENERATION, generation);
        self.region.store(header::WRITER, u64::from(std::process::id()));
    }

    fn record_len(&self, at: usize) -> u32 {
        self.mirror.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |len| u32::from_ne_bytes(*len))
    }
}

// === registering ===

impl Telemetry {
    fn register(&mut self, kind: Kind, name: &Name<'_>) -> usize {
        if !encode_key(&mut self.scratch, kind, name) {
            return self.overflow(kind, name);
        }
        let hash = self.hash();
        if let Some(value) = self.find(hash) {
            return value;
        }
        let count = self.per_metric.get(name.base).copied().unwrap_or(0);
        if count >= self.limits.series_per_metric || !self.fits(kind) {
            return self.overflow(kind, name);
        }
        self.append(kind, name.base, hash)
    }

    /// Where a series beyond a limit is counted: in its metric's own overflow series, or, when even that does not fit,
    /// in the one that all metrics of the kind share and that is there from the start.
    fn overflow(&mut self, kind: Kind, name: &Name<'_>) -> usize {
        self.region.store(header::DROPPED, self.dropped().wrapping_add(1));
        let labels: Vec<Label<'_>> = name.labels.iter().map(|(label, _)| (*label, OTHER)).collect();
        let own = Name { flat: name.base, base: name.base, labels: &labels };
        if encode_key(&mut self.scratch, kind, &own) {
            let hash = self.hash();
            if let Some(value) = self.find(hash) {
                return value;
            }
            if self.fits(kind) {
                return self.append(kind, name.base, hash);
            }
        }
        self.shared_overflow(kind)
    }

    fn shared_overflow(&mut self, kind: Kind) -> usize {
        let flat = match kind {
            Kind::Counter => "telemetry.overflow_counter",
            Kind::Gauge => "telemetry.overflow_gauge",
            Kind::Histogram(Bounds::DurationMs) => "telemetry.overflow_duration",
            Kind::Histogram(Bounds::Bytes) => "telemetry.overflow_bytes",
            Kind::Histogram(Bounds::Envoy) => "telemetry.overflow_histogram",
        };
        encode_key(&mut self.scratch, kind, &Name { flat, base: flat, labels: &[] });
        let hash = self.hash();
        self.find(hash).unwrap_or_else(|| self.append(kind, flat, hash))
    }

    /// Makes the shared overflow series while there is room: MIN_LEN leaves plenty.
    fn reserve_overflow(&mut self) {
        self.shared_overflow(Kind::Counter);
        self.shared_overflow(Kind::Gauge);
        for bounds in Bounds::ALL {
            self.shared_overflow(Kind::Histogram(bounds));
        }
    }

    fn fits(&self, kind: Kind) -> bool {
        let descriptors = values_at(self.region.len()) - HEADER_LEN;
        self.mirror.len() + self.scratch.len() <= descriptors
            && self.region.values(self.values_used, kind.width()).is_some()
    }

    /// Writes the descriptor in `scratch`; readers see it once the count is stored, last.
    fn append(&mut self, kind: Kind, base: &str, hash: u64) -> usize {
        let value = self.values_used;
        let value_index = u32::try_from(value).unwrap_or(u32::MAX); // MAX_LEN: fits
        seal(&mut self.scratch, value_index);
        let (at, len) = (self.mirror.len(), self.scratch.len());
        self.mirror.extend_from_slice(&self.scratch);
        self.restore_descriptors(at, at + len);
        for word in self.region.values(value, kind.width()).unwrap_or_default() {
            word.store(0, Relaxed);
        }
        self.values_used += kind.width();
        self.published += 1;
        self.publish(header::PUBLISHED, guard(self.published));
        *self.per_metric.entry(base.into()).or_default() += 1;
        let narrow = |wide: usize| u32::try_from(wide).unwrap_or(u32::MAX); // MAX_LEN: fits
        self.insert_hashed(hash, Record { at: narrow(at), len: narrow(len), value: value_index });
        value
    }
}

// === the private copy and its index ===

impl Telemetry {
    fn hash(&self) -> u64 {
        self.hasher.hash_one(self.scratch.get(KEY_FROM..))
    }

    fn find(&self, hash: u64) -> Option<usize> {
        let key = self.scratch.get(KEY_FROM..);
        self.index
            .find(hash, |record| key_of(&self.mirror, record) == key)
            .map(|record| record.value as usize)
    }

    fn insert(&mut self, record: Record) {
        let hash = self.hasher.hash_one(key_of(&self.mirror, &record));
        self.insert_hashed(hash, record);
    }

    fn insert_hashed(&mut self, hash: u64, record: Record) {
        let (hasher, mirror) = (&self.hasher, &self.mirror);
        self.index.insert_unique(hash, record, |other| hasher.hash_one(key_of(mirror, other)));
    }

    /// Brings the region's descriptors between two offsets of the mirror in line with it; the words that differed.
    fn restore_descriptors(&self, from: usize, to: usize) -> u64 {
        let first = (HEADER_LEN + from) / WORD;
        let words = self.mirror.get(from..to).unwrap_or_default().chunks_exact(WORD);
        let words = words.filter_map(|bytes| bytes.first_chunk().copied().map(u64::from_ne_bytes));
        words.zip(first..).map(|(want, word)| self.restore(word, want)).sum()
    }

    fn restore(&self, word: usize, want: u64) -> u64 {
        if self.region.load(word) == want {
            return 0;
        }
        self.region.store(word, want);
        1
    }

    fn publish(&self, word: usize, value: u64) {
        if let Some(word) = self.region.words.get(word) {
            word.store(value, Release);
        }
    }

    /// The value word at `at`.
    fn word(&self, at: usize) -> &'static AtomicU64 {
        self.region.values(at, 1).and_then(<[_]>::first).unwrap_or(&LOST)
    }
}

/// What identifies the series of `record`: everything behind its value index.
fn key_of<'a>(mirror: &'a [u8], record: &Record) -> Option<&'a [u8]> {
    let at = record.at as usize;
    mirror.get(at + KEY_FROM..at + record.len as usize)
}
