//! Where the endpoints of a cluster come from.

use std::sync::Arc;
use std::time::Duration;

use meshloom_xds::envoy::config::cluster::v3 as proto;
use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::config::endpoint::v3 as endpoint_proto;

use crate::cluster::{DnsTarget, EndpointSource, OriginalDestination};
use crate::compile::context::Context;
use crate::compile::endpoint::endpoints;
use crate::compile::matching::header_name;
use crate::compile::parts::{choice, host_and_port, positive};
use crate::compile::path::{At, Invalid};

const DEFAULT_DNS_REFRESH: Duration = Duration::from_secs(5);
const DEFAULT_CLEANUP: Duration = Duration::from_secs(5);
const ORIGINAL_HEADER: &str = "x-envoy-original-dst-host";

pub(super) fn endpoint_source(
    value: &proto::Cluster,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<EndpointSource, Invalid> {
    use proto::cluster::DiscoveryType;
    let at_assignment = at.field("load_assignment");
    let given = value.load_assignment.as_ref();
    match choice(value.r#type.unwrap_or(0), &at.field("type"))? {
        DiscoveryType::Static => {
            // Without endpoints it is a cluster that nobody answers for, as with Envoy.
            let assignment = given.cloned().unwrap_or_default();
            Ok(EndpointSource::Static(Arc::new(endpoints(assignment, &at_assignment)?)))
        }
        DiscoveryType::Eds => {
            let config = at.field("eds_cluster_config").required(value.eds_cluster_config.as_ref())?;
            let name = if config.service_name.is_empty() { &value.name } else { &config.service_name };
            cx.assignment(name, &at.field("name")).map(EndpointSource::Assigned)
        }
        kind @ (DiscoveryType::StrictDns | DiscoveryType::LogicalDns) => {
            let targets = dns_targets(at_assignment.required(given)?, &at_assignment)?;
            let first_address_only = kind == DiscoveryType::LogicalDns;
            if first_address_only && targets.len() != 1 {
                return Err(at_assignment.refuse("a cluster of type LOGICAL_DNS has exactly one endpoint"));
            }
            let assignment = cx.assignment(&format!("dns|{}", value.name), &at.field("name"))?;
            let refresh =
                positive(value.dns_refresh_rate, DEFAULT_DNS_REFRESH, &at.field("dns_refresh_rate"))?;
            Ok(EndpointSource::Dns { assignment, targets, first_address_only, refresh })
        }
        DiscoveryType::OriginalDst => match given {
            Some(_) => Err(at_assignment.refuse("a cluster of type ORIGINAL_DST has no endpoints")),
            None => original_destination(value, at).map(EndpointSource::OriginalDestination),
        },
    }
}

fn original_destination(value: &proto::Cluster, at: &At<'_>) -> Result<OriginalDestination, Invalid> {
    let config = match &value.lb_config {
        Some(proto::cluster::LbConfig::OriginalDstLbConfig(config)) => config.clone(),
        _ => Default::default(),
    };
    let proto::cluster::OriginalDstLbConfig { use_http_header, http_header_name, upstream_port_override } =
        config;
    let at_config = at.field("original_dst_lb_config");
    let name = if http_header_name.is_empty() { ORIGINAL_HEADER } else { &http_header_name };
    let header =
        use_http_header.then(|| header_name(name, &at_config.field("http_header_name"))).transpose()?;
    let port = upstream_port_override.map(u16::try_from).transpose();
    Ok(OriginalDestination {
        header,
        port: port
            .map_err(|_| at_config.field("upstream_port_override").refuse("a port is at most 65535"))?,
        cleanup: positive(value.cleanup_interval, DEFAULT_CLEANUP, &at.field("cleanup_interval"))?,
    })
}

/// The host names of a cluster. What they resolve to comes as an assignment.
fn dns_targets(
    value: &endpoint_proto::ClusterLoadAssignment,
    at: &At<'_>,
) -> Result<Box<[DnsTarget]>, Invalid> {
    let at = at.field("endpoints");
    let mut targets = Vec::new();
    for (nth, group) in value.endpoints.iter().enumerate() {
        let at = at.item(nth);
        let at = at.field("lb_endpoints");
        for (position, member) in group.lb_endpoints.iter().enumerate() {
            let at = at.item(position);
            let at = at.field("endpoint");
            let at = at.field("address");
            let found = member.endpoint.as_ref().and_then(|endpoint| endpoint.address.as_ref());
            match found.and_then(|address| address.address.as_ref()) {
                Some(core::address::Address::SocketAddress(socket)) => {
                    let (host, port) = host_and_port(socket, &at.field("socket_address"))?;
                    targets.push(DnsTarget { host: host.into(), port });
                }
                _ => return Err(at.refuse("give a socket_address")),
            }
        }
    }
    Ok(targets.into())
}
