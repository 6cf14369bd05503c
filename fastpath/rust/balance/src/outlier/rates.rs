//! Ejection by statistics: who fails far more often than the others do, or more often than is allowed.

use super::{Detector, OutlierSettings, Rule};
use crate::EndpointIndex;

/// Ejects endpoints whose success rate is below the mean of all by more than so many standard deviations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuccessRate {
    /// With fewer endpoints that have enough requests nothing is said. Default 5.
    pub minimum_hosts: u32,
    /// Requests between two sweeps that an endpoint needs to be looked at. Default 100.
    pub request_volume: u32,
    /// Standard deviations, in thousandths. Default 1900.
    pub stdev_factor: u32,
    /// Percent of the detections that eject. Default 100.
    pub enforcing: u8,
    /// The same for failures on our side, where they are told apart.
    pub enforcing_local_origin: u8,
}

/// Ejects endpoints that fail more than so many percent of their requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailurePercentage {
    /// Percent of failures from which on an endpoint is ejected. Default 85.
    pub threshold: u8,
    /// Default 5.
    pub minimum_hosts: u32,
    /// Default 50.
    pub request_volume: u32,
    /// Percent of the detections that eject. Default 0: off.
    pub enforcing: u8,
    /// The same for failures on our side, where they are told apart. Default 0.
    pub enforcing_local_origin: u8,
}

impl Default for SuccessRate {
    fn default() -> Self {
        Self {
            minimum_hosts: 5,
            request_volume: 100,
            stdev_factor: 1900,
            enforcing: 100,
            enforcing_local_origin: 100,
        }
    }
}

impl Default for FailurePercentage {
    fn default() -> Self {
        Self { threshold: 85, minimum_hosts: 5, request_volume: 50, enforcing: 0, enforcing_local_origin: 0 }
    }
}

/// Requests of one endpoint since the last sweep.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    total: u32,
    good: u32,
}

impl Tally {
    pub(super) fn add(&mut self, good: bool) {
        self.total = self.total.saturating_add(1);
        self.good = self.good.saturating_add(u32::from(good));
    }

    /// `None` without requests.
    pub(super) fn rate(self) -> Option<Rate> {
        (self.total > 0).then(|| Rate {
            volume: self.total,
            percent: f64::from(self.good) * 100.0 / f64::from(self.total),
        })
    }
}

/// How many requests an endpoint had, and what percentage of them succeeded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    volume: u32,
    percent: f64,
}

/// The rates of the endpoints that are in rotation.
pub(super) struct Rates {
    /// All endpoints, in rotation or not.
    pub(super) endpoints: usize,
    pub(super) rates: Vec<(EndpointIndex, Rate)>,
}

impl Rates {
    /// Who is to go, by which detector.
    pub(super) fn outliers(
        &self,
        settings: &OutlierSettings,
        local: bool,
    ) -> Vec<(EndpointIndex, Detector, Rule)> {
        let mut found = self.below_the_others(&settings.success_rate, local);
        found.extend(self.above_the_limit(&settings.failure_percentage, local));
        found
    }

    fn below_the_others(&self, rule: &SuccessRate, local: bool) -> Vec<(EndpointIndex, Detector, Rule)> {
        let seen = self.with_volume(rule.request_volume, rule.minimum_hosts);
        if seen.is_empty() {
            return Vec::new();
        }
        let count = seen.len() as f64;
        let mean = seen.iter().map(|(_, rate)| rate.percent).sum::<f64>() / count;
        let variance = seen.iter().map(|(_, rate)| (rate.percent - mean).powi(2)).sum::<f64>() / count;
        let least = mean - f64::from(rule.stdev_factor) / 1000.0 * variance.sqrt();
        let (detector, enforcing) = match local {
            false => (Detector::SuccessRate, rule.enforcing),
            true => (Detector::LocalOriginSuccessRate, rule.enforcing_local_origin),
        };
        let worse = seen.into_iter().filter(|(_, rate)| rate.percent < least);
        worse.map(|(endpoint, _)| (endpoint, detector, Rule { threshold: 1, enforcing })).collect()
    }

    fn above_the_limit(&self, rule: &FailurePercentage, local: bool) -> Vec<(EndpointIndex, Detector, Rule)> {
        let (detector, enforcing) = match local {
            false => (Detector::FailurePercentage, rule.enforcing),
            true => (Detector::LocalOriginFailurePercentage, rule.enforcing_local_origin),
        };
        let seen = self.with_volume(rule.request_volume, rule.minimum_hosts);
        let worse = seen.into_iter().filter(|(_, rate)| 100.0 - rate.percent >= f64::from(rule.threshold));
        worse.map(|(endpoint, _)| (endpoint, detector, Rule { threshold: 1, enforcing })).collect()
    }

    /// Endpoints with enough requests; none where they are too few to compare.
    fn with_volume(&self, volume: u32, minimum_hosts: u32) -> Vec<(EndpointIndex, Rate)> {
        let minimum = minimum_hosts as usize;
        let seen: Vec<_> = self.rates.iter().copied().filter(|(_, rate)| rate.volume >= volume).collect();
        if self.endpoints < minimum || seen.len() < minimum { Vec::new() } else { seen }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::{Detector, Ejection, Outcome, OutlierDetector, OutlierSettings, Rule};
    use super::{FailurePercentage, SuccessRate};
    use crate::{EndpointIndex, Random, SplitMix};

    const OFF: Rule = Rule { threshold: 0, enforcing: 0 };

    fn settings() -> OutlierSettings {
        OutlierSettings {
            consecutive_5xx: OFF,
            consecutive_gateway: OFF,
            max_ejection_percent: 100,
            ..OutlierSettings::default()
        }
    }

    /// What a sweep says after each endpoint has had so many requests, of which so many failed.
    fn sweep(settings: OutlierSettings, endpoints: &[(u32, u32)]) -> Vec<(usize, Ejection)> {
        let began = Instant::now();
        let mut random = SplitMix::new(3);
        let mut detector = OutlierDetector::new(settings, endpoints.len(), began);
        for (nth, (total, failed)) in (0..).map(EndpointIndex::new).zip(endpoints) {
            for request in 0..*total {
                let status = if request < *failed { 500 } else { 200 };
                detector.observe(nth, Outcome::Status(status), began, &mut random);
            }
        }
        let swept = detector.sweep(began + Duration::from_secs(10), &mut random);
        assert_eq!(detector.sweep(began + Duration::from_secs(20), &mut random).ejections, []);
        swept.ejections.into_iter().map(|(endpoint, ejection)| (endpoint.get(), ejection)).collect()
    }

    #[test]
    fn who_is_far_worse_than_the_others_goes() {
        let found = sweep(settings(), &[(100, 1), (100, 2), (100, 1), (100, 0), (100, 1), (100, 60)]);
        assert_eq!(found, [(5, Ejection::Eject(Detector::SuccessRate))]);
    }

    #[test]
    fn too_few_requests_or_endpoints_say_nothing() {
        assert_eq!(sweep(settings(), &[(100, 0), (100, 0), (100, 0), (100, 90)]), []);
        assert_eq!(sweep(settings(), &[(100, 0), (100, 0), (100, 0), (100, 0), (99, 80)]), []);
    }

    #[test]
    fn the_threshold_is_that_of_the_formula_for_any_rates() {
        let mut random = SplitMix::new(8);
        for _ in 0..200 {
            let hosts: Vec<(u32, u32)> =
                (0..5 + random.below(10)).map(|_| (100, random.below(101) as u32)).collect();
            let rates: Vec<f64> = hosts.iter().map(|(_, failed)| 100.0 - f64::from(*failed)).collect();
            let mean = rates.iter().sum::<f64>() / rates.len() as f64;
            let stdev =
                (rates.iter().map(|r| (r - mean) * (r - mean)).sum::<f64>() / rates.len() as f64).sqrt();
            let want: Vec<usize> = (0..rates.len()).filter(|n| rates[*n] < mean - 1.9 * stdev).collect();
            let found = sweep(settings(), &hosts).into_iter();
            let found = found.filter(|(_, said)| said.detector() == Detector::SuccessRate);
            let found: Vec<usize> = found.map(|(nth, _)| nth).collect();
            assert_eq!(found, want, "{rates:?}");
        }
    }

    #[test]
    fn a_failure_percentage_is_a_plain_limit() {
        let rule = FailurePercentage { enforcing: 100, ..FailurePercentage::default() };
        let off = SuccessRate { minimum_hosts: 100, ..SuccessRate::default() };
        let settings = OutlierSettings { failure_percentage: rule, success_rate: off, ..settings() };
        let found = sweep(settings, &[(50, 42), (50, 43), (50, 50), (50, 0), (50, 0), (49, 49)]);
        let eject = Ejection::Eject(Detector::FailurePercentage);
        assert_eq!(found, [(1, eject), (2, eject)]);
    }

    #[test]
    fn a_detector_that_is_not_enforced_only_counts() {
        let rule = SuccessRate { enforcing: 0, ..SuccessRate::default() };
        let settings = OutlierSettings { success_rate: rule, ..settings() };
        let found = sweep(settings, &[(100, 0), (100, 0), (100, 0), (100, 0), (100, 80), (100, 0)]);
        assert_eq!(found, [(4, Ejection::Tolerate(Detector::SuccessRate))]);
    }
}
