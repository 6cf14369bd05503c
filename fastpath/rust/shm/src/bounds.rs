//! Histogram bucket sets. A fixed few, known by number on both sides of the region.

/// Upper bounds in exposed units, as Istio and Envoy have them: 0.5, 1, 5, 10, 25, ... 3,600,000.
const RAW: [u64; 19] = [
    0, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000,
    1_800_000, 3_600_000,
];
/// The same in thousandths.
const MILLI: [u64; 19] = [
    500,
    1_000,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    600_000_000,
    1_800_000_000,
    3_600_000_000,
];

/// Which bucket set a histogram has, and the unit in which it is recorded. The number is ABI: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Bounds {
    /// Istio's `istio_request_duration_milliseconds`: record **microseconds**, readers expose milliseconds.
    DurationMs = 1,
    /// Istio's `istio_request_bytes` and `istio_response_bytes`: record bytes.
    Bytes = 2,
    /// Envoy's default bounds for its own histograms (`upstream_rq_time`, ...): record the exposed unit.
    Envoy = 3,
}

impl Bounds {
    /// All sets, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::DurationMs, Self::Bytes, Self::Envoy];

    /// Inclusive upper bounds in recorded units, ascending; values above the last go to one more bucket.
    pub const fn upper(self) -> &'static [u64] {
        match self {
            Self::DurationMs => &MILLI,
            Self::Bytes | Self::Envoy => &RAW,
        }
    }

    /// Recorded units in one exposed unit.
    pub const fn scale(self) -> u64 {
        match self {
            Self::DurationMs => 1_000,
            Self::Bytes | Self::Envoy => 1,
        }
    }

    /// Words in the value area: every bucket, the one above the last bound, and the sum.
    pub const fn width(self) -> usize {
        self.upper().len() + 2
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::DurationMs),
            2 => Some(Self::Bytes),
            3 => Some(Self::Envoy),
            _ => None,
        }
    }
}
