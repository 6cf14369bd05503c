//! How a cluster chooses among its endpoints.

use std::sync::Arc;

use meshloom_xds::envoy::config::cluster::v3 as proto;

use crate::cluster::{Balance, EndpointSource, LoadBalance};
use crate::compile::load_balance::load_balance;
use crate::compile::parts::percent;
use crate::compile::path::{At, Invalid};
use crate::compile::subset::subsets;
use crate::subset::Subsets;

const DEFAULT_PANIC_PERCENT: f64 = 50.0;

/// Original destinations and their policy go together, and names are hashed where names are resolved.
pub(super) fn balance(
    value: &proto::Cluster,
    endpoints: &EndpointSource,
    at: &At<'_>,
) -> Result<Balance, Invalid> {
    let common = value.common_lb_config.clone().unwrap_or_default();
    let policies = value.load_balancing_policy.as_ref();
    let balance = load_balance(value.lb_policy, value.lb_config.as_ref(), policies, &common, at)?;
    let resolved = matches!(endpoints, EndpointSource::Dns { first_address_only: false, .. });
    let hashing = common.consistent_hashing_lb_config.unwrap_or_default();
    if hashing.use_hostname_for_hashing && !resolved {
        let at = at.field("common_lb_config");
        let at = at.field("consistent_hashing_lb_config");
        return Err(at
            .field("use_hostname_for_hashing")
            .refuse("only endpoints of STRICT_DNS are hashed by name"));
    }
    let original = matches!(endpoints, EndpointSource::OriginalDestination(_));
    match original == (balance.policy == LoadBalance::OriginalDestination) {
        true => Ok(balance),
        false => Err(at
            .field("lb_policy")
            .refuse("CLUSTER_PROVIDED goes with the type ORIGINAL_DST, and with no other")),
    }
}

pub(super) fn subsets_of(
    value: Option<proto::cluster::LbSubsetConfig>,
    endpoints: &EndpointSource,
    at: &At<'_>,
) -> Result<Option<Arc<Subsets>>, Invalid> {
    let at = at.field("lb_subset_config");
    match (value, endpoints) {
        (Some(_), EndpointSource::OriginalDestination(_)) => {
            Err(at.refuse("a cluster of type ORIGINAL_DST has no subsets"))
        }
        (value, _) => Ok(value.map(|value| subsets(value, &at)).transpose()?.flatten().map(Arc::new)),
    }
}

pub(super) fn panic_threshold(
    value: Option<proto::cluster::CommonLbConfig>,
    at: &At<'_>,
) -> Result<f64, Invalid> {
    let given = value.and_then(|common| common.healthy_panic_threshold);
    let at = at.field("common_lb_config");
    percent(given, DEFAULT_PANIC_PERCENT, &at.field("healthy_panic_threshold"))
}
