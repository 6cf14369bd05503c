//! One series' descriptor as bytes: encoded by the writer, decoded by readers and by a worker that takes over.

use crate::bounds::Bounds;
use crate::layout::{CHECKED_FROM, DESCRIPTOR_HEAD, MAX_DESCRIPTOR, WORD, fnv1a};

/// What a series is and so how its values are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One word that only grows.
    Counter,
    /// One word, signed.
    Gauge,
    /// Buckets and a sum.
    Histogram(Bounds),
}

/// Name and value of a label.
pub type Label<'a> = (&'a str, &'a str);

/// The names of a series. Series are the same when all of this and the kind are the same.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    /// Envoy's flat stat name (`cluster.orders.upstream_rq_total`), or the metric's name where Envoy has none.
    pub flat: &'a str,
    /// The metric's name without what the labels say (`cluster.upstream_rq_total`).
    pub base: &'a str,
    /// In the order in which readers show them.
    pub labels: &'a [Label<'a>],
}

/// A series as a reader gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// See [`Name::flat`].
    pub flat: String,
    /// See [`Name::base`].
    pub base: String,
    /// See [`Name::labels`].
    pub labels: Vec<(String, String)>,
    /// First word of its value, counted from the start of the value area.
    pub value: usize,
}

/// A descriptor that cannot be right: what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDescriptor {
    /// The length is no multiple of 8, too short, too long, or leads out of the area.
    #[error("its length is impossible")]
    Length,
    /// The bytes are not those that were written.
    #[error("its checksum does not match")]
    Checksum,
    /// No such kind or bucket set.
    #[error("its kind is unknown")]
    Kind,
    /// A string leads out of the descriptor or is not UTF-8.
    #[error("one of its strings is broken")]
    Text,
    /// Its values are not where the series before it end.
    #[error("its value index is impossible")]
    Value,
}

impl Kind {
    /// Words in the value area.
    pub const fn width(self) -> usize {
        match self {
            Self::Counter | Self::Gauge => 1,
            Self::Histogram(bounds) => bounds.width(),
        }
    }

    const fn codes(self) -> [u8; 2] {
        match self {
            Self::Counter => [1, 0],
            Self::Gauge => [2, 0],
            Self::Histogram(bounds) => [3, bounds as u8],
        }
    }

    fn from_codes(codes: [u8; 2]) -> Option<Self> {
        match codes {
            [1, 0] => Some(Self::Counter),
            [2, 0] => Some(Self::Gauge),
            [3, code] => Bounds::from_code(code).map(Self::Histogram),
            _ => None,
        }
    }
}

/// Writes the descriptor into `out` (cleared first) with length, checksum and value index still zero: from
/// [`crate::layout::KEY_FROM`] on it is the identity of the series. False when it would be longer than allowed.
pub(crate) fn encode_key(out: &mut Vec<u8>, kind: Kind, name: &Name<'_>) -> bool {
    let strings = || [name.flat, name.base].into_iter().chain(name.labels.iter().flat_map(|(k, v)| [*k, *v]));
    let len = DESCRIPTOR_HEAD + strings().map(|text| 2 + text.len()).sum::<usize>();
    let Ok(labels) = u16::try_from(name.labels.len()) else { return false };
    if len > MAX_DESCRIPTOR {
        return false;
    }
    out.clear();
    out.extend_from_slice(&[0; 12]);
    out.extend_from_slice(&kind.codes());
    out.extend_from_slice(&labels.to_ne_bytes());
    for text in strings() {
        let len = u16::try_from(text.len()).unwrap_or(u16::MAX); // MAX_DESCRIPTOR is far below
        out.extend_from_slice(&len.to_ne_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    out.resize(len.next_multiple_of(WORD), 0);
    true
}

/// Completes what [`encode_key`] made: length, value index and checksum.
pub(crate) fn seal(descriptor: &mut [u8], value: u32) {
    let len = u32::try_from(descriptor.len()).unwrap_or(0); // at most MAX_DESCRIPTOR
    put(descriptor, 8, value);
    let checksum = fnv1a(descriptor.iter().skip(CHECKED_FROM).copied());
    put(descriptor, 0, len);
    put(descriptor, 4, checksum);
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(slot) = bytes.get_mut(at..at + 4) {
        slot.copy_from_slice(&value.to_ne_bytes());
    }
}

/// The descriptor at the front of `bytes` and its length. Nothing about the bytes is trusted.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Series, usize), BadDescriptor> {
    let len = u32_at(bytes, 0)? as usize;
    if !(DESCRIPTOR_HEAD..=MAX_DESCRIPTOR).contains(&len) || len % WORD != 0 {
        return Err(BadDescriptor::Length);
    }
    let whole = bytes.get(..len).ok_or(BadDescriptor::Length)?;
    if u32_at(whole, 4)? != fnv1a(whole.iter().skip(CHECKED_FROM).copied()) {
        return Err(BadDescriptor::Checksum);
    }
    let value = u32_at(whole, 8)? as usize;
    let &[kind, bounds, low, high] =
        whole.get(12..16).and_then(|b| b.first_chunk()).ok_or(BadDescriptor::Length)?;
    let kind = Kind::from_codes([kind, bounds]).ok_or(BadDescriptor::Kind)?;
    let mut rest = whole.get(DESCRIPTOR_HEAD..).ok_or(BadDescriptor::Length)?;
    let flat = text(&mut rest)?;
    let base = text(&mut rest)?;
    let labels = (0..u16::from_ne_bytes([low, high]))
        .map(|_| Ok((text(&mut rest)?, text(&mut rest)?)))
        .collect::<Result<_, BadDescriptor>>()?;
    Ok((Series { kind, flat, base, labels, value }, len))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, BadDescriptor> {
    let word = bytes.get(at..).and_then(|b| b.first_chunk()).ok_or(BadDescriptor::Length)?;
    Ok(u32::from_ne_bytes(*word))
}

fn text(rest: &mut &[u8]) -> Result<String, BadDescriptor> {
    let (len, tail) = rest.split_first_chunk().ok_or(BadDescriptor::Text)?;
    let (bytes, tail) = tail.split_at_checked(u16::from_ne_bytes(*len).into()).ok_or(BadDescriptor::Text)?;
    *rest = tail;
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| BadDescriptor::Text)
}
