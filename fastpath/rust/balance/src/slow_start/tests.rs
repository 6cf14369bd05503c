use std::time::{Duration, Instant};

use super::SlowStart;
use crate::{Balancer, BalancerSettings, EndpointIndex, EndpointView, Policy, Random, SplitMix, Verdict};

const MINUTE: SlowStart = SlowStart { window: Duration::from_secs(60), aggression: 1.0, least_share: 0.1 };

fn settings(policy: Policy) -> BalancerSettings {
    BalancerSettings { policy, slow_start: Some(MINUTE), ..BalancerSettings::default() }
}

/// The share of the picks that the last endpoint gets at this time.
fn share(balancer: &mut Balancer, at: Instant, picks: u32) -> f64 {
    let mut random = SplitMix::new(5);
    let last = EndpointIndex::new(balancer.endpoints().len() as u32 - 1);
    let hits = (0..picks).filter(|_| balancer.pick(at, &mut random, |_| 0) == Some(last)).count();
    hits as f64 / f64::from(picks)
}

#[test]
fn the_factor_is_envoys_formula_at_any_age() {
    let began = Instant::now();
    let mut random = SplitMix::new(2);
    for _ in 0..2_000 {
        let start = SlowStart {
            window: Duration::from_millis(1 + random.below(100_000)),
            aggression: (1 + random.below(400)) as f64 / 100.0,
            least_share: random.below(101) as f64 / 100.0,
        };
        let age = random.below(150_000);
        // Envoy: max(min share, (max(1 s, age) / window) ^ (1 / aggression)) inside the window, else 1.
        let window = start.window.as_millis() as f64;
        let model = if age as f64 >= window {
            1.0
        } else {
            ((age.max(1000) as f64 / window).powf(1.0 / start.aggression)).max(start.least_share).min(1.0)
        };
        let factor = start.factor(began, began + Duration::from_millis(age));
        assert!((factor - model).abs() < 1e-9, "{start:?} at {age} ms: {factor}, not {model}");
    }
}

#[test]
fn a_new_endpoint_grows_into_its_share() {
    for policy in [Policy::RoundRobin, Policy::LeastRequest { choices: 2 }] {
        let began = Instant::now();
        let old = EndpointView::default();
        let new = EndpointView { since: Some(began), ..old.clone() };
        let mut balancer = Balancer::new(settings(policy), vec![old, new], vec![], &mut SplitMix::new(1));
        let mut before = 0.0;
        for seconds in [1, 15, 30, 45] {
            let now = share(&mut balancer, began + Duration::from_secs(seconds), 4_000);
            let factor = MINUTE.factor(began, began + Duration::from_secs(seconds));
            assert!((now - factor / (1.0 + factor)).abs() < 0.02, "{policy:?} {seconds}: {now}");
            assert!(now > before);
            before = now;
        }
        assert!((share(&mut balancer, began + Duration::from_secs(60), 4_000) - 0.5).abs() < 0.02);
    }
}

#[test]
fn an_endpoint_that_passes_again_starts_anew() {
    let began = Instant::now();
    let mut random = SplitMix::new(1);
    let views = vec![EndpointView::default(); 2];
    let mut balancer = Balancer::new(settings(Policy::RoundRobin), views, vec![], &mut random);
    let last = EndpointIndex::new(1);
    assert!((share(&mut balancer, began, 1_000) - 0.5).abs() < 0.01);
    balancer.set_verdicts([(last, Verdict::Failed)].into_iter(), began, &mut random);
    assert_eq!(share(&mut balancer, began, 1_000), 0.0);
    balancer.set_verdicts([(last, Verdict::Passed)].into_iter(), began, &mut random);
    assert!((share(&mut balancer, began + Duration::from_secs(6), 11_000) - 1.0 / 11.0).abs() < 0.01);
}

#[test]
fn all_new_endpoints_share_evenly() {
    let began = Instant::now();
    let views = vec![EndpointView { since: Some(began), ..EndpointView::default() }; 4];
    let mut balancer = Balancer::new(settings(Policy::RoundRobin), views, vec![], &mut SplitMix::new(1));
    assert!((share(&mut balancer, began + Duration::from_secs(2), 4_000) - 0.25).abs() < 0.01);
}
