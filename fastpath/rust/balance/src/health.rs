//! What active health checks make of their results: when an endpoint becomes unhealthy or healthy, and how long to wait
//! until the next check. Envoy's rules.

use std::time::Duration;

use crate::{Random, Verdict};

/// What one check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    Passed {
        degraded: bool,
    },
    /// No answer, or one that counts one by one.
    Failed,
    /// An answer that says by itself that the endpoint is unhealthy.
    Refused,
}

/// What a finding changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Nothing,
    /// The verdict is another one now.
    Verdict,
    /// More findings like this will change it.
    Near,
}

/// How many findings it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckRules {
    pub unhealthy_threshold: u32,
    pub healthy_threshold: u32,
}

/// The findings about one endpoint so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckRecord {
    failed: bool,
    degraded: bool,
    /// Nothing was found yet.
    first: bool,
    passed_in_row: u32,
    failed_in_row: u32,
}

impl CheckRecord {
    /// Begins with what was known before; an endpoint of which nothing is known has failed until it passes.
    #[must_use]
    pub fn new(known: Option<Verdict>) -> Self {
        Self {
            failed: !matches!(known, Some(Verdict::Passed | Verdict::Degraded)),
            degraded: known == Some(Verdict::Degraded),
            first: known.is_none(),
            passed_in_row: 0,
            failed_in_row: 0,
        }
    }

    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match (self.failed, self.degraded) {
            (true, _) => Verdict::Failed,
            (false, true) => Verdict::Degraded,
            (false, false) => Verdict::Passed,
        }
    }

    /// Whether nothing was found yet.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.first
    }

    /// Takes one finding.
    pub fn note(&mut self, finding: Finding, rules: CheckRules) -> Change {
        let first = std::mem::take(&mut self.first);
        let change = match finding {
            Finding::Passed { degraded } => self.passed(degraded, first, rules),
            Finding::Failed => self.failed(false, rules),
            Finding::Refused => self.failed(true, rules),
        };
        // The first finding is always news.
        if first { Change::Verdict } else { change }
    }

    fn passed(&mut self, degraded: bool, first: bool, rules: CheckRules) -> Change {
        self.failed_in_row = 0;
        let mut change = Change::Nothing;
        if self.failed {
            self.passed_in_row = self.passed_in_row.saturating_add(1);
            if first || self.passed_in_row >= rules.healthy_threshold {
                self.failed = false;
                change = Change::Verdict;
            } else {
                change = Change::Near;
            }
        }
        if self.degraded != degraded {
            self.degraded = degraded;
            change = Change::Verdict;
        }
        change
    }

    fn failed(&mut self, at_once: bool, rules: CheckRules) -> Change {
        self.passed_in_row = 0;
        if self.failed {
            return Change::Nothing;
        }
        self.failed_in_row = self.failed_in_row.saturating_add(1);
        if at_once || self.failed_in_row >= rules.unhealthy_threshold {
            self.failed = true;
            self.failed_in_row = 0;
            Change::Verdict
        } else {
            Change::Near
        }
    }
}

/// How long to wait between checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckPauses {
    pub healthy: Duration,
    pub healthy_edge: Duration,
    pub unhealthy: Duration,
    pub unhealthy_edge: Duration,
    pub no_traffic: Duration,
    pub no_traffic_healthy: Duration,
    pub jitter: Duration,
    /// Of the pause.
    pub jitter_percent: u32,
}

impl CheckPauses {
    /// The time to the next check after a finding. `used` is whether the cluster has ever carried traffic.
    #[must_use]
    pub fn after(&self, passed: bool, change: Change, used: bool, random: &mut impl Random) -> Duration {
        let near = change == Change::Near;
        let pause = match (used, passed) {
            (true, true) if near => self.healthy_edge,
            (true, true) => self.healthy,
            (true, false) if near => self.unhealthy_edge,
            (true, false) => self.unhealthy,
            (false, true) if !near => self.no_traffic_healthy,
            (false, _) => self.no_traffic,
        };
        let share = pause.saturating_mul(self.jitter_percent) / 100;
        pause + upto(share, random) + upto(self.jitter, random)
    }
}

/// Any time below `limit`.
pub fn upto(limit: Duration, random: &mut impl Random) -> Duration {
    Duration::from_nanos(random.below(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SplitMix;

    const RULES: CheckRules = CheckRules { unhealthy_threshold: 3, healthy_threshold: 2 };
    const PASSED: Finding = Finding::Passed { degraded: false };

    fn run(record: &mut CheckRecord, findings: &[Finding]) -> Vec<Verdict> {
        findings
            .iter()
            .map(|finding| {
                record.note(*finding, RULES);
                record.verdict()
            })
            .collect()
    }

    #[test]
    fn the_first_check_decides_alone() {
        assert_eq!(run(&mut CheckRecord::new(None), &[PASSED]), [Verdict::Passed]);
        assert_eq!(run(&mut CheckRecord::new(None), &[Finding::Failed]), [Verdict::Failed]);
    }

    #[test]
    fn thresholds_count_findings_in_a_row() {
        use Verdict::{Failed, Passed};
        let mut record = CheckRecord::new(Some(Passed));
        let findings =
            [Finding::Failed, Finding::Failed, PASSED, Finding::Failed, Finding::Failed, Finding::Failed];
        assert_eq!(run(&mut record, &findings), [Passed, Passed, Passed, Passed, Passed, Failed]);
        let findings = [PASSED, Finding::Failed, PASSED, PASSED];
        assert_eq!(run(&mut record, &findings), [Failed, Failed, Failed, Passed]);
    }

    #[test]
    fn a_wrong_answer_needs_no_second_one() {
        let mut record = CheckRecord::new(Some(Verdict::Passed));
        assert_eq!(run(&mut record, &[Finding::Refused]), [Verdict::Failed]);
    }

    #[test]
    fn degraded_is_said_and_taken_back_at_once() {
        let mut record = CheckRecord::new(Some(Verdict::Passed));
        let findings = [Finding::Passed { degraded: true }, PASSED];
        assert_eq!(run(&mut record, &findings), [Verdict::Degraded, Verdict::Passed]);
    }

    #[test]
    fn any_findings_lead_where_the_plain_model_says() {
        let mut random = SplitMix::new(9);
        for _ in 0..500 {
            let rules = CheckRules {
                unhealthy_threshold: 1 + random.below(4) as u32,
                healthy_threshold: 1 + random.below(4) as u32,
            };
            let mut record = CheckRecord::new(None);
            let mut findings = Vec::new();
            let mut healthy = false;
            for turn in 0..40 {
                let finding = [PASSED, Finding::Failed, Finding::Failed, Finding::Refused][random.index(4)];
                findings.push(finding);
                record.note(finding, rules);
                // As often as the threshold says, one after the other, counted from the end; since the last change.
                let run = findings
                    .iter()
                    .rev()
                    .take_while(|past| (**past == PASSED) == (finding == PASSED))
                    .count();
                healthy = match finding {
                    Finding::Passed { .. } => healthy || turn == 0 || run as u32 >= rules.healthy_threshold,
                    Finding::Failed => healthy && (run as u32) < rules.unhealthy_threshold,
                    Finding::Refused => false,
                };
                assert_eq!(record.verdict() == Verdict::Passed, healthy, "{rules:?} {findings:?}");
            }
        }
    }

    #[test]
    fn pauses_follow_the_finding_the_change_and_the_traffic() {
        let seconds = Duration::from_secs;
        let pauses = CheckPauses {
            healthy: seconds(1),
            healthy_edge: seconds(2),
            unhealthy: seconds(3),
            unhealthy_edge: seconds(4),
            no_traffic: seconds(5),
            no_traffic_healthy: seconds(6),
            jitter: Duration::ZERO,
            jitter_percent: 0,
        };
        let mut random = SplitMix::new(1);
        let mut after = |passed, change, used| pauses.after(passed, change, used, &mut random).as_secs();
        assert_eq!(after(true, Change::Nothing, true), 1);
        assert_eq!(after(true, Change::Near, true), 2);
        assert_eq!(after(false, Change::Verdict, true), 3);
        assert_eq!(after(false, Change::Near, true), 4);
        assert_eq!(after(false, Change::Nothing, false), 5);
        assert_eq!(after(true, Change::Near, false), 5);
        assert_eq!(after(true, Change::Verdict, false), 6);
    }

    #[test]
    fn jitter_is_added_and_stays_below_its_limits() {
        let second = Duration::from_secs(1);
        let pauses = CheckPauses {
            healthy: second,
            healthy_edge: second,
            unhealthy: second,
            unhealthy_edge: second,
            no_traffic: second,
            no_traffic_healthy: second,
            jitter: Duration::from_millis(200),
            jitter_percent: 50,
        };
        let mut random = SplitMix::new(1);
        let all: Vec<_> = (0..1000).map(|_| pauses.after(true, Change::Nothing, true, &mut random)).collect();
        assert!(all.iter().all(|pause| (second..second * 17 / 10).contains(pause)));
        assert!(all.iter().any(|pause| *pause > second * 3 / 2));
    }
}
