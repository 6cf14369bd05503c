//! What the overload manager was told, as the arbiter hands it on.

use serde::Deserialize;

/// Envoy's `OverloadManager`, checked by whoever read the bootstrap.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct OverloadSettings {
    pub(super) refresh_ms: u64,
    pub(super) monitors: Vec<MonitorSettings>,
    pub(super) actions: Vec<ActionSettings>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct MonitorSettings {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) kind: MonitorKind,
}

/// What is measured, and what is 1.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum MonitorKind {
    /// Memory of all workers.
    FixedHeap { max_bytes: u64 },
    /// Memory of the cgroup, against its limit or `max_bytes`, whichever is less.
    CgroupMemory { max_bytes: Option<u64> },
    /// Connections from downstream, of all workers.
    Connections { max: u64 },
    /// Open files, against the limit of the process.
    Descriptors,
    /// The number in a file, for tests.
    Injected { file: String },
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ActionSettings {
    pub(super) name: ActionName,
    pub(super) triggers: Vec<TriggerSettings>,
}

/// Envoy's names of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum ActionName {
    #[serde(rename = "envoy.overload_actions.disable_http_keepalive")]
    DisableHttpKeepalive,
    #[serde(rename = "envoy.overload_actions.stop_accepting_requests")]
    StopAcceptingRequests,
    #[serde(rename = "envoy.overload_actions.stop_accepting_connections")]
    StopAcceptingConnections,
    #[serde(rename = "envoy.overload_actions.reject_incoming_connections")]
    RejectIncomingConnections,
    #[serde(rename = "envoy.overload_actions.shrink_heap")]
    ShrinkHeap,
}

/// When an action begins: at `from`, and in full at `to`. Equal ones are Envoy's threshold.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct TriggerSettings {
    pub(super) monitor: String,
    from: f64,
    to: f64,
}

impl OverloadSettings {
    /// A worker's share of the connections that all may have; at least one.
    pub(super) fn connections_share(&self, workers: u32) -> Option<u64> {
        let limits = self.monitors.iter().filter_map(|monitor| match monitor.kind {
            MonitorKind::Connections { max } => Some((max / u64::from(workers)).max(1)),
            _ => None,
        });
        limits.min()
    }
}

impl ActionName {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::DisableHttpKeepalive => "envoy.overload_actions.disable_http_keepalive",
            Self::StopAcceptingRequests => "envoy.overload_actions.stop_accepting_requests",
            Self::StopAcceptingConnections => "envoy.overload_actions.stop_accepting_connections",
            Self::RejectIncomingConnections => "envoy.overload_actions.reject_incoming_connections",
            Self::ShrinkHeap => "envoy.overload_actions.shrink_heap",
        }
    }
}

impl TriggerSettings {
    /// How much of the action this pressure asks for.
    pub(super) fn value(&self, pressure: f64) -> f64 {
        match pressure {
            _ if pressure >= self.to => 1.0,
            _ if pressure <= self.from => 0.0,
            _ => (pressure - self.from) / (self.to - self.from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(from: f64, to: f64) -> TriggerSettings {
        TriggerSettings { monitor: String::new(), from, to }
    }

    #[test]
    fn a_threshold_is_all_or_nothing() {
        let trigger = trigger(0.9, 0.9);
        assert_eq!(trigger.value(0.89), 0.0);
        assert_eq!(trigger.value(0.9), 1.0);
    }

    #[test]
    fn a_scaled_trigger_grows() {
        let trigger = trigger(0.5, 0.9);
        assert_eq!(trigger.value(0.5), 0.0);
        assert!((trigger.value(0.7) - 0.5).abs() < 1e-9);
        assert_eq!(trigger.value(0.95), 1.0);
    }

    #[test]
    fn what_the_arbiter_says_is_understood() {
        let settings: OverloadSettings = serde_json::from_str(
            r#"{"refresh_ms": 250,
                "monitors": [{"name": "m", "kind": "cgroup_memory", "max_bytes": null},
                             {"name": "c", "kind": "connections", "max": 100}],
                "actions": [{"name": "envoy.overload_actions.shrink_heap",
                             "triggers": [{"monitor": "m", "from": 0.9, "to": 0.9}]}]}"#,
        )
        .expect("valid");
        assert_eq!(settings.connections_share(4), Some(25));
        assert_eq!(settings.connections_share(1000), Some(1));
    }
}
