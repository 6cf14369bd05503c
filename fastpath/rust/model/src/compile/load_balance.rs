//! How a cluster chooses among its endpoints, in both ways to say it.

use meshloom_xds as xds;
use meshloom_xds::envoy::config::cluster::v3 as proto;
use meshloom_xds::envoy::config::cluster::v3::cluster::{LbConfig, LbPolicy};
use meshloom_xds::envoy::extensions::load_balancing_policies as policies;

use super::parts::{choice, duration, extension, percent, unpack, unsupported};
use super::path::{At, Invalid};
use super::types;
use crate::cluster::{Balance, HashFunction, LoadBalance, SlowStart};

/// The most points of a ring.
const MAX_RING: u64 = 8 << 20;
const DEFAULT_RING: u64 = 1024;
/// The largest Maglev table.
const MAX_TABLE: u64 = 5_000_011;
const DEFAULT_TABLE: u64 = 65_537;

pub(super) fn load_balance(
    policy: i32,
    config: Option<&LbConfig>,
    extensions: Option<&proto::LoadBalancingPolicy>,
    common: &proto::cluster::CommonLbConfig,
    at: &At<'_>,
) -> Result<Balance, Invalid> {
    if let Some(list) = extensions {
        return typed(list, &at.field("load_balancing_policy"));
    }
    let hashing = common.consistent_hashing_lb_config.as_ref();
    let (policy, slow_start) = old_way(policy, config, at)?;
    Ok(Balance {
        policy,
        slow_start,
        weighted_localities: common.locality_weighted_lb_config.is_some(),
        hash_hostnames: hashing.is_some_and(|config| config.use_hostname_for_hashing),
    })
}

fn old_way(
    policy: i32,
    config: Option<&LbConfig>,
    at: &At<'_>,
) -> Result<(LoadBalance, Option<SlowStart>), Invalid> {
    let at_policy = at.field("lb_policy");
    let none = Ok((LoadBalance::Random, None));
    match (choice(policy, &at_policy)?, config) {
        (LbPolicy::RoundRobin, Some(LbConfig::RoundRobinLbConfig(config))) => {
            let at = at.field("round_robin_lb_config");
            Ok((LoadBalance::RoundRobin, slow_start(config.slow_start_config.as_ref(), &at)?))
        }
        (LbPolicy::RoundRobin, _) => Ok((LoadBalance::RoundRobin, None)),
        (LbPolicy::LeastRequest, Some(LbConfig::LeastRequestLbConfig(config))) => {
            let at = at.field("least_request_lb_config");
            let policy = least_request(config.choice_count, &at)?;
            Ok((policy, slow_start(config.slow_start_config.as_ref(), &at)?))
        }
        (LbPolicy::LeastRequest, _) => Ok((LoadBalance::LeastRequest { choices: 2 }, None)),
        (LbPolicy::Random, _) => none,
        (LbPolicy::ClusterProvided, _) => Ok((LoadBalance::OriginalDestination, None)),
        (LbPolicy::RingHash, config) => {
            use proto::cluster::ring_hash_lb_config::HashFunction as Function;
            let at = at.field("ring_hash_lb_config");
            let config = match config {
                Some(LbConfig::RingHashLbConfig(config)) => config.clone(),
                _ => Default::default(),
            };
            let function = match choice(config.hash_function, &at.field("hash_function"))? {
                Function::XxHash => HashFunction::XxHash,
                Function::MurmurHash2 => HashFunction::Murmur2,
            };
            Ok((ring(config.minimum_ring_size, config.maximum_ring_size, function, &at)?, None))
        }
        (LbPolicy::Maglev, Some(LbConfig::MaglevLbConfig(config))) => {
            Ok((maglev(config.table_size, &at.field("maglev_lb_config"))?, None))
        }
        (LbPolicy::Maglev, _) => Ok((LoadBalance::Maglev { size: DEFAULT_TABLE }, None)),
        (LbPolicy::LoadBalancingPolicyConfig, _) => {
            Err(at.field("load_balancing_policy").refuse("this must be given"))
        }
    }
}

fn least_request(choices: Option<u32>, at: &At<'_>) -> Result<LoadBalance, Invalid> {
    match choices.unwrap_or(2) {
        0 | 1 => Err(at.field("choice_count").refuse("this must be at least 2")),
        choices => Ok(LoadBalance::LeastRequest { choices }),
    }
}

fn ring(
    least: Option<u64>,
    most: Option<u64>,
    function: HashFunction,
    at: &At<'_>,
) -> Result<LoadBalance, Invalid> {
    let (least, most) = (least.unwrap_or(DEFAULT_RING), most.unwrap_or(MAX_RING));
    match (least, most) {
        (least, _) if least > MAX_RING => {
            Err(at.field("minimum_ring_size").refuse(format!("give {MAX_RING} at most")))
        }
        (_, most) if most > MAX_RING => {
            Err(at.field("maximum_ring_size").refuse(format!("give {MAX_RING} at most")))
        }
        (least, most) if least > most => Err(at
            .field("minimum_ring_size")
            .refuse(format!("{least} is more than maximum_ring_size, which is {most}"))),
        (least, most) => Ok(LoadBalance::RingHash { least, most, function }),
    }
}

fn maglev(size: Option<u64>, at: &At<'_>) -> Result<LoadBalance, Invalid> {
    match size.unwrap_or(DEFAULT_TABLE) {
        size if size <= MAX_TABLE && is_prime(size) => Ok(LoadBalance::Maglev { size }),
        _ => Err(at.field("table_size").refuse(format!("give a prime number up to {MAX_TABLE}"))),
    }
}

fn is_prime(number: u64) -> bool {
    number > 1 && (2..).take_while(|divisor| divisor * divisor <= number).all(|divisor| number % divisor != 0)
}

fn slow_start(
    config: Option<&proto::cluster::SlowStartConfig>,
    at: &At<'_>,
) -> Result<Option<SlowStart>, Invalid> {
    let at = at.field("slow_start_config");
    let Some(proto::cluster::SlowStartConfig { slow_start_window, aggression, min_weight_percent }) = config
    else {
        return Ok(None);
    };
    let aggression = aggression.as_ref().map_or(1.0, |value| value.default_value);
    if !(aggression > 0.0 && aggression.is_finite()) {
        return Err(at.field("aggression").field("default_value").refuse("this must be more than 0"));
    }
    let Some(window) = duration(*slow_start_window, &at.field("slow_start_window"))? else { return Ok(None) };
    let least_percent = percent(min_weight_percent.clone(), 10.0, &at.field("min_weight_percent"))?;
    Ok((!window.is_zero()).then_some(SlowStart { window, aggression, least_percent }))
}

/// The first of the policies that are known; the walker has refused those that are not.
fn typed(list: &proto::LoadBalancingPolicy, at: &At<'_>) -> Result<Balance, Invalid> {
    let at = at.field("policies");
    let at = at.item(0);
    let first = at.required(list.policies.first())?;
    let at = at.field("typed_extension_config");
    let config = at.required(first.typed_extension_config.as_ref())?;
    let at = at.field("typed_config");
    policy_of(config.typed_config.as_ref(), &at)
}

fn policy_of(value: Option<&xds::Any>, at: &At<'_>) -> Result<Balance, Invalid> {
    let (name, any) = extension(value, at)?;
    let weighs = |config: Option<&policies::common::v3::LocalityLbConfig>| {
        config.is_some_and(|config| config.locality_weighted_lb_config.is_some())
    };
    let hashes = |config: Option<&policies::common::v3::ConsistentHashingLbConfig>| {
        config.is_some_and(|config| config.use_hostname_for_hashing)
    };
    let plain =
        |policy| Balance { policy, slow_start: None, weighted_localities: false, hash_hostnames: false };
    match name {
        types::LB_ROUND_ROBIN => {
            let config: policies::round_robin::v3::RoundRobin = unpack(any, at)?;
            Ok(Balance {
                slow_start: common_slow_start(config.slow_start_config, at)?,
                weighted_localities: weighs(config.locality_lb_config.as_ref()),
                ..plain(LoadBalance::RoundRobin)
            })
        }
        types::LB_LEAST_REQUEST => {
            let config: policies::least_request::v3::LeastRequest = unpack(any, at)?;
            Ok(Balance {
                slow_start: common_slow_start(config.slow_start_config, at)?,
                weighted_localities: weighs(config.locality_lb_config.as_ref()),
                ..plain(least_request(config.choice_count, at)?)
            })
        }
        types::LB_RANDOM => {
            let config: policies::random::v3::Random = unpack(any, at)?;
            Ok(Balance {
                weighted_localities: weighs(config.locality_lb_config.as_ref()),
                ..plain(LoadBalance::Random)
            })
        }
        types::LB_RING_HASH => {
            use policies::ring_hash::v3::ring_hash::HashFunction as Function;
            let config: policies::ring_hash::v3::RingHash = unpack(any, at)?;
            let function = match choice(config.hash_function, &at.field("hash_function"))? {
                Function::DefaultHash | Function::XxHash => HashFunction::XxHash,
                Function::MurmurHash2 => HashFunction::Murmur2,
            };
            let policy = ring(config.minimum_ring_size, config.maximum_ring_size, function, at)?;
            Ok(Balance {
                weighted_localities: config.locality_weighted_lb_config.is_some(),
                hash_hostnames: hashes(config.consistent_hashing_lb_config.as_ref()),
                ..plain(policy)
            })
        }
        types::LB_MAGLEV => {
            let config: policies::maglev::v3::Maglev = unpack(any, at)?;
            Ok(Balance {
                weighted_localities: config.locality_weighted_lb_config.is_some(),
                hash_hostnames: hashes(config.consistent_hashing_lb_config.as_ref()),
                ..plain(maglev(config.table_size, at)?)
            })
        }
        other => Err(unsupported(other, "give RoundRobin, LeastRequest, Random, RingHash or Maglev", at)),
    }
}

fn common_slow_start(
    config: Option<policies::common::v3::SlowStartConfig>,
    at: &At<'_>,
) -> Result<Option<SlowStart>, Invalid> {
    let same = config.map(|config| proto::cluster::SlowStartConfig {
        slow_start_window: config.slow_start_window,
        aggression: config.aggression,
        min_weight_percent: config.min_weight_percent,
    });
    slow_start(same.as_ref(), at)
}
