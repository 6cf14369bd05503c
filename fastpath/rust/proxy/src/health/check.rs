//! The checks of one endpoint.

use std::rc::Rc;
use std::sync::Arc;

use meshloom_balance::{CheckPauses, CheckRecord, CheckRules, Finding, Verdict};
use meshloom_model::Address;
use meshloom_model::health::{HealthCheck, Probe};

use super::reply::Answer;
use super::talk::Talk;
use crate::reactor::Millis;
use crate::transport::Transport;
use crate::upstream::Host;

/// One endpoint and where its checks are.
pub(crate) struct Check {
    pub(crate) host: Rc<Host>,
    pub(crate) spec: Arc<HealthCheck>,
    pub(super) record: CheckRecord,
    /// It has failed and asked not to count meanwhile.
    pub(super) left: bool,
    pub(super) stage: Stage,
    pub(super) link: Option<Link>,
    /// The next check, or the end of the present one.
    pub(super) deadline: Millis,
}

/// A connection to the endpoint.
pub(super) struct Link {
    pub(super) io: Transport,
    pub(super) talk: Talk,
    pub(super) connecting: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// For the next check.
    Waiting,
    /// For the connection.
    Opening,
    /// For the answer.
    Asking,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Answer(Answer),
    TimedOut,
    /// None was made: an answer to somebody's request says that the endpoint fails.
    Told,
}

impl End {
    pub(super) fn finding(self) -> Finding {
        match self {
            Self::Answer(Answer::Good { degraded }) => Finding::Passed { degraded },
            Self::Answer(Answer::Wrong { .. } | Answer::Stranger) | Self::Told => Finding::Refused,
            Self::Answer(Answer::Doubtful | Answer::Broken) | Self::TimedOut => Finding::Failed,
        }
    }

    /// The endpoint asks not to count among the others until it passes again.
    pub(super) fn leaves(self) -> bool {
        matches!(self, Self::Answer(Answer::Wrong { leaves: true }) | Self::Told)
    }

    /// It failed because nothing was heard.
    pub(super) fn is_network(self) -> bool {
        matches!(self, Self::Answer(Answer::Broken) | Self::TimedOut)
    }
}

impl Check {
    pub(super) fn new(host: &Rc<Host>, spec: &Arc<HealthCheck>, first: Millis) -> Self {
        Self {
            record: CheckRecord::new(host.verdict()),
            left: host.verdict() == Some(Verdict::Left),
            host: Rc::clone(host),
            spec: Arc::clone(spec),
            stage: Stage::Waiting,
            link: None,
            deadline: first,
        }
    }

    pub(super) fn rules(&self) -> CheckRules {
        CheckRules {
            unhealthy_threshold: self.spec.unhealthy_threshold,
            healthy_threshold: self.spec.healthy_threshold,
        }
    }

    pub(super) fn pauses(&self) -> CheckPauses {
        let pauses = &self.spec.pauses;
        CheckPauses {
            healthy: pauses.healthy,
            healthy_edge: pauses.healthy_edge,
            unhealthy: pauses.unhealthy,
            unhealthy_edge: pauses.unhealthy_edge,
            no_traffic: pauses.no_traffic,
            no_traffic_healthy: pauses.no_traffic_healthy,
            jitter: pauses.jitter,
            jitter_percent: pauses.jitter_percent,
        }
    }

    /// Where the endpoint is checked.
    pub(super) fn address(&self) -> Address {
        let own = self.host.endpoint().check.as_ref().and_then(|check| check.address.clone());
        own.unwrap_or_else(|| self.host.address())
    }

    /// What it is called in requests.
    pub(super) fn authority(&self, cluster: &str) -> Arc<str> {
        let own = self.host.endpoint().check.as_ref().and_then(|check| check.hostname.clone());
        let configured = match &self.spec.probe {
            Probe::Http(probe) => probe.host.clone(),
            Probe::Grpc(probe) => probe.authority.clone(),
            Probe::Tcp(_) => None,
        };
        own.or(configured).unwrap_or_else(|| cluster.into())
    }

    /// What kind of check it is, in Envoy's event log.
    pub(super) fn kind(&self) -> &'static str {
        match self.spec.probe {
            Probe::Http(_) => "HTTP",
            Probe::Tcp(_) => "TCP",
            Probe::Grpc(_) => "GRPC",
        }
    }
}
