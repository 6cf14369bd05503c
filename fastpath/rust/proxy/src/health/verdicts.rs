//! What is known of endpoints from health checks, and what the other workers and the agent are told.

use std::collections::HashMap;

use meshloom_balance::Verdict;
use serde::{Deserialize, Serialize};

/// What one endpoint is, as messages say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Known {
    Passed,
    Degraded,
    Failed,
    /// Failed, because no answer came in time.
    TimedOut,
    /// Failed, and asked not to count among the endpoints meanwhile.
    Left,
    /// It is of the cluster no more.
    Gone,
}

impl Known {
    pub(super) fn new(verdict: Verdict, timed_out: bool) -> Self {
        match verdict {
            Verdict::Left => Self::Left,
            Verdict::Passed => Self::Passed,
            Verdict::Degraded => Self::Degraded,
            Verdict::Failed | Verdict::Pending if timed_out => Self::TimedOut,
            Verdict::Failed | Verdict::Pending => Self::Failed,
        }
    }

    /// `None`: nothing is known.
    pub(crate) fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Passed => Some(Verdict::Passed),
            Self::Degraded => Some(Verdict::Degraded),
            Self::Failed | Self::TimedOut => Some(Verdict::Failed),
            Self::Left => Some(Verdict::Left),
            Self::Gone => None,
        }
    }
}

/// By address.
pub(crate) type Verdicts = HashMap<String, Known>;

/// What is to be told to the arbiter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HealthReport {
    /// Verdicts that are new.
    Verdicts { cluster: String, verdicts: Verdicts },
    /// An endpoint has said in an answer that it fails.
    Unwell { cluster: String, address: String },
    /// A cluster has carried its first traffic here.
    Used { cluster: String },
    /// Outlier detection has taken an endpoint out, or put it back.
    Ejected { cluster: String, address: String, ejected: bool },
}
