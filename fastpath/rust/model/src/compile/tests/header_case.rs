use meshloom_xds::envoy::config::cluster::v3::Cluster;
use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::config::core::v3::http1_protocol_options::header_key_format::{
    HeaderFormat, ProperCaseWords,
};
use meshloom_xds::envoy::extensions::http::header_formatters::preserve_case::v3 as proto;
use meshloom_xds::envoy::extensions::upstreams::http::v3 as http;
use meshloom_xds::envoy::extensions::upstreams::http::v3::http_protocol_options as choices;
use meshloom_xds::envoy::extensions::upstreams::http::v3::http_protocol_options::UpstreamProtocolOptions;
use meshloom_xds::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;

use super::support::{any, apply, chain, listener_of, manager, refusal, static_cluster};
use crate::compile::types::{self, CLUSTER, LISTENER};
use crate::header_case::{HeaderCase, PreserveCase};

fn options(header_format: Option<HeaderFormat>) -> core::Http1ProtocolOptions {
    let format = core::http1_protocol_options::HeaderKeyFormat { header_format };
    core::Http1ProtocolOptions { header_key_format: Some(format), ..Default::default() }
}

fn proper() -> core::Http1ProtocolOptions {
    options(Some(HeaderFormat::ProperCaseWords(ProperCaseWords {})))
}

fn stateful(kind: &str, formatter_type_on_envoy_headers: i32) -> core::Http1ProtocolOptions {
    let config =
        proto::PreserveCaseFormatterConfig { forward_reason_phrase: true, formatter_type_on_envoy_headers };
    options(Some(HeaderFormat::StatefulFormatter(core::TypedExtensionConfig {
        name: "envoy.http.stateful_header_formatters.preserve_case".to_owned(),
        typed_config: Some(any(kind, &config)),
    })))
}

fn through(choice: UpstreamProtocolOptions) -> Cluster {
    let chosen = http::HttpProtocolOptions { upstream_protocol_options: Some(choice), ..Default::default() };
    let extension = any(types::HTTP_UPSTREAM, &chosen);
    let options = [(types::HTTP_UPSTREAM.to_owned(), extension)].into();
    Cluster { typed_extension_protocol_options: options, ..static_cluster("a") }
}

fn of_cluster(message: &Cluster) -> HeaderCase {
    let outcome = apply(CLUSTER, "a", message);
    assert_eq!(outcome.rejected, []);
    outcome.snapshot.clusters.named("a").unwrap().http.header_case
}

#[test]
fn a_cluster_says_it_in_each_form_of_its_options() {
    let preserve = PreserveCase { reason_phrase: true, proper_others: true };
    let explicit = choices::ExplicitHttpConfig {
        protocol_config: Some(ProtocolConfig::HttpProtocolOptions(stateful(types::PRESERVE_CASE, 1))),
    };
    let clients =
        choices::UseDownstreamHttpConfig { http_protocol_options: Some(proper()), ..Default::default() };
    let old = Cluster { http_protocol_options: Some(proper()), ..static_cluster("a") };

    assert_eq!(of_cluster(&static_cluster("a")), HeaderCase::Lower);
    assert_eq!(of_cluster(&old), HeaderCase::ProperWords);
    let explicit = through(UpstreamProtocolOptions::ExplicitHttpConfig(explicit));
    assert_eq!(of_cluster(&explicit), HeaderCase::Preserve(preserve));
    let clients = through(UpstreamProtocolOptions::UseDownstreamProtocolConfig(clients));
    assert_eq!(of_cluster(&clients), HeaderCase::ProperWords);
}

#[test]
fn what_is_no_formatter_is_refused_by_path() {
    let refused = |options: core::Http1ProtocolOptions| {
        let mut message = manager();
        message.http_protocol_options = Some(options);
        let (path, reason) = refusal(LISTENER, "l", &listener_of(vec![chain(&message)]));
        let path = path.rsplit_once("http_protocol_options.").unwrap().1.to_owned();
        (path, reason)
    };

    let (path, reason) = refused(options(None));
    assert_eq!(path, "header_key_format");
    assert_eq!(reason, "give proper_case_words or stateful_formatter");
    let (path, reason) = refused(stateful(types::ROUTER, 0));
    assert_eq!(path, "header_key_format.stateful_formatter.typed_config");
    assert!(reason.contains("PreserveCaseFormatterConfig"), "{reason}");
    let (path, _) = refused(stateful(types::PRESERVE_CASE, 9));
    assert_eq!(path, "header_key_format.stateful_formatter.typed_config.formatter_type_on_envoy_headers");
}
