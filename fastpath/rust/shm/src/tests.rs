//! The promises of the region: monotonic over restarts, sound under concurrent reading, never a crash.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;

use super::layout::{self, MIN_LEN, header};
use super::*;

fn adopt(region: Region) -> Telemetry {
    Telemetry::adopt(region, Limits::default()).0
}

fn region() -> Region {
    Region::private(MIN_LEN * 4).unwrap()
}

fn total(region: Region, flat: &str) -> u64 {
    let mut reader = Reader::new(region);
    let found: Vec<Series> = reader.poll().unwrap().iter().filter(|s| s.flat == flat).cloned().collect();
    found.iter().map(|series| reader.read(series)[0]).sum()
}

#[test]
fn same_name_gives_the_same_series() {
    let mut telemetry = adopt(region());
    telemetry.counter("a", "a", &[("code", "200")]).add(2);
    telemetry.counter("a", "a", &[("code", "200")]).add(3);
    assert_eq!(telemetry.counter("a", "a", &[("code", "200")]).get(), 5);
    assert_eq!(telemetry.counter("a", "a", &[("code", "503")]).get(), 0);
}

#[test]
fn names_cannot_be_confused_with_labels() {
    let mut telemetry = adopt(region());
    telemetry.counter("a", "b", &[]).inc();
    assert_eq!(telemetry.counter("ab", "", &[]).get(), 0);
    assert_eq!(telemetry.gauge("a", "b", &[]).get(), 0);
}

#[test]
fn a_new_worker_keeps_counters_and_resets_gauges() {
    let region = region();
    let mut first = adopt(region);
    first.counter("requests", "requests", &[]).add(7);
    first.gauge("active", "active", &[]).add(3);
    first.histogram(Bounds::Bytes, "size", "size", &[]).record(12);
    let (mut second, adoption) = Telemetry::adopt(region, Limits::default());
    assert_eq!(adoption, Adoption::Adopted { series: 5 + 3 });
    assert_eq!(second.counter("requests", "requests", &[]).get(), 7);
    assert_eq!(second.gauge("active", "active", &[]).get(), 0);
    assert_eq!(second.histogram(Bounds::Bytes, "size", "size", &[]).sum(), 12);
    assert_eq!(second.counter("late", "late", &[]).get(), 0);
    assert_eq!(total(region, "requests"), 7);
    assert_eq!(region.load(header::GENERATION), 2);
}

#[test]
fn a_value_on_a_bound_belongs_to_its_bucket() {
    let mut telemetry = adopt(region());
    let duration = telemetry.histogram(Bounds::DurationMs, "d", "d", &[]);
    for microseconds in [0, 500, 501, 1_000, 3_600_000_000, 3_600_000_001] {
        duration.record(microseconds);
    }
    let counts = duration.counts();
    assert_eq!((counts[0], counts[1], counts[18], counts[19]), (2, 2, 1, 1));
    assert_eq!(duration.sum(), 7_200_002_002);
}

#[test]
fn beyond_the_cardinality_limit_everything_counts_as_other() {
    let region = region();
    let (mut telemetry, _) = Telemetry::adopt(region, Limits { series_per_metric: 2 });
    for path in ["a", "b", "c", "d", "c"] {
        telemetry.counter("m", "m", &[("path", path)]).inc();
    }
    let mut reader = Reader::new(region);
    let other =
        reader.poll().unwrap().iter().find(|s| s.labels == [("path".into(), OTHER.into())]).cloned().unwrap();
    assert_eq!(reader.read(&other), [3]);
    assert_eq!(telemetry.dropped(), 3);
}

#[test]
fn a_full_region_counts_in_the_shared_overflow_series() {
    let region = Region::private(MIN_LEN).unwrap();
    let mut telemetry = adopt(region);
    let count = if cfg!(miri) { 400 } else { 2_000 };
    for n in 0..count {
        telemetry.counter(&format!("metric_{n}"), &format!("metric_{n}"), &[]).inc();
    }
    let mut reader = Reader::new(region);
    let series = reader.poll().unwrap().to_vec();
    let counted: u64 = series.iter().filter(|s| s.kind == Kind::Counter).map(|s| reader.read(s)[0]).sum();
    assert_eq!(counted, count);
    assert!(telemetry.dropped() > 0);
}

#[test]
fn an_overlong_name_is_counted_as_overflow() {
    let mut telemetry = adopt(region());
    let long = "x".repeat(layout::MAX_DESCRIPTOR);
    telemetry.counter(&long, &long, &[]).inc();
    assert_eq!(telemetry.counter("telemetry.overflow_counter", "telemetry.overflow_counter", &[]).get(), 1);
}

#[test]
fn a_living_worker_repairs_what_others_changed() {
    let region = region();
    let mut telemetry = adopt(region);
    telemetry.counter("requests", "requests", &[]).add(9);
    for word in [header::MAGIC, header::EPOCH, header::PUBLISHED, layout::HEADER_LEN / 8 + 3] {
        region.store(word, 0xdead_beef);
    }
    assert!(Reader::new(region).poll().is_err());
    assert_eq!(telemetry.repair(), 4);
    assert_eq!(total(region, "requests"), 9);
    assert_eq!(region.load(header::REPAIRS), 4);
}

#[test]
fn another_layout_version_is_made_anew_and_counted() {
    let region = region();
    let epoch = {
        adopt(region).counter("a", "a", &[]).inc();
        region.load(header::EPOCH)
    };
    region.store(header::VERSION, 99);
    let (mut telemetry, adoption) = Telemetry::adopt(region, Limits::default());
    assert_eq!(adoption, Adoption::Rebuilt(ReadError::Version(99)));
    assert_eq!(telemetry.counter("a", "a", &[]).get(), 0);
    assert_eq!(region.load(header::REBUILDS), 1);
    assert_ne!(region.load(header::EPOCH), epoch);
}

#[test]
fn a_series_that_was_not_published_is_written_over() {
    let region = region();
    let mut telemetry = adopt(region);
    telemetry.counter("whole", "whole", &[]).inc();
    let published = region.load(header::PUBLISHED);
    telemetry.counter("torn", "torn", &[]).add(5);
    region.store(header::PUBLISHED, published); // as if killed just before the last store
    let mut next = adopt(region);
    assert_eq!(next.counter("fresh", "fresh", &[]).get(), 0);
    assert_eq!(total(region, "fresh") + total(region, "torn"), 0);
}

#[test]
fn a_reader_meanwhile_sees_only_whole_series() {
    let region = region();
    let mut telemetry = adopt(region);
    let rounds = if cfg!(miri) { 20 } else { 200 };
    let reading = std::thread::spawn(move || {
        let mut reader = Reader::new(region);
        while reader.poll().unwrap().len() < 5 + rounds {
            std::thread::yield_now();
        }
        reader.poll().unwrap().iter().map(|s| s.flat.clone()).collect::<Vec<_>>()
    });
    for n in 0..rounds {
        telemetry.counter(&format!("metric_{n}"), "metric", &[("n", &n.to_string())]).inc();
    }
    let seen = reading.join().unwrap();
    assert_eq!(seen[5 + rounds - 1], format!("metric_{}", rounds - 1));
}

#[test]
fn a_mapped_file_is_shared_and_checked_for_its_length() {
    if cfg!(miri) {
        return; // miri has no shared file mappings
    }
    let file = || rustix::fs::memfd_create("telemetry", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let short = file();
    rustix::fs::ftruncate(&short, 4096).unwrap();
    assert!(matches!(Region::attach(short, MIN_LEN), Err(AttachError::Truncated { .. })));
    assert!(matches!(Region::attach(file(), 100), Err(AttachError::Length(100))));
    let shared = file();
    rustix::fs::ftruncate(&shared, MIN_LEN as u64).unwrap();
    let writer = Region::attach(shared.try_clone().unwrap(), MIN_LEN).unwrap();
    adopt(writer).counter("requests", "requests", &[]).add(4);
    assert_eq!(total(Region::attach(shared, MIN_LEN).unwrap(), "requests"), 4);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, ..ProptestConfig::default() })]

    /// Whatever is written over a region, readers return and a new worker counts.
    #[test]
    fn random_damage_never_crashes(damage in prop::collection::vec((0usize..MIN_LEN / 8, any::<u64>()), 1..64)) {
        let region = Region::private(MIN_LEN).unwrap();
        let mut telemetry = adopt(region);
        for n in 0..20 {
            telemetry.counter(&format!("c{n}"), "c", &[("n", &n.to_string())]).inc();
        }
        for (word, value) in damage {
            region.words[word].fetch_xor(value, Relaxed);
        }
        if let Ok(series) = Reader::new(region).poll() {
            prop_assert!(series.len() <= 25);
        }
        let mut next = adopt(region);
        let counter = next.counter("after", "after", &[]);
        counter.inc();
        prop_assert!(Reader::new(region).poll().is_ok());
    }
}
