//! Builders of small valid resources, and ways to compile them.

use meshloom_xds as xds;
use meshloom_xds::envoy::config::cluster::v3 as cluster;
use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::config::endpoint::v3 as endpoint;
use meshloom_xds::envoy::config::listener::v3 as listener;
use meshloom_xds::envoy::config::route::v3 as route;
use meshloom_xds::envoy::extensions::filters::http::router::v3 as router;
use meshloom_xds::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use meshloom_xds::envoy::service::discovery::v3 as discovery;
use prost::Message;

use crate::compile::types;
use crate::compile::{Compiler, Outcome};

pub(super) fn url(name: &str) -> String {
    format!("type.googleapis.com/{name}")
}

pub(super) fn any(name: &str, message: &impl Message) -> xds::Any {
    xds::Any { type_url: url(name), value: message.encode_to_vec() }
}

pub(super) fn seconds(seconds: i64) -> Option<xds::Duration> {
    Some(xds::Duration { seconds, nanos: 0 })
}

pub(super) fn text(text: &str) -> xds::Value {
    xds::Value { kind: Some(xds::value::Kind::StringValue(text.to_owned())) }
}

pub(super) fn object(fields: &[(&str, xds::Value)]) -> xds::Struct {
    xds::Struct { fields: fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect() }
}

pub(super) fn socket(address: &str, port: u32) -> core::Address {
    let socket =
        core::SocketAddress { address: address.to_owned(), port_value: Some(port), ..Default::default() };
    core::Address { address: Some(core::address::Address::SocketAddress(socket)) }
}

pub(super) fn inline(bytes: &[u8]) -> core::DataSource {
    core::DataSource { specifier: Some(core::data_source::Specifier::InlineBytes(bytes.to_vec())) }
}

pub(super) fn lb_endpoint(port: u32) -> endpoint::LbEndpoint {
    let inner = endpoint::Endpoint { address: Some(socket("127.0.0.1", port)), ..Default::default() };
    endpoint::LbEndpoint { endpoint: Some(inner), ..Default::default() }
}

pub(super) fn assignment(name: &str, ports: &[u32]) -> endpoint::ClusterLoadAssignment {
    let group = endpoint::LocalityLbEndpoints {
        lb_endpoints: ports.iter().map(|port| lb_endpoint(*port)).collect(),
        ..Default::default()
    };
    endpoint::ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: vec![group],
        ..Default::default()
    }
}

pub(super) fn static_cluster(name: &str) -> cluster::Cluster {
    cluster::Cluster {
        name: name.to_owned(),
        load_assignment: Some(assignment(name, &[80])),
        ..Default::default()
    }
}

pub(super) fn to_cluster(name: &str) -> route::RouteAction {
    let specifier = route::route_action::ClusterSpecifier::Cluster(name.to_owned());
    route::RouteAction { cluster_specifier: Some(specifier), ..Default::default() }
}

pub(super) fn prefix(prefix: &str) -> route::RouteMatch {
    let specifier = route::route_match::PathSpecifier::Prefix(prefix.to_owned());
    route::RouteMatch { path_specifier: Some(specifier), ..Default::default() }
}

pub(super) fn route_to(name: &str) -> route::Route {
    route::Route {
        r#match: Some(prefix("/")),
        action: Some(route::route::Action::Route(to_cluster(name))),
        ..Default::default()
    }
}

pub(super) fn table(name: &str, routes: Vec<route::Route>) -> route::RouteConfiguration {
    let host = route::VirtualHost {
        name: "v".to_owned(),
        domains: vec!["*".to_owned()],
        routes,
        ..Default::default()
    };
    route::RouteConfiguration { name: name.to_owned(), virtual_hosts: vec![host], ..Default::default() }
}

pub(super) fn router() -> hcm::HttpFilter {
    let config = any(types::ROUTER, &router::Router::default());
    hcm::HttpFilter { name: "router".to_owned(), typed_config: Some(config), ..Default::default() }
}

pub(super) fn manager() -> hcm::HttpConnectionManager {
    let rds = hcm::Rds { route_config_name: "r".to_owned() };
    hcm::HttpConnectionManager {
        stat_prefix: "h".to_owned(),
        route_specifier: Some(hcm::http_connection_manager::RouteSpecifier::Rds(rds)),
        http_filters: vec![router()],
        ..Default::default()
    }
}

pub(super) fn chain(manager: &hcm::HttpConnectionManager) -> listener::FilterChain {
    let filter = listener::Filter { name: "hcm".to_owned(), typed_config: Some(any(types::HCM, manager)) };
    listener::FilterChain { filters: vec![filter], ..Default::default() }
}

pub(super) fn listener_of(chains: Vec<listener::FilterChain>) -> listener::Listener {
    listener::Listener {
        name: "l".to_owned(),
        address: Some(socket("127.0.0.1", 8080)),
        filter_chains: chains,
        ..Default::default()
    }
}

/// One response of an update.
pub(super) fn response(kind: &str, resources: &[(&str, Vec<u8>)], removed: &[&str]) -> Vec<u8> {
    let resource = |(name, value): &(&str, Vec<u8>)| discovery::Resource {
        name: (*name).to_owned(),
        version: "1".to_owned(),
        resource: Some(xds::Any { type_url: url(kind), value: value.clone() }),
    };
    let message = discovery::DeltaDiscoveryResponse {
        type_url: url(kind),
        resources: resources.iter().map(resource).collect(),
        removed_resources: removed.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    };
    message.encode_length_delimited_to_vec()
}

/// Applies one resource to a compiler of its own.
pub(super) fn apply(kind: &str, name: &str, message: &impl Message) -> Outcome {
    Compiler::new().apply(&response(kind, &[(name, message.encode_to_vec())], &[]))
}

/// Path and reason of the only rejection.
pub(super) fn refusal(kind: &str, name: &str, message: &impl Message) -> (String, String) {
    let outcome = apply(kind, name, message);
    assert_eq!(outcome.rejected.len(), 1, "{:?}", outcome.rejected);
    let rejected = outcome.rejected.into_iter().next().unwrap();
    (rejected.path, rejected.reason)
}
