//! Counts that all workers of a proxy share, so that a limit is one of the whole process.
//!
//! A row of the table belongs to one key (a cluster at a priority) and has a column for each worker. A worker writes its
//! own column only, so nothing is lost when it dies: its successor starts by clearing the column. To take something, a
//! worker first adds to its column and then sums the row; when that is too much it takes it back. So the sum never
//! exceeds the limit, though of two workers that ask at the same moment for the last one, neither may get it.
//!
//! ```text
//! word 0: MAGIC | workers     then rows of 1 + 2 x workers words:
//! key │ worker 0: counts 0, 1 │ counts 2, 3 │ worker 1: ...        (two counts of 32 bits in a word)
//! ```

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use crate::Region;

/// Counts in a row.
pub const COUNTS: usize = 4;
const WORDS_PER_WORKER: usize = COUNTS / 2;
const HEAD: usize = 1;
const MAGIC: u64 = 0x6d65_7368_7175_0000;
/// Places that a key may be at.
const PROBES: usize = 64;

/// The table, as one worker sees it.
#[derive(Clone, Copy, Debug)]
pub struct Quotas {
    rows: &'static [AtomicU64],
    workers: usize,
    slot: usize,
}

/// One row, as one worker sees it.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    columns: &'static [AtomicU64],
    slot: usize,
}

impl Quotas {
    /// Takes the slot's column over: whatever its last worker held is free again. `None` where the region was made for
    /// another number of workers, or has no room.
    #[must_use]
    pub fn adopt(region: Region, slot: u32, workers: u32) -> Option<Self> {
        let (head, rows) = region.words.split_at_checked(HEAD)?;
        let mark = MAGIC | u64::from(workers & 0xffff);
        let found = head.first()?.compare_exchange(0, mark, SeqCst, SeqCst).unwrap_or_else(|found| found);
        let made = Self { rows, workers: workers as usize, slot: slot as usize };
        if !(found == 0 || found == mark) || slot >= workers || made.capacity() == 0 {
            return None;
        }
        for row in 0..made.capacity() {
            if let Some(quota) = made.at(row) {
                quota.own().for_each(|word| word.store(0, SeqCst));
            }
        }
        Some(made)
    }

    fn stride(&self) -> usize {
        1 + WORDS_PER_WORKER * self.workers
    }

    fn capacity(&self) -> usize {
        self.rows.len() / self.stride()
    }

    fn at(&self, row: usize) -> Option<Quota> {
        let start = row * self.stride();
        let columns = self.rows.get(start + 1..start + self.stride())?;
        Some(Quota { columns, slot: self.slot })
    }

    /// The row of a key, which is the same for every worker; `None` when the table is full.
    #[must_use]
    pub fn row(&self, key: u64) -> Option<Quota> {
        let key = key.max(1);
        let capacity = self.capacity();
        let first = usize::try_from(key % capacity as u64).ok()?;
        (0..PROBES.min(capacity)).map(|step| (first + step) % capacity).find_map(|row| {
            let place = self.rows.get(row * self.stride())?;
            match place.compare_exchange(0, key, SeqCst, SeqCst) {
                Ok(_) => self.at(row),
                Err(taken) if taken == key => self.at(row),
                Err(_) => None,
            }
        })
    }
}

impl Quota {
    fn own(&self) -> impl Iterator<Item = &'static AtomicU64> {
        self.columns.iter().skip(self.slot * WORDS_PER_WORKER).take(WORDS_PER_WORKER)
    }

    /// What all workers hold of a count.
    #[must_use]
    pub fn total(&self, count: usize) -> u64 {
        let words = self.columns.iter().skip(count / 2).step_by(WORDS_PER_WORKER);
        words.map(|word| word.load(SeqCst) >> shift(count) & u64::from(u32::MAX)).sum()
    }

    /// Takes `amount` of a count, if all together then hold no more than `limit`.
    #[must_use]
    pub fn take(&self, count: usize, amount: u32, limit: u32) -> bool {
        let Some(word) = self.own().nth(count / 2) else { return false };
        let amount = u64::from(amount) << shift(count);
        word.fetch_add(amount, SeqCst);
        if self.total(count) > u64::from(limit) {
            word.fetch_sub(amount, SeqCst);
            return false;
        }
        true
    }

    /// Gives back what was taken.
    pub fn give(&self, count: usize, amount: u32) {
        if let Some(word) = self.own().nth(count / 2) {
            word.fetch_sub(u64::from(amount) << shift(count), SeqCst);
        }
    }
}

fn shift(count: usize) -> u32 {
    if count & 1 == 0 { 0 } else { 32 }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Quotas;
    use crate::{Region, layout};

    fn table() -> Region {
        Region::private(layout::MIN_LEN).unwrap()
    }

    #[test]
    fn a_limit_is_one_of_all_workers() {
        let region = table();
        let first = Quotas::adopt(region, 0, 2).unwrap().row(7).unwrap();
        let second = Quotas::adopt(region, 1, 2).unwrap().row(7).unwrap();
        for count in 0..super::COUNTS {
            assert!(first.take(count, 2, 3));
            assert!(second.take(count, 1, 3));
            assert!(!second.take(count, 1, 3));
            assert_eq!(first.total(count), 3);
            first.give(count, 1);
            assert!(second.take(count, 1, 3));
        }
    }

    #[test]
    fn keys_do_not_meet_and_a_full_table_says_so() {
        let region = table();
        let quotas = Quotas::adopt(region, 0, 2).unwrap();
        let rows: Vec<_> = (1..2000).map_while(|key| quotas.row(key)).collect();
        assert!(rows.iter().all(|row| row.take(0, 1, 1)));
        assert!(rows.len() > 100);
        assert!((0..100_000).any(|key| quotas.row(key).is_none()));
    }

    #[test]
    fn what_a_dead_worker_held_is_free_again() {
        let region = table();
        let survivor = Quotas::adopt(region, 0, 2).unwrap().row(7).unwrap();
        assert!(survivor.take(1, 1, 5));
        assert!(Quotas::adopt(region, 1, 2).unwrap().row(7).unwrap().take(1, 4, 5));
        assert!(!survivor.take(1, 1, 5));
        Quotas::adopt(region, 1, 2).unwrap();
        assert_eq!(survivor.total(1), 1);
    }

    #[test]
    fn another_number_of_workers_is_refused() {
        let region = table();
        assert!(Quotas::adopt(region, 0, 2).is_some());
        assert!(Quotas::adopt(region, 0, 3).is_none());
        assert!(Quotas::adopt(region, 2, 2).is_none());
    }

    #[test]
    fn a_limit_holds_whatever_the_workers_do_at_once() {
        const LIMIT: u32 = 5;
        let region = table();
        let held = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for slot in 0..4 {
                let (quota, held) = (Quotas::adopt(region, slot, 4).unwrap().row(9).unwrap(), &held);
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        if quota.take(2, 1, LIMIT) {
                            assert!(held.fetch_add(1, Ordering::SeqCst) < LIMIT);
                            held.fetch_sub(1, Ordering::SeqCst);
                            quota.give(2, 1);
                        }
                    }
                });
            }
        });
        assert_eq!(Quotas::adopt(region, 0, 4).unwrap().row(9).unwrap().total(2), 0);
    }
}
