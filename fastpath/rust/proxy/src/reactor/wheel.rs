//! A hashed hierarchical timer wheel: one millisecond ticks, six levels of 64 slots (about two years).

use super::{Kind, Millis};

/// Whose timer it is: a slot of a slab (see [`super::Slab::arm`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    pub(crate) kind: Kind,
    pub(crate) index: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: TimerKey,
    at: Millis,
}

const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const LEVELS: usize = 6;
const SLOT_MASK: u64 = SLOTS as u64 - 1;
const HORIZON: u64 = 1 << (BITS * LEVELS as u32);

struct Level {
    /// Bit n: `slots[n]` holds something.
    occupied: u64,
    slots: [Vec<Entry>; SLOTS],
}

impl Level {
    fn new() -> Self {
        Self { occupied: 0, slots: std::array::from_fn(|_| Vec::new()) }
    }

    fn push(&mut self, slot: usize, entry: Entry) {
        if let Some(entries) = self.slots.get_mut(slot) {
            entries.push(entry);
            self.occupied |= 1 << slot;
        }
    }

    fn drain_into(&mut self, slot: usize, out: &mut Vec<Entry>) {
        if let Some(entries) = self.slots.get_mut(slot) {
            out.append(entries);
            self.occupied &= !(1 << slot);
        }
    }
}

/// Pending timers. Insertion and firing are O(1); nothing is ever cancelled (see [`super::Slab::arm`]).
pub(crate) struct Wheel {
    now: u64,
    levels: [Level; LEVELS],
    len: usize,
    moving: Vec<Entry>,
}

impl Wheel {
    pub(crate) fn new(now: Millis) -> Self {
        Self { now: now.0, levels: std::array::from_fn(|_| Level::new()), len: 0, moving: Vec::new() }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Fires at `at`, or at the next tick when that has passed.
    pub(crate) fn insert(&mut self, key: TimerKey, at: Millis) {
        self.len += 1;
        self.place(Entry { key, at });
    }

    fn place(&mut self, entry: Entry) {
        let at = entry.at.0.max(self.now + 1).min(self.now + HORIZON - 1);
        // The level is the highest 6-bit digit in which `at` and `now` differ.
        let level = ((at ^ self.now).max(1).ilog2() / BITS) as usize;
        let slot = (at >> (BITS * level as u32)) & SLOT_MASK;
        if let Some(level) = self.levels.get_mut(level.min(LEVELS - 1)) {
            level.push(slot as usize, entry);
        }
    }

    /// Milliseconds until something may be due, or `None` when nothing is pending.
    pub(crate) fn next_in(&self, now: Millis) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let at = self.next_stop()?;
        Some(at.saturating_sub(now.0))
    }

    /// The first tick at which a level-0 slot is due or a higher slot must be spread out.
    fn next_stop(&self) -> Option<u64> {
        for (level, ring) in (0u32..).zip(&self.levels) {
            if ring.occupied == 0 {
                continue;
            }
            let shift = BITS * level;
            let digit = (self.now >> shift) & SLOT_MASK;
            let ahead = ring.occupied.rotate_right(digit as u32);
            // Slot `digit` itself holds nothing below the top level: it was spread out on arrival.
            let distance = match (ahead & !1).trailing_zeros() {
                64 => SLOTS as u64,
                steps => u64::from(steps),
            };
            return Some(((self.now >> shift) + distance) << shift);
        }
        None
    }

    /// Moves time to `now`, and calls `fire` for each timer that came due, with the deadline it was set for.
    pub(crate) fn advance(&mut self, now: Millis, due: &mut Vec<(TimerKey, Millis)>) {
        while let Some(stop) = self.next_stop() {
            if stop > now.0 {
                break;
            }
            self.now = stop;
            self.visit(due);
        }
        self.now = self.now.max(now.0);
    }

    /// Empties the slots that begin at the present tick, from the top level down.
    fn visit(&mut self, due: &mut Vec<(TimerKey, Millis)>) {
        for level in (0..LEVELS).rev() {
            let shift = BITS * level as u32;
            if self.now & ((1u64 << shift) - 1) != 0 {
                continue;
            }
            let slot = ((self.now >> shift) & SLOT_MASK) as usize;
            let mut moving = std::mem::take(&mut self.moving);
            if let Some(ring) = self.levels.get_mut(level) {
                ring.drain_into(slot, &mut moving);
            }
            for entry in moving.drain(..) {
                if entry.at.0 <= self.now {
                    self.len = self.len.saturating_sub(1);
                    due.push((entry.key, entry.at));
                } else {
                    self.place(entry);
                }
            }
            self.moving = moving;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32) -> TimerKey {
        TimerKey { kind: Kind::Downstream, index }
    }

    /// Drives the wheel as the loop does: sleep for `next_in`, advance, collect.
    fn run_until(wheel: &mut Wheel, end: u64) -> Vec<(u32, u64, u64)> {
        let (mut now, mut fired) = (0u64, Vec::new());
        while let Some(wait) = wheel.next_in(Millis(now)) {
            now += wait;
            if now > end {
                break;
            }
            let mut due = Vec::new();
            wheel.advance(Millis(now), &mut due);
            fired.extend(due.into_iter().map(|(key, at)| (key.index, at.0, now)));
        }
        fired
    }

    #[test]
    fn every_timer_fires_exactly_when_due() {
        let mut wheel = Wheel::new(Millis(0));
        let deadlines =
            [1u64, 2, 63, 64, 65, 127, 128, 4095, 4096, 4097, 70_000, 262_144, 300_000, 20_000_000];
        for (index, at) in (0u32..).zip(deadlines) {
            wheel.insert(key(index), Millis(at));
        }
        let fired = run_until(&mut wheel, 30_000_000);
        assert_eq!(fired.len(), deadlines.len());
        for (_, at, when) in fired {
            assert_eq!(at, when);
        }
        assert_eq!(wheel.len(), 0);
    }

    #[test]
    fn a_late_turn_fires_all_that_was_missed() {
        let mut wheel = Wheel::new(Millis(0));
        for index in 0..500u32 {
            wheel.insert(key(index), Millis(u64::from(index) * 37 + 1));
        }
        let mut due = Vec::new();
        wheel.advance(Millis(1_000_000), &mut due);
        assert_eq!(due.len(), 500);
        assert_eq!(wheel.next_in(Millis(1_000_000)), None);
    }

    #[test]
    fn a_deadline_in_the_past_fires_at_the_next_tick() {
        let mut wheel = Wheel::new(Millis(1000));
        wheel.insert(key(1), Millis(5));
        assert_eq!(wheel.next_in(Millis(1000)), Some(1));
    }

    #[test]
    fn timers_set_at_odd_times_fire_on_time() {
        let mut wheel = Wheel::new(Millis(0));
        let (mut now, mut expected, mut seen) = (0u64, 0, 0);
        let mut due = Vec::new();
        for round in 0..2000u64 {
            now += round % 7 + 1;
            wheel.advance(Millis(now), &mut due);
            for (_, at) in due.drain(..) {
                assert!(at.0 <= now && now - at.0 <= 7, "fired {} at {now}", at.0);
                seen += 1;
            }
            wheel.insert(key(1), Millis(now + (round * 7919) % 9000 + 1));
            expected += 1;
        }
        wheel.advance(Millis(now + 10_000), &mut due);
        assert_eq!(seen + due.len(), expected);
    }
}
