use std::time::Instant;

use super::{Balancer, BalancerSettings, Policy};
use crate::{EndpointIndex, EndpointView, Health, LocalityView, SplitMix};

const LEAST_REQUEST: Policy = Policy::LeastRequest { choices: 2 };

fn weighted(weights: &[u32]) -> Vec<EndpointView> {
    weights.iter().map(|weight| EndpointView { weight: *weight, ..EndpointView::default() }).collect()
}

fn with(policy: Policy) -> BalancerSettings {
    BalancerSettings { policy, ..BalancerSettings::default() }
}

/// How often each endpoint was picked while no request was in flight.
fn shares(settings: BalancerSettings, endpoints: Vec<EndpointView>, picks: usize) -> Vec<usize> {
    let mut random = SplitMix::new(11);
    let mut counts = vec![0; endpoints.len()];
    let mut balancer = Balancer::new(settings, endpoints, vec![], &mut random);
    for _ in 0..picks {
        if let Some(endpoint) = balancer.pick(Instant::now(), &mut random, |_| 0) {
            counts[endpoint.get()] += 1;
        }
    }
    counts
}

fn assert_near(counts: &[usize], want: &[usize]) {
    let total: usize = want.iter().sum();
    for (have, want) in counts.iter().zip(want) {
        assert!(have.abs_diff(*want) <= total / 50, "{counts:?}");
    }
}

#[test]
fn round_robin_takes_turns() {
    assert_eq!(shares(with(Policy::RoundRobin), weighted(&[1, 1, 1]), 30), [10, 10, 10]);
}

#[test]
fn round_robin_keeps_to_weights_exactly() {
    assert_eq!(shares(with(Policy::RoundRobin), weighted(&[1, 2, 7]), 1000), [100, 200, 700]);
}

#[test]
fn random_ignores_weights() {
    assert_near(&shares(with(Policy::Random), weighted(&[1, 2, 7]), 30_000), &[10_000, 10_000, 10_000]);
}

#[test]
fn least_request_without_load_is_even_or_by_weight() {
    assert_near(&shares(with(LEAST_REQUEST), weighted(&[3, 3]), 10_000), &[5_000, 5_000]);
    assert_near(&shares(with(LEAST_REQUEST), weighted(&[1, 3]), 10_000), &[2_500, 7_500]);
}

#[test]
fn least_request_prefers_the_idle_of_two() {
    let mut random = SplitMix::new(3);
    let mut balancer = Balancer::new(with(LEAST_REQUEST), weighted(&[1, 1, 1, 1]), vec![], &mut random);
    let busy = EndpointIndex::new(2);
    let picks =
        (0..16_000).filter_map(|_| balancer.pick(Instant::now(), &mut random, |e| u32::from(e == busy)));
    // The busy one is chosen only when both draws hit it: one in sixteen.
    let on_busy = picks.filter(|endpoint| *endpoint == busy).count();
    assert!((900..1100).contains(&on_busy), "{on_busy}");
}

#[test]
fn weighted_least_request_divides_weight_by_load() {
    let mut random = SplitMix::new(3);
    let mut balancer = Balancer::new(with(LEAST_REQUEST), weighted(&[3, 1]), vec![], &mut random);
    // Weight 3 with two in flight is worth as much as weight 1 with none.
    let picks = (0..10_000)
        .filter_map(|_| balancer.pick(Instant::now(), &mut random, |e| if e.get() == 0 { 2 } else { 0 }));
    assert_near(&[picks.filter(|endpoint| endpoint.get() == 0).count()], &[5_000]);
}

#[test]
fn unhealthy_endpoints_get_nothing_until_panic() {
    let mut endpoints = weighted(&[1, 1, 1, 1]);
    endpoints[0].health = Health::Unhealthy;
    assert_eq!(shares(with(Policy::RoundRobin), endpoints.clone(), 300), [0, 100, 100, 100]);
    endpoints[1].health = Health::Unhealthy;
    endpoints[2].health = Health::Unhealthy;
    assert_eq!(shares(with(Policy::RoundRobin), endpoints, 400), [100, 100, 100, 100]);
}

#[test]
fn with_panic_off_nobody_healthy_means_no_endpoint() {
    let settings = BalancerSettings { panic_threshold: 0, ..with(LEAST_REQUEST) };
    let sick = EndpointView { health: Health::Unhealthy, ..EndpointView::default() };
    assert_eq!(shares(settings, vec![sick.clone(), sick], 100), [0, 0]);
    assert_eq!(shares(settings, vec![], 100), [0usize; 0]);
}

#[test]
fn an_ejected_endpoint_leaves_at_once_and_comes_back() {
    let mut random = SplitMix::new(5);
    let mut balancer = Balancer::new(with(Policy::RoundRobin), weighted(&[1, 1, 1]), vec![], &mut random);
    let out = EndpointIndex::new(1);
    balancer.set_ejected(out, true, &mut random);
    assert_eq!(balancer.available(), 2);
    assert!((0..20).all(|_| balancer.pick(Instant::now(), &mut random, |_| 0) != Some(out)));
    balancer.set_ejected(out, false, &mut random);
    assert_eq!(
        (0..30).filter(|_| balancer.pick(Instant::now(), &mut random, |_| 0) == Some(out)).count(),
        10
    );
}

#[test]
fn a_retry_goes_elsewhere_if_there_is_an_elsewhere() {
    let mut random = SplitMix::new(5);
    let mut balancer = Balancer::new(with(Policy::RoundRobin), weighted(&[1, 1]), vec![], &mut random);
    let tried = [EndpointIndex::new(0)];
    assert!((0..50).all(|_| balancer.pick_another(Instant::now(), &mut random, |_| 0, &tried, 5)
        == Some(EndpointIndex::new(1))));
    balancer.set_ejected(EndpointIndex::new(1), true, &mut random);
    assert_eq!(
        balancer.pick_another(Instant::now(), &mut random, |_| 0, &tried, 5),
        Some(EndpointIndex::new(0))
    );
}

#[test]
fn the_second_priority_takes_what_the_first_cannot() {
    let mut endpoints = weighted(&[1; 20]);
    for (index, endpoint) in endpoints.iter_mut().enumerate() {
        endpoint.priority = u32::from(index >= 10);
        endpoint.health = if index < 5 { Health::Unhealthy } else { Health::Healthy };
    }
    let counts = shares(with(Policy::RoundRobin), endpoints, 10_000);
    assert_near(&[counts[5..10].iter().sum(), counts[10..].iter().sum()], &[7_000, 3_000]);
}

#[test]
fn localities_share_by_weight_and_lose_what_over_provisioning_cannot_cover() {
    let settings = BalancerSettings { weighted_localities: true, ..with(Policy::RoundRobin) };
    let localities = vec![LocalityView { weight: 1 }, LocalityView { weight: 3 }];
    let mut endpoints = weighted(&[1, 1, 1, 1, 1, 1, 1, 1]);
    for (index, endpoint) in endpoints.iter_mut().enumerate() {
        endpoint.locality = u32::from(index >= 4);
    }
    let count_first = |endpoints: Vec<EndpointView>| {
        let mut random = SplitMix::new(9);
        let mut balancer = Balancer::new(settings, endpoints, localities.clone(), &mut random);
        (0..8_000)
            .filter_map(|_| balancer.pick(Instant::now(), &mut random, |_| 0))
            .filter(|e| e.get() < 4)
            .count()
    };
    assert_near(&[count_first(endpoints.clone()), 6_000], &[2_000, 6_000]);
    // Half of the heavy one: 3 * 1.4 * 0.5 = 2.1 against 1.
    endpoints[4].health = Health::Unhealthy;
    endpoints[5].health = Health::Unhealthy;
    assert_near(&[count_first(endpoints), 5_419], &[2_581, 5_419]);
}

proptest::proptest! {
    #[test]
    fn no_seed_makes_round_robin_uneven(seed: u64, size in 1usize..40, rounds in 1usize..20) {
        let mut random = SplitMix::new(seed);
        let mut balancer = Balancer::new(with(Policy::RoundRobin), weighted(&vec![1; size]), vec![], &mut random);
        let mut counts = vec![0; size];
        for _ in 0..size * rounds {
            counts[balancer.pick(Instant::now(), &mut random, |_| 0).unwrap().get()] += 1;
        }
        proptest::prop_assert!(counts.iter().all(|count| *count == rounds), "{:?}", counts);
    }

    #[test]
    fn weighted_round_robin_is_never_off_by_more_than_its_size(seed: u64, weights in proptest::collection::vec(1u32..20, 1..10)) {
        let mut random = SplitMix::new(seed);
        let mut balancer = Balancer::new(with(Policy::RoundRobin), weighted(&weights), vec![], &mut random);
        let total: u32 = weights.iter().sum();
        let mut counts = vec![0u32; weights.len()];
        for _ in 0..total * 10 {
            counts[balancer.pick(Instant::now(), &mut random, |_| 0).unwrap().get()] += 1;
        }
        for (count, weight) in counts.iter().zip(&weights) {
            proptest::prop_assert!(count.abs_diff(weight * 10) <= 2, "{:?} for {:?}", counts, weights);
        }
    }
}
