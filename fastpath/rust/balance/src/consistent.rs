//! Consistent hashing as Envoy does it: the same key goes to the same endpoint, whichever proxy asks.

use std::sync::Arc;

use crate::hash::{murmur2, xx64, xx64_seeded};

/// How endpoints are spread over the space of hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Ketama: each endpoint has many points of a ring, and has what lies before them.
    Ring { least: u64, most: u64, function: HashFunction },
    /// Maglev: a table of prime size, which endpoints fill in turn, each in an order of its own.
    Maglev { size: u64 },
}

/// What gives an endpoint its points of a ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashFunction {
    #[default]
    XxHash,
    Murmur2,
}

/// An endpoint to be spread: its key, and its share, above 0 and together 1.
///
/// Shares are rounded as Envoy rounds them: tables differ in some places where the last bit does.
pub(crate) struct Entry {
    pub(crate) key: Arc<str>,
    pub(crate) share: f64,
}

/// Endpoints by hash; they are told by their place in the list that it was made from.
#[derive(Clone, Debug)]
pub(crate) enum Table {
    Ring(Box<[(u64, u32)]>),
    Maglev(Box<[u32]>),
}

impl Table {
    pub(crate) fn new(spread: Spread, entries: &[Entry]) -> Self {
        match spread {
            Spread::Ring { least, most, function } => Self::Ring(ring(least, most, function, entries)),
            Spread::Maglev { size } => Self::Maglev(maglev(size, entries)),
        }
    }

    /// Whose a hash is. With further attempts come others, where there are any.
    pub(crate) fn find(&self, hash: u64, attempt: u32) -> Option<usize> {
        let found = match self {
            Self::Ring(points) => {
                let place = points.partition_point(|(point, _)| *point < hash) + attempt as usize;
                points.get(place.checked_rem(points.len())?).map(|(_, entry)| *entry)
            }
            Self::Maglev(table) => {
                // As in Envoy: most bits change, so that the next choice is far off.
                let hash = if attempt == 0 { hash } else { hash ^ u64::from(attempt).wrapping_neg() };
                table.get(usize::try_from(hash.checked_rem(table.len() as u64)?).ok()?).copied()
            }
        };
        found.map(|entry| entry as usize)
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes of rings are positive and at most 8 Mi"
)]
fn ring(least: u64, most: u64, function: HashFunction, entries: &[Entry]) -> Box<[(u64, u32)]> {
    let smallest = entries.iter().map(|entry| entry.share).fold(f64::INFINITY, f64::min);
    if entries.is_empty() {
        return Box::default();
    }
    // Whoever weighs least has a whole number of points.
    let scale = ((smallest * least as f64).ceil() / smallest).min(most as f64);
    let mut points = Vec::with_capacity(scale.ceil() as usize);
    let mut wanted = 0.0;
    for (place, entry) in (0u32..).zip(entries) {
        wanted += scale * entry.share;
        let mut nth = 0u64;
        while (points.len() as f64) < wanted {
            let key = format!("{}_{nth}", entry.key);
            let point = match function {
                HashFunction::XxHash => xx64(key.as_bytes()),
                HashFunction::Murmur2 => murmur2(key.as_bytes()),
            };
            points.push((point, place));
            nth += 1;
        }
    }
    points.sort_unstable();
    points.into()
}

const FREE: u32 = u32::MAX;

fn maglev(size: u64, entries: &[Entry]) -> Box<[u32]> {
    if entries.is_empty() || size < 2 {
        return Box::default();
    }
    let heaviest = entries.iter().map(|entry| entry.share).fold(0.0, f64::max);
    let mut seats: Vec<(u32, &Entry, Seat)> =
        (0..).zip(entries).map(|(place, entry)| (place, entry, Seat::new(entry, size))).collect();
    // In whatever order they were listed: who comes first gets the place that two want.
    seats.sort_by(|(_, one, _), (_, other, _)| one.key.cmp(&other.key));
    let mut table = vec![FREE; usize::try_from(size).unwrap_or_default()];
    let mut left = table.len();
    let mut round = 1.0;
    while left > 0 {
        for (place, _, seat) in &mut seats {
            // Whoever weighs less sits out some rounds.
            if left == 0 || round * seat.share < seat.target {
                continue;
            }
            seat.target += heaviest;
            while let Some(slot) = table.get_mut(seat.next(size)) {
                if *slot == FREE {
                    *slot = *place;
                    left -= 1;
                    break;
                }
            }
        }
        round += 1.0;
    }
    table.into()
}

/// An endpoint that takes its places in a Maglev table, one after the other in its own order.
struct Seat {
    at: u64,
    skip: u64,
    share: f64,
    target: f64,
}

impl Seat {
    fn new(entry: &Entry, size: u64) -> Self {
        let key = entry.key.as_bytes();
        let skip = xx64_seeded(key, 1) % (size - 1) + 1;
        Self { at: xx64(key) % size, skip, share: entry.share, target: 0.0 }
    }

    fn next(&mut self, size: u64) -> usize {
        let here = self.at;
        self.at = (self.at + self.skip) % size;
        usize::try_from(here).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
