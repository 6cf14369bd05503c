use super::{Counts, PriorityLoads, Share};
use crate::{BalancerSettings, SplitMix};

fn loads(levels: &[(usize, usize, usize)]) -> Vec<(u32, u32, bool)> {
    loads_with(levels, BalancerSettings::default())
}

/// Each level as (all, healthy, degraded); each share as (healthy, degraded, panic).
fn loads_with(levels: &[(usize, usize, usize)], settings: BalancerSettings) -> Vec<(u32, u32, bool)> {
    let counts: Vec<Counts> = levels
        .iter()
        .map(|(all, healthy, degraded)| Counts { all: *all, healthy: *healthy, degraded: *degraded })
        .collect();
    let shares = PriorityLoads::new(&counts, &settings).shares;
    shares.iter().map(|Share { healthy, degraded, panic }| (*healthy, *degraded, *panic)).collect()
}

#[test]
fn a_priority_is_full_while_seventy_two_percent_are_healthy() {
    assert_eq!(loads(&[(100, 72, 0), (100, 100, 0)]), [(100, 0, false), (0, 0, false)]);
}

#[test]
fn the_rest_spills_to_the_next_priority() {
    assert_eq!(loads(&[(100, 71, 0), (100, 100, 0)]), [(99, 0, false), (1, 0, false)]);
    assert_eq!(loads(&[(100, 50, 0), (100, 100, 0)]), [(70, 0, false), (30, 0, false)]);
    assert_eq!(loads(&[(100, 25, 0), (100, 100, 0)]), [(35, 0, false), (65, 0, false)]);
    assert_eq!(loads(&[(100, 0, 0), (100, 100, 0)]), [(0, 0, false), (100, 0, false)]);
}

#[test]
fn no_priority_panics_while_all_together_can_carry_the_load() {
    assert_eq!(loads(&[(100, 25, 0), (100, 72, 0)]), [(35, 0, false), (65, 0, false)]);
}

#[test]
fn load_is_scaled_up_when_all_together_cannot_carry_it() {
    assert_eq!(loads(&[(100, 25, 0), (100, 25, 0)]), [(50, 0, true), (50, 0, true)]);
    assert_eq!(loads(&[(100, 5, 0), (100, 65, 0)]), [(8, 0, true), (92, 0, false)]);
}

#[test]
fn degraded_endpoints_take_what_healthy_ones_cannot() {
    assert_eq!(loads(&[(100, 50, 50)]), [(70, 30, false)]);
    assert_eq!(loads(&[(100, 0, 100)]), [(0, 100, false)]);
    assert_eq!(loads(&[(100, 50, 20), (100, 10, 0)]), [(70, 16, false), (14, 0, false)]);
}

#[test]
fn an_empty_priority_is_passed_over() {
    assert_eq!(loads(&[(0, 0, 0), (10, 10, 0)]), [(0, 0, false), (100, 0, false)]);
}

#[test]
fn everybody_sick_is_spread_by_size() {
    assert_eq!(loads(&[(30, 0, 0), (10, 0, 0)]), [(75, 0, true), (25, 0, true)]);
}

#[test]
fn without_panic_everybody_sick_means_nobody() {
    let settings = BalancerSettings { panic_threshold: 0, ..BalancerSettings::default() };
    assert_eq!(loads_with(&[(30, 0, 0)], settings), [(100, 0, false)]);
}

#[test]
fn half_of_two_is_not_panic_but_less_is() {
    assert_eq!(loads(&[(2, 1, 0)]), [(100, 0, false)]);
    assert_eq!(loads(&[(3, 1, 0)]), [(100, 0, true)]);
}

#[test]
fn choices_follow_the_shares() {
    let counts =
        [(100, 50, 0), (100, 100, 0)].map(|(all, healthy, degraded)| Counts { all, healthy, degraded });
    let loads = PriorityLoads::new(&counts, &BalancerSettings::default());
    let mut random = SplitMix::new(7);
    let first =
        (0..100_000).filter(|_| loads.choose(&mut random).is_some_and(|(priority, _)| priority == 0)).count();
    assert!((69_000..71_000).contains(&first), "{first}");
}

proptest::proptest! {
    #[test]
    fn shares_always_sum_to_the_whole_load(levels in proptest::collection::vec((0usize..50, 0usize..50, 0usize..50), 1..5)) {
        let levels: Vec<_> = levels.into_iter().map(|(sick, healthy, degraded)| (sick + healthy + degraded, healthy, degraded)).collect();
        let sum: u32 = loads(&levels).iter().map(|(healthy, degraded, _)| healthy + degraded).sum();
        let nobody = levels.iter().all(|(all, ..)| *all == 0);
        proptest::prop_assert!(sum == 100 || (nobody && sum == 0), "{sum} for {levels:?}");
    }
}
