//! Weighted round robin as an earliest-deadline-first schedule.
//!
//! An item of weight w is due every 1/w units of time. The item that is due first is picked and put back one period
//! later, which spreads the picks of heavy items evenly instead of sending them in bursts. Weights may change from
//! pick to pick (least request divides them by the load).

use std::cmp::Ordering;
use std::collections::BinaryHeap;

#[derive(Clone, Debug, Default)]
pub(crate) struct Edf {
    due: BinaryHeap<Entry>,
    now: f64,
    /// Orders entries with equal deadlines by when they were added.
    added: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    deadline: f64,
    order: u64,
    item: u32,
}

impl Edf {
    /// A schedule of the items 0.., with these weights; items without weight are left out.
    pub(crate) fn new(weights: impl Iterator<Item = f64>) -> Self {
        let mut edf = Self::default();
        for (item, weight) in (0..).zip(weights) {
            edf.add(item, weight);
        }
        edf
    }

    /// The item that is due, rescheduled with the weight that it has now.
    pub(crate) fn pick(&mut self, weight: impl Fn(u32) -> f64) -> Option<u32> {
        let Entry { deadline, item, .. } = self.due.pop()?;
        self.now = deadline;
        self.add(item, weight(item).max(f64::MIN_POSITIVE));
        Some(item)
    }

    fn add(&mut self, item: u32, weight: f64) {
        if weight > 0.0 {
            self.due.push(Entry { deadline: self.now + 1.0 / weight, order: self.added, item });
            self.added += 1;
        }
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// Reversed, because the heap gives its greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.deadline.total_cmp(&self.deadline).then(other.order.cmp(&self.order))
    }
}

#[cfg(test)]
mod tests {
    use super::Edf;

    #[test]
    fn heavy_items_are_spread_not_sent_in_bursts() {
        let weights = [5.0, 1.0, 1.0];
        let mut edf = Edf::new(weights.into_iter());
        let picks: Vec<u32> = (0..14).filter_map(|_| edf.pick(|item| weights[item as usize])).collect();
        assert_eq!(picks.iter().filter(|item| **item == 0).count(), 10);
        assert!(!picks.windows(7).any(|run| run.iter().all(|item| *item == 0)), "{picks:?}");
    }

    #[test]
    fn an_item_without_weight_is_never_due() {
        let mut edf = Edf::new([0.0, 1.0].into_iter());
        assert!((0..10).all(|_| edf.pick(|_| 1.0) == Some(1)));
    }
}
