use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::{Chosen, Fallback, Labels, Selector, SelectorFallback, SubsetBalancer, SubsetSettings};
use crate::{BalancerSettings, EndpointIndex, EndpointView, LocalityView, Random, SplitMix, Verdict};

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn pairs(of: Pairs<'_>) -> Vec<(Arc<str>, Arc<str>)> {
    of.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

fn labels(of: Pairs<'_>) -> Box<Labels> {
    let one = |(key, value): &(&str, &str)| ((*key).into(), value.split(',').map(Into::into).collect());
    of.iter().map(one).collect()
}

fn selector(keys: &[&str], fallback: SelectorFallback) -> Selector {
    let keys = keys.iter().map(|key| (*key).into()).collect();
    Selector { keys, fallback, single_host: false }
}

fn settings(fallback: Fallback, selectors: Vec<Selector>) -> SubsetSettings {
    SubsetSettings {
        fallback,
        default_subset: pairs(&[("stage", "prod")]).into(),
        selectors: selectors.into(),
        locality_weights: false,
        scale_locality_weights: false,
        panic_mode_any: false,
    }
}

struct Bench {
    balancer: SubsetBalancer,
    random: SplitMix,
}

impl Bench {
    fn new(settings: SubsetSettings, endpoints: &[Pairs<'_>]) -> Self {
        let mut random = SplitMix::new(4);
        let all: Vec<Box<Labels>> = endpoints.iter().map(|each| labels(each)).collect();
        let views = vec![EndpointView::default(); endpoints.len()];
        let localities = vec![LocalityView::default()];
        let balancing = BalancerSettings::default();
        let balancer = SubsetBalancer::new(settings, balancing, views, localities, &all, &mut random);
        Self { balancer, random }
    }

    fn pick(&mut self, criteria: Pairs<'_>) -> Chosen {
        self.balancer.pick(&pairs(criteria), Instant::now(), &mut self.random, &|_| 0)
    }

    /// Everybody who is picked for these criteria.
    fn reach(&mut self, criteria: Pairs<'_>) -> Vec<usize> {
        let picks = (0..60).filter_map(|_| self.pick(criteria).endpoint());
        picks.map(EndpointIndex::get).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// Envoy's own example, in its documentation of subsets.
const EXAMPLE: &[Pairs<'static>] = &[
    &[("stage", "prod"), ("version", "1.0"), ("type", "std")],
    &[("stage", "prod"), ("version", "1.0"), ("type", "std")],
    &[("stage", "prod"), ("version", "1.1"), ("type", "std")],
    &[("stage", "prod"), ("version", "1.0"), ("type", "bigmem")],
    &[("stage", "dev"), ("version", "1.2-pre"), ("type", "std")],
];

fn example() -> Bench {
    let keys: [&[&str]; 4] = [&["stage", "type"], &["stage", "version"], &["version"], &["type"]];
    let selectors = keys.map(|keys| selector(keys, SelectorFallback::Inherit));
    Bench::new(settings(Fallback::Default, selectors.into()), EXAMPLE)
}

#[test]
fn criteria_choose_the_subset_that_has_just_these_labels() {
    let mut bench = example();
    assert_eq!(bench.reach(&[("stage", "prod"), ("version", "1.0")]), [0, 1, 3]);
    assert_eq!(bench.reach(&[("stage", "dev"), ("type", "std")]), [4]);
    assert_eq!(bench.reach(&[("type", "bigmem")]), [3]);
    assert!(matches!(bench.pick(&[("version", "1.1")]), Chosen::Selected(Some(_))));
}

#[test]
fn what_no_subset_fits_goes_to_the_default_subset() {
    let mut bench = example();
    // Unknown values, keys of no selector, and no criteria at all.
    for criteria in
        [&[("version", "9")][..], &[("stage", "prod")], &[("type", "std"), ("version", "1.0")], &[]]
    {
        assert_eq!(bench.reach(criteria), [0, 1, 2, 3], "{criteria:?}");
        assert!(matches!(bench.pick(criteria), Chosen::Fallback(_)));
    }
}

#[test]
fn without_a_fallback_nobody_is_chosen() {
    let selectors = vec![selector(&["version"], SelectorFallback::Inherit)];
    let mut bench = Bench::new(settings(Fallback::None, selectors), EXAMPLE);
    assert_eq!(bench.pick(&[("version", "9")]), Chosen::Nobody);
    assert_eq!(bench.pick(&[]), Chosen::Nobody);
}

#[test]
fn a_selector_has_its_own_fallback_before_the_clusters() {
    let keys = SelectorFallback::Keys(Box::new(["stage".into()]));
    let selectors = vec![
        selector(&["stage", "version"], keys),
        selector(&["stage"], SelectorFallback::To(Fallback::None)),
        selector(&["type"], SelectorFallback::To(Fallback::Any)),
        selector(&["version"], SelectorFallback::To(Fallback::Default)),
    ];
    let mut bench = Bench::new(settings(Fallback::None, selectors), EXAMPLE);
    assert_eq!(bench.reach(&[("stage", "dev"), ("version", "9")]), [4]);
    assert_eq!(bench.pick(&[("stage", "test"), ("version", "9")]), Chosen::SelectorFallback(None));
    assert_eq!(bench.reach(&[("type", "tiny")]), [0, 1, 2, 3, 4]);
    assert_eq!(bench.reach(&[("version", "9")]), [0, 1, 2, 3]);
}

#[test]
fn panic_takes_anybody_when_the_default_subset_is_empty() {
    let base = settings(Fallback::Default, vec![selector(&["version"], SelectorFallback::Inherit)]);
    let settings =
        SubsetSettings { default_subset: pairs(&[("stage", "none")]).into(), panic_mode_any: true, ..base };
    let mut bench = Bench::new(settings, EXAMPLE);
    assert_eq!(bench.reach(&[("version", "9")]), [0, 1, 2, 3, 4]);
    assert!(matches!(bench.pick(&[]), Chosen::Panic(_)));
}

#[test]
fn a_list_puts_an_endpoint_into_the_subset_of_each_item() {
    let selectors = vec![selector(&["version"], SelectorFallback::Inherit)];
    let endpoints: &[Pairs<'_>] = &[&[("version", "1,2")], &[("version", "2,3")]];
    let mut bench = Bench::new(settings(Fallback::None, selectors), endpoints);
    assert_eq!(bench.reach(&[("version", "1")]), [0]);
    assert_eq!(bench.reach(&[("version", "2")]), [0, 1]);
    assert_eq!(bench.balancer.len(), 3);
}

#[test]
fn a_subset_of_one_takes_who_comes_first() {
    let only = Selector { single_host: true, ..selector(&["version"], SelectorFallback::Inherit) };
    let mut bench = Bench::new(settings(Fallback::None, vec![only]), EXAMPLE);
    assert_eq!(bench.reach(&[("version", "1.0")]), [0]);
}

#[test]
fn health_is_known_to_every_subset_of_an_endpoint() {
    let mut bench = example();
    let failed = [(EndpointIndex::new(3), Verdict::Failed)];
    bench.balancer.set_verdicts(&failed, Instant::now(), &mut bench.random);
    assert_eq!(bench.reach(&[("stage", "prod"), ("version", "1.0")]), [0, 1]);
    assert_eq!(bench.reach(&[]), [0, 1, 2]);
    // The last one of its subset: it panics on its own.
    assert_eq!(bench.reach(&[("type", "bigmem")]), [3]);
    bench.balancer.set_ejected(EndpointIndex::new(0), true, &mut bench.random);
    // One of three is left, so this subset panics as well.
    assert_eq!(bench.reach(&[("stage", "prod"), ("version", "1.0")]), [0, 1, 3]);
}

#[test]
fn any_division_sends_to_who_fits_and_to_nobody_else() {
    let mut random = SplitMix::new(77);
    for _ in 0..300 {
        let count = 1 + random.index(8);
        let made: Vec<Vec<(&str, &str)>> = (0..count)
            .map(|_| {
                let keys = ["a", "b", "c"].into_iter().filter(|_| random.percent(70)).collect::<Vec<_>>();
                keys.into_iter().map(|key| (key, ["1", "2"][random.index(2)])).collect()
            })
            .collect();
        let endpoints: Vec<Pairs<'_>> = made.iter().map(Vec::as_slice).collect();
        let selectors = vec![
            selector(&["a", "b"], SelectorFallback::Inherit),
            selector(&["c"], SelectorFallback::Inherit),
        ];
        let mut bench = Bench::new(settings(Fallback::Any, selectors), &endpoints);
        let all: Vec<usize> = (0..count).collect();
        for criteria in [&[("a", "1"), ("b", "2")][..], &[("c", "1")], &[("a", "1")], &[]] {
            // The plain model: filter by all criteria, if a selector has just their keys and anybody is left.
            let has = |nth: &usize| {
                let own: BTreeMap<_, _> = made[*nth].iter().copied().collect();
                criteria.iter().all(|(key, value)| own.get(key) == Some(value))
            };
            let divided = matches!(criteria, [("a", _), ("b", _)] | [("c", _)]);
            let fitting: Vec<usize> = all.iter().copied().filter(|nth| divided && has(nth)).collect();
            let want = if fitting.is_empty() { all.clone() } else { fitting };
            assert_eq!(bench.reach(criteria), want, "{made:?} {criteria:?}");
        }
    }
}
