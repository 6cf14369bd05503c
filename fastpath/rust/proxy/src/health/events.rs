//! The event log: a JSON object a line, as Envoy writes its HealthCheckEvent.

use std::sync::Arc;

use meshloom_balance::{Change, Verdict};
use meshloom_model::Address;
use meshloom_model::endpoint::Locality;
use meshloom_model::template::TimeFormat;
use serde_json::{Value, json};

use super::check::{Check, End};
use crate::engine::Engine;
use crate::upstream::Host;

/// What happened, with its name in the event.
pub(super) struct Findings {
    pub(super) end: End,
    /// The HTTP status of the answer, zero without one.
    pub(super) status: u16,
    pub(super) change: Change,
    pub(super) first: bool,
    pub(super) before: Verdict,
}

impl Engine {
    /// Writes what a check changed, and what else is asked for.
    pub(super) fn log_check(&mut self, check: &Check, cluster: &str, findings: &Findings) {
        let Some(log) = &check.spec.event_log else { return };
        let events = events(check, findings, log.every_failure, log.every_success);
        if events.is_empty() {
            return;
        }
        let Some(path) = log.path.to_str() else { return };
        let sink = self.logs.open(path);
        let now = self.now();
        let locality = self.locality_of(&check.host);
        for (name, what) in events {
            let line = json!({
                "health_checker_type": check.kind(),
                "host": host(&check.host.address()),
                "cluster_name": cluster,
                "locality": locality,
                "timestamp": timestamp(self.clock.wall()),
                name: what,
            });
            self.logs.append(sink, now, |out| out.extend_from_slice(format!("{line}\n").as_bytes()));
        }
    }
}

impl Engine {
    fn locality_of(&self, of: &Host) -> Value {
        let endpoints = self.snapshot.cluster(of.cluster).and_then(|spec| self.snapshot.endpoints(spec));
        let endpoint = of.endpoint();
        let found = endpoints.and_then(|all| all.locality_of(&endpoint)).map(|group| &group.locality);
        let of = |name: fn(&Locality) -> &Arc<str>| found.map_or("", |locality| name(locality));
        json!({"region": of(|at| &at.region), "zone": of(|at| &at.zone), "sub_zone": of(|at| &at.sub_zone)})
    }
}

fn events(check: &Check, findings: &Findings, failures: bool, successes: bool) -> Vec<(&'static str, Value)> {
    let after = check.record.verdict();
    let changed = findings.change == Change::Verdict;
    let first = findings.first;
    let failed = findings.before == Verdict::Failed;
    let mut events = Vec::new();
    match findings.end {
        End::Answer(super::reply::Answer::Good { .. }) => {
            if changed && failed {
                events.push(("add_healthy_event", json!({"first_check": first})));
            } else if successes {
                events.push(("successful_health_check_event", json!({})));
            }
            match (findings.before == Verdict::Degraded, after == Verdict::Degraded) {
                (false, true) => events.push(("degraded_healthy_host", json!({}))),
                (true, false) => events.push(("no_longer_degraded_host", json!({}))),
                _ => {}
            }
        }
        end => {
            let kind = match end {
                End::TimedOut => "NETWORK_TIMEOUT",
                End::Told => "PASSIVE",
                _ if end.is_network() => "NETWORK",
                _ => "ACTIVE",
            };
            if changed && !failed {
                events.push((
                    "eject_unhealthy_event",
                    json!({"failure_type": kind, "http_status_code": findings.status}),
                ));
            }
            if first || failures {
                let what = json!({
                    "failure_type": kind,
                    "first_check": first,
                    "http_status_code": findings.status,
                });
                events.push(("health_check_failure_event", what));
            }
        }
    }
    events
}

fn host(address: &Address) -> Value {
    match address {
        Address::Ip(ip) => json!({
            "socket_address": {
                "protocol": "TCP",
                "address": ip.ip().to_string(),
                "port_value": ip.port(),
                "resolver_name": "",
                "network_namespace_filepath": "",
                "ipv4_compat": false,
            }
        }),
        Address::Unix(path) => json!({"pipe": {"path": path.display().to_string(), "mode": 0}}),
    }
}

fn timestamp(wall: std::time::Duration) -> String {
    let mut out = Vec::new();
    if let Some(format) = TimeFormat::parse("%Y-%m-%dT%H:%M:%S.%3fZ") {
        format.write(u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX), &mut out);
    }
    String::from_utf8_lossy(&out).into_owned()
}
