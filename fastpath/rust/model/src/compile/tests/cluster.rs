use std::time::Duration;

use meshloom_xds as xds;
use meshloom_xds::envoy::config::cluster::v3 as proto;
use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::extensions::transport_sockets::tls::v3 as tls;
use meshloom_xds::envoy::extensions::upstreams::http::v3 as http;
use meshloom_xds::envoy::extensions::upstreams::http::v3::http_protocol_options as choices;
use meshloom_xds::envoy::extensions::upstreams::http::v3::http_protocol_options::UpstreamProtocolOptions;
use meshloom_xds::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use meshloom_xds::envoy::r#type::v3 as kinds;

use super::support::{any, apply, assignment, object, refusal, seconds, socket, static_cluster, text};
use crate::cluster::{Cluster, DnsTarget, EndpointSource, LoadBalance, Thresholds, UpstreamTransport};
use crate::compile::types::{self, CLUSTER};

fn compiled(message: &proto::Cluster) -> std::sync::Arc<Cluster> {
    let outcome = apply(CLUSTER, &message.name, message);
    assert_eq!(outcome.rejected, []);
    std::sync::Arc::clone(outcome.snapshot.clusters.named(&message.name).unwrap())
}

fn explicit(config: ProtocolConfig) -> UpstreamProtocolOptions {
    let config = choices::ExplicitHttpConfig { protocol_config: Some(config) };
    UpstreamProtocolOptions::ExplicitHttpConfig(config)
}

#[test]
fn defaults_are_envoys_or_safer() {
    let cluster = compiled(&static_cluster("a"));

    assert_eq!(cluster.connect_timeout, Duration::from_secs(5));
    assert_eq!(cluster.balance.policy, LoadBalance::RoundRobin);
    let defaults = Thresholds {
        max_connections: 1024,
        max_pending_requests: 1024,
        max_requests: 1024,
        max_retries: 3,
        retry_budget: None,
    };
    assert_eq!((cluster.breakers.default, cluster.breakers.high), (defaults, defaults));
    assert_eq!(cluster.buffer_limit, 64 * 1024);
    assert!((cluster.panic_threshold_percent - 50.0).abs() < f64::EPSILON);
    assert_eq!(cluster.http.idle_timeout, Some(Duration::from_secs(60)));
    assert_eq!(cluster.http.max_requests_per_connection, None);
    assert!(cluster.outlier.is_none());
    assert_eq!(cluster.stat_name(), "a");
}

#[test]
fn dns_clusters_name_what_to_resolve_and_read_an_assignment() {
    let mut message = static_cluster("a");
    message.r#type = Some(proto::cluster::DiscoveryType::StrictDns as i32);
    let mut targets = assignment("a", &[1]);
    targets.endpoints[0].lb_endpoints[0].endpoint.as_mut().unwrap().address =
        Some(socket("example.com", 443));
    message.load_assignment = Some(targets);

    let outcome = apply(CLUSTER, "a", &message);

    let cluster = outcome.snapshot.clusters.named("a").unwrap();
    let EndpointSource::Dns { assignment, targets, refresh, .. } = &cluster.endpoints else {
        panic!("{cluster:?}")
    };
    assert_eq!(outcome.snapshot.assignments.name_of(*assignment), Some("dns|a"));
    assert_eq!(**targets, [DnsTarget { host: "example.com".into(), port: 443 }]);
    assert_eq!(*refresh, Duration::from_secs(5));
}

#[test]
fn the_transport_follows_the_labels_of_the_endpoint() {
    let upstream = tls::UpstreamTlsContext { sni: "x".to_owned(), ..Default::default() };
    let socket = core::TransportSocket {
        name: "tls".to_owned(),
        typed_config: Some(any(types::UPSTREAM_TLS, &upstream)),
    };
    let mut message = static_cluster("a");
    message.transport_socket_matches = vec![proto::cluster::TransportSocketMatch {
        name: "mtls".to_owned(),
        r#match: Some(object(&[("tlsMode", text("istio"))])),
        transport_socket: Some(socket),
    }];
    let cluster = compiled(&message);
    let EndpointSource::Static(endpoints) = &cluster.endpoints else { panic!("{cluster:?}") };
    let plain = endpoints.all[0].clone();
    let mut meshed = plain.clone();
    meshed.labels = [("tlsMode".into(), "istio".into())].into();

    assert!(matches!(cluster.transport_to(&plain), (None, UpstreamTransport::Plain)));
    assert!(matches!(cluster.transport_to(&meshed), (Some(0), UpstreamTransport::Tls(_))));
}

#[test]
fn istios_metadata_names_the_service() {
    let mut message = static_cluster("a");
    let service = object(&[("host", text("r.d.svc")), ("name", text("r")), ("namespace", text("d"))]);
    let service = xds::Value { kind: Some(xds::value::Kind::StructValue(service)) };
    let list = xds::value::Kind::ListValue(xds::ListValue { values: vec![service] });
    let istio = object(&[("services", xds::Value { kind: Some(list) })]);
    message.metadata = Some(core::Metadata { filter_metadata: [("istio".to_owned(), istio)].into() });

    let service = compiled(&message).service.clone().unwrap();

    assert_eq!((&*service.host, &*service.name, &*service.namespace), ("r.d.svc", "r", "d"));
}

#[test]
fn outlier_detection_has_envoys_defaults() {
    let mut message = static_cluster("a");
    message.outlier_detection =
        Some(proto::OutlierDetection { base_ejection_time: seconds(400), ..Default::default() });
    let outlier = compiled(&message).outlier.unwrap();
    assert_eq!((outlier.consecutive_5xx, outlier.interval), (Some(5), Duration::from_secs(10)));
    assert_eq!((outlier.max_ejection, outlier.max_ejection_percent), (Duration::from_secs(400), 10));
    assert_eq!((outlier.enforcing.consecutive_5xx, outlier.enforcing.consecutive_gateway), (100, 0));

    message.outlier_detection =
        Some(proto::OutlierDetection { enforcing_success_rate: Some(101), ..Default::default() });
    assert_eq!(refusal(CLUSTER, "a", &message).0, "outlier_detection.enforcing_success_rate");
    let rate = outlier.success_rate;
    assert_eq!((rate.minimum_hosts, rate.request_volume, rate.stdev_factor), (5, 100, 1900));
    assert_eq!((outlier.enforcing.success_rate, outlier.enforcing.failure_percentage), (100, 0));
}

#[test]
fn a_retry_budget_is_read_for_its_priority() {
    use proto::circuit_breakers::{Thresholds, thresholds::RetryBudget};
    let budget = RetryBudget { budget_percent: Some(kinds::Percent { value: 12.5 }), ..Default::default() };
    let high = Thresholds {
        priority: core::RoutingPriority::High as i32,
        retry_budget: Some(budget),
        max_requests: Some(7),
        ..Default::default()
    };
    let mut message = static_cluster("a");
    message.circuit_breakers = Some(proto::CircuitBreakers { thresholds: vec![high] });

    let breakers = compiled(&message).breakers;

    let budget = breakers.high.retry_budget.unwrap();
    assert_eq!((budget.millionths, budget.min_concurrency, breakers.high.max_requests), (125_000, 3, 7));
    assert_eq!(breakers.default, Default::default());
}

#[test]
fn protocol_options_come_from_the_extension() {
    let options = http::HttpProtocolOptions {
        common_http_protocol_options: Some(core::HttpProtocolOptions {
            idle_timeout: seconds(0),
            max_requests_per_connection: Some(2),
            ..Default::default()
        }),
        upstream_http_protocol_options: None,
        upstream_protocol_options: Some(explicit(ProtocolConfig::HttpProtocolOptions(Default::default()))),
    };
    let mut message = static_cluster("a");
    let extension = any(types::HTTP_UPSTREAM, &options);
    message.typed_extension_protocol_options = [(types::HTTP_UPSTREAM.to_owned(), extension)].into();

    let http = compiled(&message).http;

    assert_eq!((http.idle_timeout, http.max_requests_per_connection), (None, Some(2)));
}

#[test]
fn policies_and_types_must_go_together() {
    let mut message = static_cluster("a");
    message.lb_policy = proto::cluster::LbPolicy::ClusterProvided as i32;
    assert_eq!(refusal(CLUSTER, "a", &message).0, "lb_policy");

    message.lb_policy = proto::cluster::LbPolicy::ClusterProvided as i32;
    message.r#type = Some(proto::cluster::DiscoveryType::OriginalDst as i32);
    message.load_assignment = None;
    assert!(matches!(compiled(&message).endpoints, EndpointSource::OriginalDestination(_)));
}

#[test]
fn impossible_values_are_refused_by_path() {
    let mut zero = static_cluster("a");
    zero.connect_timeout = seconds(0);
    assert_eq!(
        refusal(CLUSTER, "a", &zero),
        ("connect_timeout".to_owned(), "this must be more than 0s".to_owned())
    );
    zero.connect_timeout = seconds(-1);
    assert_eq!(refusal(CLUSTER, "a", &zero).1, "a duration cannot be negative");

    let mut panic = static_cluster("a");
    panic.common_lb_config = Some(proto::cluster::CommonLbConfig {
        healthy_panic_threshold: Some(kinds::Percent { value: f64::NAN }),
        ..Default::default()
    });
    assert_eq!(refusal(CLUSTER, "a", &panic).0, "common_lb_config.healthy_panic_threshold.value");

    assert_eq!(refusal(CLUSTER, "", &static_cluster("")).0, "name");
}

#[test]
fn probes_are_within_what_the_system_takes() {
    let with = |probes, time| {
        let mut message = static_cluster("a");
        let alive = core::TcpKeepalive {
            keepalive_probes: Some(probes),
            keepalive_time: Some(time),
            keepalive_interval: None,
        };
        message.upstream_connection_options =
            Some(proto::UpstreamConnectionOptions { tcp_keepalive: Some(alive) });
        message
    };
    let path = |message| refusal(CLUSTER, "a", &message).0;

    let alive = compiled(&with(9, 300)).tcp_keepalive.unwrap();

    assert_eq!((alive.probes, alive.time, alive.interval), (Some(9), Some(Duration::from_secs(300)), None));
    assert_eq!(path(with(128, 1)), "upstream_connection_options.tcp_keepalive.keepalive_probes");
    assert_eq!(path(with(1, 0)), "upstream_connection_options.tcp_keepalive.keepalive_time");
}
