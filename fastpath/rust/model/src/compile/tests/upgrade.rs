use meshloom_xds::envoy::config::route::v3 as proto;
use meshloom_xds::envoy::config::route::v3::route_action::{UpgradeConfig, upgrade_config::ConnectConfig};

use super::support::{apply, refusal, route_to, table, to_cluster};
use crate::compile::types::ROUTE_TABLE;
use crate::route::RouteAction;
use crate::upgrade::{Termination, Upgrade};

fn upgrade(kind: &str) -> UpgradeConfig {
    UpgradeConfig { upgrade_type: kind.to_owned(), ..Default::default() }
}

fn connect_route(upgrades: Vec<UpgradeConfig>) -> proto::RouteConfiguration {
    let action = proto::RouteAction { upgrade_configs: upgrades, ..to_cluster("c") };
    let specifier = proto::route_match::PathSpecifier::ConnectMatcher(proto::route_match::ConnectMatcher {});
    let route = proto::Route {
        r#match: Some(proto::RouteMatch { path_specifier: Some(specifier), ..Default::default() }),
        action: Some(proto::route::Action::Route(action)),
        ..route_to("c")
    };
    table("r", vec![route])
}

#[test]
fn connect_ends_here_where_its_configuration_says_so() {
    let connect = UpgradeConfig { connect_config: Some(ConnectConfig::default()), ..upgrade("connect") };
    let outcome = apply(ROUTE_TABLE, "r", &connect_route(vec![connect]));
    assert_eq!(outcome.rejected, []);
    let table = outcome.snapshot.routes.named("r").unwrap();
    let route = &table.virtual_hosts()[0].routes()[0];
    assert!(route.matcher.connect);
    let RouteAction::Forward(forward) = &route.action else { panic!("{route:?}") };
    let wanted = Upgrade { kind: "connect".into(), allowed: true, terminate: Some(Termination::default()) };
    assert_eq!(forward.upgrades.get(b"CONNECT"), Some(&wanted));
}

#[test]
fn upgrades_that_mean_nothing_are_refused_by_path() {
    let terminated = UpgradeConfig { connect_config: Some(ConnectConfig::default()), ..upgrade("websocket") };
    let cases = [
        (vec![upgrade("")], "upgrade_configs[0].upgrade_type"),
        (vec![upgrade("websocket"), upgrade("WebSocket")], "upgrade_configs[1].upgrade_type"),
        (vec![upgrade("h2c")], "upgrade_configs[0].upgrade_type"),
        (vec![terminated], "upgrade_configs[0].connect_config"),
    ];
    for (upgrades, end) in cases {
        let (path, reason) = refusal(ROUTE_TABLE, "r", &connect_route(upgrades));
        assert!(path.ends_with(end), "{path}: {reason}");
    }
}
