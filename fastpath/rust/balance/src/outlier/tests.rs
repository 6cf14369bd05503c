use std::time::{Duration, Instant};

use super::{Detector, Ejection, Outcome, OutlierDetector, OutlierSettings, Rule};
use crate::{EndpointIndex, SplitMix};

const FIRST: EndpointIndex = EndpointIndex::new(0);
const OUT_5XX: Option<Ejection> = Some(Ejection::Eject(Detector::Consecutive5xx));

/// Outlier detection over a list, with a clock that moves only when told to.
struct Bench {
    detector: OutlierDetector,
    now: Instant,
    random: SplitMix,
}

impl Bench {
    fn new(endpoints: usize, settings: OutlierSettings) -> Self {
        let now = Instant::now();
        Self { detector: OutlierDetector::new(settings, endpoints, now), now, random: SplitMix::new(1) }
    }

    fn observe(&mut self, endpoint: EndpointIndex, outcome: Outcome) -> Option<Ejection> {
        self.detector.observe(endpoint, outcome, self.now, &mut self.random)
    }

    /// Five errors in a row; gives what the last one caused.
    fn fail(&mut self, endpoint: EndpointIndex) -> Option<Ejection> {
        (0..5).filter_map(|_| self.observe(endpoint, Outcome::Status(500))).last()
    }

    fn after(&mut self, seconds: u64) -> Vec<EndpointIndex> {
        self.now += Duration::from_secs(seconds);
        self.detector.sweep(self.now, &mut self.random).back
    }
}

fn percent(max_ejection_percent: u8) -> OutlierSettings {
    OutlierSettings { max_ejection_percent, ..OutlierSettings::default() }
}

#[test]
fn the_fifth_error_in_a_row_ejects_and_a_success_starts_over() {
    let mut bench = Bench::new(2, percent(50));
    for outcome in [500, 501, 502, 503, 200, 500, 500, 500, 500].map(Outcome::Status) {
        assert_eq!(bench.observe(FIRST, outcome), None);
    }
    assert_eq!(bench.observe(FIRST, Outcome::Status(599)), OUT_5XX);
    assert!(bench.detector.is_ejected(FIRST));
}

#[test]
fn failures_of_ours_count_as_gateway_errors_unless_split_off() {
    let mut bench = Bench::new(2, percent(50));
    let outcomes = [Outcome::ConnectFailed, Outcome::Connected, Outcome::TimedOut, Outcome::ConnectFailed];
    assert!(outcomes.into_iter().all(|outcome| bench.observe(FIRST, outcome).is_none()));
    assert_eq!(bench.observe(FIRST, Outcome::TimedOut), None);
    assert_eq!(bench.observe(FIRST, Outcome::ConnectFailed), OUT_5XX);
}

#[test]
fn split_off_they_have_a_count_of_their_own() {
    let mut bench = Bench::new(2, OutlierSettings { split_local_origin: true, ..percent(50) });
    for _ in 0..4 {
        assert_eq!(bench.observe(FIRST, Outcome::ConnectFailed), None);
        assert_eq!(bench.observe(FIRST, Outcome::Status(500)), None);
    }
    let ejected = bench.observe(FIRST, Outcome::ConnectFailed);
    assert_eq!(ejected, Some(Ejection::Eject(Detector::ConsecutiveLocalOriginFailure)));
}

#[test]
fn ten_percent_of_two_is_nobody() {
    let mut bench = Bench::new(2, OutlierSettings::default());
    assert_eq!(bench.fail(FIRST), Some(Ejection::Overflow(Detector::Consecutive5xx)));
    assert_eq!(bench.detector.ejected(), 0);
    let mut bench = Bench::new(2, OutlierSettings { always_eject_one: true, ..OutlierSettings::default() });
    assert_eq!(bench.fail(FIRST), OUT_5XX);
}

#[test]
fn ten_percent_of_ten_is_one() {
    let mut bench = Bench::new(10, OutlierSettings::default());
    assert_eq!(bench.fail(FIRST), OUT_5XX);
    assert_eq!(bench.fail(EndpointIndex::new(1)), Some(Ejection::Overflow(Detector::Consecutive5xx)));
}

#[test]
fn an_ejection_lasts_longer_each_time_and_the_record_fades() {
    let mut bench = Bench::new(2, percent(100));
    assert_eq!(bench.fail(FIRST), OUT_5XX);
    assert_eq!(bench.after(29), []);
    assert_eq!(bench.after(10), [FIRST]);
    assert_eq!(bench.fail(FIRST), OUT_5XX);
    assert_eq!(bench.after(50), [], "the second one lasts 60 s");
    assert_eq!(bench.after(10), [FIRST]);
    for _ in 0..2 {
        assert_eq!(bench.after(10), []);
    }
    assert_eq!(bench.fail(FIRST), OUT_5XX);
    assert_eq!(bench.after(30), [FIRST], "after two good sweeps it counts as the first again");
}

#[test]
fn nothing_is_noted_of_an_endpoint_that_is_out() {
    let mut bench = Bench::new(2, percent(100));
    bench.fail(FIRST);
    assert_eq!(bench.fail(FIRST), None);
    assert_eq!(bench.detector.ejected(), 1);
}

#[test]
fn a_detector_that_is_not_enforced_only_speaks() {
    let gateway = Rule { threshold: 2, enforcing: 0 };
    let mut bench = Bench::new(2, OutlierSettings { consecutive_gateway: gateway, ..percent(100) });
    assert_eq!(bench.observe(FIRST, Outcome::Status(502)), None);
    let spoke = bench.observe(FIRST, Outcome::Status(504));
    assert_eq!(spoke, Some(Ejection::Tolerate(Detector::ConsecutiveGatewayFailure)));
    assert_eq!(bench.detector.ejected(), 0);
}

#[test]
fn a_changed_list_keeps_what_was_learnt() {
    let mut bench = Bench::new(2, percent(100));
    bench.fail(FIRST);
    let next = bench.detector.carry_over(percent(100), [None, Some(FIRST)].into_iter());
    assert_eq!(
        (next.is_ejected(EndpointIndex::new(0)), next.is_ejected(EndpointIndex::new(1))),
        (false, true)
    );
    assert_eq!(next.ejected(), 1);
}

#[test]
fn jitter_makes_ejections_longer_by_different_times() {
    let jitter = Duration::from_secs(10);
    let returned = |seed: u64| {
        let mut bench = Bench::new(
            2,
            OutlierSettings { ejection_jitter: jitter, interval: Duration::from_secs(1), ..percent(100) },
        );
        bench.random = SplitMix::new(seed);
        assert_eq!(bench.fail(FIRST), OUT_5XX);
        (1..=60).find(|_| bench.after(1) == [FIRST])
    };
    let seconds: Vec<u32> = (0..50).filter_map(returned).collect();
    assert!(seconds.iter().all(|second| (30..=40).contains(second)), "{seconds:?}");
    assert!(seconds.iter().min() < Some(&33) && seconds.iter().max() > Some(&37), "{seconds:?}");
}
