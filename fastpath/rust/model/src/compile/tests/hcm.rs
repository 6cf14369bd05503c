use std::time::Duration;

use meshloom_xds as xds;
use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::extensions::filters::http::fault::v3 as fault;
use meshloom_xds::envoy::extensions::filters::network::http_connection_manager::v3 as proto;
use meshloom_xds::xds::r#type::v3 as typed;

use super::support::{any, apply, chain, listener_of, manager, object, refusal, router, seconds, text};
use crate::compile::types::{self, LISTENER};
use crate::filter::HttpFilterKind;
use crate::filter_chain::NetworkFilter;
use crate::hcm::{Codec, EscapedSlashes, HttpConnectionManager, ServerHeader, StripPort};

fn compiled(message: &proto::HttpConnectionManager) -> std::sync::Arc<HttpConnectionManager> {
    let outcome = apply(LISTENER, "l", &listener_of(vec![chain(message)]));
    assert_eq!(outcome.rejected, []);
    let listener = &outcome.snapshot.listeners["l"];
    match &listener.chains().next().unwrap().filter {
        NetworkFilter::Http(manager) => std::sync::Arc::clone(manager),
        other => panic!("{other:?}"),
    }
}

fn refused(message: &proto::HttpConnectionManager) -> (String, String) {
    let (path, reason) = refusal(LISTENER, "l", &listener_of(vec![chain(message)]));
    (
        path.trim_start_matches("filter_chains[0].filters[0].typed_config")
            .trim_start_matches('.')
            .to_owned(),
        reason,
    )
}

#[test]
fn defaults_are_envoys_and_safer_where_envoys_are_unsafe() {
    let made = compiled(&manager());

    assert_eq!(made.codec, Codec::Auto);
    let timeouts = made.timeouts;
    assert_eq!(timeouts.idle, Some(Duration::from_secs(75)), "Envoy: 1 h");
    assert_eq!(timeouts.first_request, Some(Duration::from_secs(60)), "Envoy: 1 h");
    assert_eq!(timeouts.request_idle, Some(Duration::from_secs(60)), "Envoy: 5 min");
    assert_eq!(timeouts.stream_flush, Some(Duration::from_secs(300)));
    assert_eq!(timeouts.stream_idle, Some(Duration::from_secs(300)));
    assert_eq!(timeouts.request, None);
    assert_eq!(timeouts.request_headers, Some(Duration::from_secs(10)), "Envoy: none");
    assert_eq!(timeouts.drain, Duration::from_secs(5));
    assert_eq!(timeouts.delayed_close, Some(Duration::from_secs(1)));
    assert_eq!((made.limits.max_request_headers_bytes, made.limits.max_request_headers), (60 * 1024, 100));
    assert!(made.request_id.generate && !made.request_id.preserve_external);
    assert!(matches!(&made.server_header, ServerHeader::Overwrite(name) if &**name == "envoy"));
    assert!(!made.normalization.normalize_path && !made.http1.accept_http_10);
    assert!(!made.trust.use_remote_address);
}

#[test]
fn a_zero_turns_a_limit_off() {
    let mut message = manager();
    message.stream_idle_timeout = seconds(0);
    message.common_http_protocol_options =
        Some(core::HttpProtocolOptions { idle_timeout: seconds(0), ..Default::default() });
    message.request_headers_timeout = seconds(0);
    message.delayed_close_timeout = seconds(0);

    let timeouts = compiled(&message).timeouts;

    assert_eq!((timeouts.stream_idle, timeouts.request_headers, timeouts.delayed_close), (None, None, None));
    assert_eq!((timeouts.idle, timeouts.first_request), (None, None));
    assert_eq!((timeouts.request_idle, timeouts.stream_flush), (None, None));
}

#[test]
fn the_router_stands_last_and_alone() {
    let mut none = manager();
    none.http_filters.clear();
    assert_eq!(refused(&none).0, "http_filters");

    let mut twice = manager();
    twice.http_filters = vec![router(), proto::HttpFilter { name: "again".to_owned(), ..router() }];
    assert_eq!(refused(&twice).0, "http_filters[0]");

    let mut same_name = manager();
    let fault = any(types::FAULT, &fault::HTTPFault::default());
    same_name.http_filters = vec![
        proto::HttpFilter { name: "router".to_owned(), typed_config: Some(fault), ..Default::default() },
        router(),
    ];
    assert_eq!(refused(&same_name).0, "http_filters[1].name");
}

#[test]
fn an_unknown_filter_is_refused_by_its_type() {
    let lua = xds::Any { type_url: "type.googleapis.com/envoy.Lua".to_owned(), value: Vec::new() };
    let mut message = manager();
    message.http_filters.insert(
        0,
        proto::HttpFilter { name: "lua".to_owned(), typed_config: Some(lua), ..Default::default() },
    );
    assert_eq!(
        refused(&message),
        ("http_filters[0].typed_config".to_owned(), "the extension envoy.Lua is not supported".to_owned())
    );

    message.http_filters[0].typed_config = None;
    assert_eq!(refused(&message).1, "this must be given");
}

#[test]
fn istios_filters_travel_in_a_typed_struct() {
    let filter = |name: &str, kind: &str, value| {
        let config = typed::TypedStruct { type_url: super::support::url(kind), value: Some(value) };
        proto::HttpFilter {
            name: name.to_owned(),
            typed_config: Some(any(types::TYPED_STRUCT, &config)),
            ..Default::default()
        }
    };
    let mut message = manager();
    let stats = object(&[("reporter", text("SERVER_GATEWAY")), ("tcp_reporting_duration", text("2.5s"))]);
    message.http_filters.insert(0, filter("peer", types::PEER_METADATA, object(&[])));
    message.http_filters.insert(1, filter("stats", types::ISTIO_STATS, stats));

    let made = compiled(&message);

    assert!(matches!(made.filters[0].kind, HttpFilterKind::PeerMetadata(peer) if peer.upstream_propagation));
    let HttpFilterKind::Stats(stats) = &made.filters[1].kind else { panic!() };
    assert_eq!(stats.tcp_reporting_interval, Duration::from_millis(2500));
    message.http_filters[1] = filter("stats", types::ISTIO_STATS, object(&[("metrics", text("x"))]));
    assert_eq!(refused(&message).0, "http_filters[1].typed_config.value[\"metrics\"]");
}

#[test]
fn what_normalises_a_request_is_read() {
    use proto::http_connection_manager::PathWithEscapedSlashesAction as Slashes;
    let mut message = manager();
    message.normalize_path = Some(true);
    message.merge_slashes = true;
    message.path_with_escaped_slashes_action = Slashes::RejectRequest as i32;
    message.strip_any_host_port = Some(true);
    message.http_protocol_options =
        Some(core::Http1ProtocolOptions { accept_http_10: true, ..Default::default() });

    let made = compiled(&message);

    assert!(made.normalization.normalize_path && made.normalization.merge_slashes);
    assert_eq!(made.normalization.escaped_slashes, EscapedSlashes::Reject);
    assert_eq!(made.normalization.strip_port, StripPort::Any);
    assert!(made.http1.accept_http_10);
    message.strip_matching_host_port = true;
    assert_eq!(refused(&message).0, "strip_any_host_port");
}

#[test]
fn http3_and_impossible_values_are_refused_by_path() {
    use proto::http_connection_manager::CodecType;
    let change = |change: fn(&mut proto::HttpConnectionManager)| {
        let mut message = manager();
        change(&mut message);
        refused(&message)
    };

    let (path, reason) = change(|message| message.codec_type = CodecType::Http3 as i32);
    assert_eq!(path, "codec_type");
    assert!(reason.contains("HTTP1"), "{reason}");
    assert_eq!(change(|message| message.codec_type = 99).0, "codec_type");
    assert_eq!(change(|message| message.stat_prefix.clear()).0, "stat_prefix");
    assert_eq!(change(|message| message.max_request_headers_kb = Some(9000)).0, "max_request_headers_kb");
    assert_eq!(change(|message| message.route_specifier = None).0, "");
    assert_eq!(change(|message| message.request_timeout = seconds(-1)).0, "request_timeout");
    assert_eq!(change(|message| message.via = "a\nb".to_owned()).0, "via");
}
