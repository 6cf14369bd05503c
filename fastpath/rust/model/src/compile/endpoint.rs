//! Endpoint assignments.

use std::sync::Arc;

use meshloom_xds as xds;
use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::config::endpoint::v3 as proto;

use super::health::endpoint_check;
use super::parts::{address, choice};
use super::path::{At, Invalid};
use super::subset::{canonical, subset_labels};
use crate::endpoint::{Endpoint, Endpoints, Health, Locality, LocalityGroup};

const DEFAULT_OVERPROVISIONING: u32 = 140;
/// Priorities at most, as in Envoy.
const MAX_PRIORITY: u32 = 128;

type Labels = Box<[(Arc<str>, Arc<str>)]>;

pub(super) fn endpoints(value: proto::ClusterLoadAssignment, at: &At<'_>) -> Result<Endpoints, Invalid> {
    let proto::ClusterLoadAssignment { cluster_name: _, endpoints, policy } = value;
    let proto::cluster_load_assignment::Policy { overprovisioning_factor } = policy.unwrap_or_default();
    let overprovisioning_percent = overprovisioning_factor.unwrap_or(DEFAULT_OVERPROVISIONING);
    if overprovisioning_percent == 0 {
        return Err(at.field("policy").field("overprovisioning_factor").refuse("this must be more than 0"));
    }
    let mut localities = Vec::with_capacity(endpoints.len());
    let mut by_priority: Vec<Vec<Endpoint>> = Vec::new();
    let at = at.field("endpoints");
    for (nth, group) in endpoints.into_iter().enumerate() {
        let (group, members) = locality(group, u32::try_from(nth).unwrap_or(u32::MAX), &at.item(nth))?;
        let priority = group.priority as usize;
        if by_priority.len() <= priority {
            by_priority.resize_with(priority + 1, Vec::new);
        }
        if let Some(slot) = by_priority.get_mut(priority) {
            slot.extend(members);
        }
        localities.push(group);
    }
    if let Some(gap) =
        (0..by_priority.len()).find(|wanted| localities.iter().all(|l| l.priority as usize != *wanted))
    {
        return Err(at.refuse(format!(
            "priorities are counted from 0 without gaps, but there is none of priority {gap}"
        )));
    }
    Ok(Endpoints {
        priorities: by_priority.iter().map(Vec::len).collect(),
        all: by_priority.into_iter().flatten().collect(),
        localities: localities.into(),
        overprovisioning_percent,
    })
}

fn locality(
    value: proto::LocalityLbEndpoints,
    nth: u32,
    at: &At<'_>,
) -> Result<(LocalityGroup, Vec<Endpoint>), Invalid> {
    let proto::LocalityLbEndpoints { locality, metadata, lb_endpoints, load_balancing_weight, priority } =
        value;
    if priority > MAX_PRIORITY {
        return Err(at.field("priority").refuse(format!("give 0 to {MAX_PRIORITY}")));
    }
    let core::Locality { region, zone, sub_zone } = locality.unwrap_or_default();
    let group = LocalityGroup {
        locality: Locality { region: region.into(), zone: zone.into(), sub_zone: sub_zone.into() },
        priority,
        weight: load_balancing_weight,
    };
    let labels: Arc<[(Arc<str>, Arc<str>)]> =
        metadata.as_ref().map(transport_labels).unwrap_or_default().into_vec().into();
    let at = at.field("lb_endpoints");
    let members = lb_endpoints.into_iter().enumerate();
    let members = members.map(|(position, value)| endpoint(value, nth, &labels, &at.item(position)));
    Ok((group, members.collect::<Result<_, _>>()?))
}

fn endpoint(
    value: proto::LbEndpoint,
    locality: u32,
    locality_labels: &Arc<[(Arc<str>, Arc<str>)]>,
    at: &At<'_>,
) -> Result<Endpoint, Invalid> {
    let proto::LbEndpoint { endpoint, health_status, metadata, load_balancing_weight } = value;
    let at_endpoint = at.field("endpoint");
    let proto::Endpoint { address: where_to, health_check_config, hostname } =
        at_endpoint.required(endpoint)?;
    let metadata = metadata.unwrap_or_default();
    let address = address(where_to, &at_endpoint.field("address"))?;
    let check = health_check_config
        .map(|value| endpoint_check(value, &address, &at_endpoint.field("health_check_config")))
        .transpose()?;
    Ok(Endpoint {
        address,
        hostname: hostname.into(),
        health: health(health_status, &at.field("health_status"))?,
        weight: match load_balancing_weight {
            Some(0) => return Err(at.field("load_balancing_weight").refuse("this must be at least 1")),
            weight => weight.unwrap_or(1),
        },
        locality,
        labels: transport_labels(&metadata),
        locality_labels: Arc::clone(locality_labels),
        hash_key: metadata.filter_metadata.get("envoy.lb").and_then(|lb| text_in(lb, "hash_key")),
        subset_labels: subset_labels(&metadata),
        check: check.map(Arc::new),
        workload: metadata.filter_metadata.get("istio").and_then(|istio| text_in(istio, "workload")),
    })
}

fn health(value: i32, at: &At<'_>) -> Result<Health, Invalid> {
    use core::HealthStatus;
    Ok(match choice(value, at)? {
        HealthStatus::Unknown | HealthStatus::Healthy => Health::Healthy,
        HealthStatus::Unhealthy | HealthStatus::Timeout => Health::Unhealthy,
        HealthStatus::Draining => Health::Draining,
        HealthStatus::Degraded => Health::Degraded,
    })
}

fn transport_labels(metadata: &core::Metadata) -> Labels {
    metadata.filter_metadata.get("envoy.transport_socket_match").map(labels).unwrap_or_default()
}

/// The entries of an object, each value as one text.
pub(super) fn labels(value: &xds::Struct) -> Labels {
    value.fields.iter().map(|(key, value)| (key.as_str().into(), canonical(value))).collect()
}

/// A text of an object.
pub(super) fn text_in(value: &xds::Struct, key: &str) -> Option<Arc<str>> {
    match &value.fields.get(key)?.kind {
        Some(xds::value::Kind::StringValue(text)) => Some(text.as_str().into()),
        _ => None,
    }
}
