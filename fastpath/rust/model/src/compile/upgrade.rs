//! Upgrades, as connection managers and routes allow them.

use meshloom_xds::envoy::config::route::v3::route_action as route;
use meshloom_xds::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager as manager;

use super::parts::text;
use super::path::{At, Invalid};
use crate::upgrade::{CONNECT, Upgrade, Upgrades};

/// Those of a connection manager.
pub(super) fn of_manager(values: &[manager::UpgradeConfig], at: &At<'_>) -> Result<Upgrades, Invalid> {
    let entries = values
        .iter()
        .map(|manager::UpgradeConfig { upgrade_type, enabled }| (upgrade_type.as_str(), *enabled, false));
    upgrades(entries, at)
}

/// Those of a route.
pub(super) fn of_route(values: &[route::UpgradeConfig], at: &At<'_>) -> Result<Upgrades, Invalid> {
    for (nth, value) in values.iter().enumerate() {
        if value.connect_config.is_some() && !value.upgrade_type.eq_ignore_ascii_case(CONNECT) {
            let at = at.item(nth);
            return Err(at.field("connect_config").refuse("this is for upgrade_type CONNECT alone"));
        }
    }
    let entries = values.iter().map(|route::UpgradeConfig { upgrade_type, enabled, connect_config }| {
        (upgrade_type.as_str(), *enabled, connect_config.is_some())
    });
    upgrades(entries, at)
}

fn upgrades<'v>(
    entries: impl Iterator<Item = (&'v str, Option<bool>, bool)>,
    at: &At<'_>,
) -> Result<Upgrades, Invalid> {
    let mut all = Vec::new();
    for (nth, (kind, enabled, terminate)) in entries.enumerate() {
        let at = at.item(nth);
        let at = at.field("upgrade_type");
        text(kind, &at)?;
        if kind.eq_ignore_ascii_case("h2c") {
            return Err(at.refuse("clients speak HTTP/2 in plaintext by prior knowledge (RFC 9113 3.1)"));
        }
        all.push(Upgrade { kind: kind.into(), allowed: enabled.unwrap_or(true), terminate });
    }
    Upgrades::new(all).map_err(|nth| at.item(nth).field("upgrade_type").refuse("this upgrade is given twice"))
}
