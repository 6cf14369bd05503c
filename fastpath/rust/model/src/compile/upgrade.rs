//! Upgrades, as connection managers and routes allow them.

use std::sync::Arc;

use meshloom_xds::envoy::config::route::v3::route_action as route;
use meshloom_xds::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager as manager;

use super::parts::text;
use super::path::{At, Invalid};
use super::proxy_header;
use crate::upgrade::{CONNECT, Termination, Upgrade, Upgrades};

/// Those of a connection manager.
pub(super) fn of_manager(values: &[manager::UpgradeConfig], at: &At<'_>) -> Result<Upgrades, Invalid> {
    let entries = values
        .iter()
        .map(|manager::UpgradeConfig { upgrade_type, enabled }| (upgrade_type.as_str(), *enabled, None));
    upgrades(entries, at)
}

/// Those of a route.
pub(super) fn of_route(values: &[route::UpgradeConfig], at: &At<'_>) -> Result<Upgrades, Invalid> {
    let mut entries = Vec::with_capacity(values.len());
    for (nth, route::UpgradeConfig { upgrade_type, enabled, connect_config }) in values.iter().enumerate() {
        let at = at.item(nth);
        let at = at.field("connect_config");
        if connect_config.is_some() && !upgrade_type.eq_ignore_ascii_case(CONNECT) {
            return Err(at.refuse("this is for upgrade_type CONNECT alone"));
        }
        let terminate = connect_config.as_ref().map(|value| termination(value, &at)).transpose()?;
        entries.push((upgrade_type.as_str(), *enabled, terminate));
    }
    upgrades(entries.into_iter(), at)
}

fn termination(value: &route::upgrade_config::ConnectConfig, at: &At<'_>) -> Result<Termination, Invalid> {
    let route::upgrade_config::ConnectConfig { proxy_protocol_config } = value;
    let at = at.field("proxy_protocol_config");
    let header = proxy_protocol_config.clone().map(|value| proxy_header::header(value, &at)).transpose()?;
    Ok(Termination { header: header.map(Arc::new) })
}

fn upgrades<'v>(
    entries: impl Iterator<Item = (&'v str, Option<bool>, Option<Termination>)>,
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
