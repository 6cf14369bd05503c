//! What whoever feeds the engine must know of a resource: what to bind, to subscribe to, to resolve.

use std::time::Duration;

use super::context::Context;
use super::path::{At, Invalid};
use super::update::{Compiled, Kind, Rejected, agreed_name, compile};
use crate::cluster::{DnsTarget, EndpointSource};
use crate::listener::Listen;

/// What a valid resource asks of whoever feeds the engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceSummary {
    /// Its name.
    pub name: String,
    /// Sockets to listen on; none for a listener that binds no port.
    pub listens: Vec<Listen>,
    /// Route tables it refers to, by RDS name.
    pub route_names: Vec<String>,
    /// Endpoint assignments it refers to, by EDS name. Those that DNS makes are in `dns`.
    pub eds_names: Vec<String>,
    /// Secrets it refers to, by SDS name.
    pub secret_names: Vec<String>,
    /// Clusters it refers to.
    pub cluster_names: Vec<String>,
    /// Host names to resolve.
    pub dns: Option<DnsSummary>,
}

/// Host names to resolve for a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSummary {
    /// Name of the endpoint assignment to hand the addresses in as.
    pub assignment: String,
    /// What to resolve.
    pub targets: Vec<DnsTarget>,
    /// Only the first address of the answer is used.
    pub first_address_only: bool,
    /// How often to ask again.
    pub refresh: Duration,
}

/// Compiles a resource by itself, which changes nothing, and says what it asks for; or what is wrong with it.
///
/// `bytes` is the content of the `Any`. `name` is the name the resource travels under; empty is its own.
pub fn summarise(type_url: &str, name: &str, bytes: &[u8]) -> Result<ResourceSummary, Vec<Rejected>> {
    let reject = |found: Vec<Invalid>| {
        let rejected = |Invalid { path, reason }| Rejected {
            type_url: type_url.to_owned(),
            name: name.to_owned(),
            path,
            reason,
        };
        found.into_iter().map(rejected).collect::<Vec<_>>()
    };
    let kind = Kind::of(type_url)
        .ok_or_else(|| reject(vec![At::ROOT.refuse("resources of this type are not supported")]))?;
    let name = &agreed_name(name, bytes).map_err(|invalid| reject(vec![invalid]))?;
    let mut cx = Context::default();
    let compiled = compile(kind, name, type_url, bytes, &mut cx).map_err(reject)?;
    Ok(summary(name, &compiled, cx))
}

fn summary(name: &str, compiled: &Compiled, cx: Context) -> ResourceSummary {
    let references = cx.references;
    let mut made = ResourceSummary {
        name: name.to_owned(),
        route_names: references.routes.into_iter().collect(),
        eds_names: references.assignments.into_iter().collect(),
        secret_names: references.secrets.into_iter().collect(),
        cluster_names: references.clusters.into_iter().collect(),
        ..ResourceSummary::default()
    };
    match compiled {
        Compiled::Listener(_, listener) if listener.bind_to_port => {
            made.listens = listener.listens.to_vec();
        }
        Compiled::Cluster(cluster) => {
            if let EndpointSource::Dns { targets, first_address_only, refresh, .. } = &cluster.endpoints {
                made.dns = Some(DnsSummary {
                    assignment: made.eds_names.drain(..).next().unwrap_or_default(),
                    targets: targets.to_vec(),
                    first_address_only: *first_address_only,
                    refresh: *refresh,
                });
            }
        }
        _ => {}
    }
    made
}
