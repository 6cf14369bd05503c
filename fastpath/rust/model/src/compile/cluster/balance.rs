//! How a cluster chooses among its endpoints.

use std::sync::Arc;

use meshloom_xds::envoy::config::cluster::v3 as proto;

use crate::cluster::{EndpointSource, LoadBalance, SlowStart};
use crate::compile::parts::{choice, duration, percent};
use crate::compile::path::{At, Invalid};
use crate::compile::subset::subsets;
use crate::subset::Subsets;

const DEFAULT_PANIC_PERCENT: f64 = 50.0;

pub(super) fn load_balance(
    policy: i32,
    config: Option<&proto::cluster::LbConfig>,
    endpoints: &EndpointSource,
    at: &At<'_>,
) -> Result<LoadBalance, Invalid> {
    use proto::cluster::{LbConfig, LbPolicy};
    let at_policy = at.field("lb_policy");
    let balance = match (choice(policy, &at_policy)?, config) {
        (LbPolicy::RoundRobin, _) => LoadBalance::RoundRobin,
        (LbPolicy::LeastRequest, Some(LbConfig::LeastRequestLbConfig(config))) => {
            let choices = config.choice_count.unwrap_or(2);
            if choices < 2 {
                return Err(at
                    .field("least_request_lb_config")
                    .field("choice_count")
                    .refuse("this must be at least 2"));
            }
            LoadBalance::LeastRequest { choices }
        }
        (LbPolicy::LeastRequest, _) => LoadBalance::LeastRequest { choices: 2 },
        (LbPolicy::Random, _) => LoadBalance::Random,
        (LbPolicy::ClusterProvided, _) => LoadBalance::OriginalDestination,
        (LbPolicy::RingHash | LbPolicy::Maglev, _) => {
            return Err(at_policy.refuse(
                "consistent hashing is not implemented yet; give ROUND_ROBIN, LEAST_REQUEST or RANDOM",
            ));
        }
        (LbPolicy::LoadBalancingPolicyConfig, _) => {
            return Err(at_policy.refuse("give ROUND_ROBIN, LEAST_REQUEST or RANDOM"));
        }
    };
    let original = matches!(endpoints, EndpointSource::OriginalDestination(_));
    match original == (balance == LoadBalance::OriginalDestination) {
        true => Ok(balance),
        false => Err(at_policy.refuse("CLUSTER_PROVIDED goes with the type ORIGINAL_DST, and with no other")),
    }
}

pub(super) fn slow_start(
    value: Option<proto::cluster::LbConfig>,
    at: &At<'_>,
) -> Result<Option<SlowStart>, Invalid> {
    use proto::cluster::LbConfig;
    let (config, at) = match value {
        Some(LbConfig::RoundRobinLbConfig(config)) => {
            (config.slow_start_config, at.field("round_robin_lb_config"))
        }
        Some(LbConfig::LeastRequestLbConfig(config)) => {
            (config.slow_start_config, at.field("least_request_lb_config"))
        }
        _ => return Ok(None),
    };
    let at = at.field("slow_start_config");
    let Some(proto::cluster::SlowStartConfig { slow_start_window, aggression, min_weight_percent }) = config
    else {
        return Ok(None);
    };
    let aggression = aggression.map_or(1.0, |value| value.default_value);
    if !(aggression > 0.0 && aggression.is_finite()) {
        return Err(at.field("aggression").field("default_value").refuse("this must be more than 0"));
    }
    let Some(window) = duration(slow_start_window, &at.field("slow_start_window"))? else { return Ok(None) };
    let least_percent = percent(min_weight_percent, 10.0, &at.field("min_weight_percent"))?;
    Ok((!window.is_zero()).then_some(SlowStart { window, aggression, least_percent }))
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

pub(super) fn panic_threshold(value: &proto::cluster::CommonLbConfig, at: &At<'_>) -> Result<f64, Invalid> {
    let at = at.field("common_lb_config");
    percent(
        value.healthy_panic_threshold.clone(),
        DEFAULT_PANIC_PERCENT,
        &at.field("healthy_panic_threshold"),
    )
}
