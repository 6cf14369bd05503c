use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::extensions::transport_sockets::tls::v3 as proto;
use meshloom_xds::envoy::r#type::matcher::v3 as matcher;
use prost::Message;

use super::support::{any, chain, inline, listener_of, manager, refusal, response, static_cluster};
use crate::cluster::UpstreamTransport;
use crate::compile::types::{self, CLUSTER, LISTENER, SECRET};
use crate::compile::{Compiler, Outcome};
use crate::tls::{SanKind, TlsVersion, UpstreamTls};

// A P-256 key and a certificate that it signed for itself, made for these tests.
const CERTIFICATE: &[u8] = include_bytes!("certificate.pem");
const KEY: &[u8] = include_bytes!("key.pem");

fn pair() -> proto::TlsCertificate {
    let (certificate_chain, private_key) = (Some(inline(CERTIFICATE)), Some(inline(KEY)));
    proto::TlsCertificate { certificate_chain, private_key, ocsp_staple: None }
}

fn trust(names: &[&str]) -> proto::CertificateValidationContext {
    let name = |name: &&str| proto::SubjectAltNameMatcher {
        san_type: proto::subject_alt_name_matcher::SanType::Uri as i32,
        matcher: Some(matcher::StringMatcher {
            match_pattern: Some(matcher::string_matcher::MatchPattern::Exact((*name).to_owned())),
            ..Default::default()
        }),
        ..Default::default()
    };
    proto::CertificateValidationContext {
        trusted_ca: Some(inline(CERTIFICATE)),
        match_typed_subject_alt_names: names.iter().map(name).collect(),
        ..Default::default()
    }
}

fn sds(name: &str) -> proto::SdsSecretConfig {
    proto::SdsSecretConfig { name: name.to_owned() }
}

fn cluster_with(context: proto::CommonTlsContext) -> meshloom_xds::envoy::config::cluster::v3::Cluster {
    let upstream = proto::UpstreamTlsContext { common_tls_context: Some(context), ..Default::default() };
    let mut cluster = static_cluster("a");
    cluster.transport_socket = Some(core::TransportSocket {
        name: "tls".to_owned(),
        typed_config: Some(any(types::UPSTREAM_TLS, &upstream)),
    });
    cluster
}

fn applied(compiler: &mut Compiler, context: proto::CommonTlsContext) -> (Outcome, UpstreamTls) {
    let outcome = compiler.apply(&response(CLUSTER, &[("a", cluster_with(context).encode_to_vec())], &[]));
    assert_eq!(outcome.rejected, []);
    let UpstreamTransport::Tls(tls) = &outcome.snapshot.clusters.named("a").unwrap().transport else {
        panic!()
    };
    let tls = UpstreamTls::clone(tls);
    (outcome, tls)
}

#[test]
fn mutual_tls_as_istio_says_it_waits_for_its_secrets() {
    let combined = proto::common_tls_context::CombinedCertificateValidationContext {
        default_validation_context: Some(proto::CertificateValidationContext {
            trusted_ca: None,
            ..trust(&["spiffe://a"])
        }),
        validation_context_sds_secret_config: Some(sds("ROOTCA")),
    };
    let context = proto::CommonTlsContext {
        tls_certificate_sds_secret_configs: vec![sds("default")],
        alpn_protocols: vec!["istio".to_owned()],
        validation_context_type: Some(
            proto::common_tls_context::ValidationContextType::CombinedValidationContext(combined),
        ),
        ..Default::default()
    };
    let mut compiler = Compiler::new();
    let (before, tls) = applied(&mut compiler, context);
    let source = tls.common.validation.unwrap();
    assert!(before.snapshot.validation(&source).is_none());
    assert!(before.snapshot.certificate(&tls.common.certificates[0]).is_none());

    let secret = |kind| proto::Secret { r#type: Some(kind), ..Default::default() }.encode_to_vec();
    let root = secret(proto::secret::Type::ValidationContext(trust(&[])));
    let own = secret(proto::secret::Type::TlsCertificate(pair()));
    let after = compiler.apply(&response(SECRET, &[("ROOTCA", root), ("default", own)], &[])).snapshot;

    let rules = after.validation(&source).unwrap();
    assert_eq!((rules.trusted_ca.len(), rules.names.len()), (1, 1));
    assert_eq!(rules.names[0].kind, SanKind::Uri);
    assert_eq!(after.certificate(&tls.common.certificates[0]).unwrap().chain.len(), 1);
}

#[test]
fn versions_suites_and_pins_are_read() {
    let context = proto::CommonTlsContext {
        tls_params: Some(proto::TlsParameters {
            tls_minimum_protocol_version: proto::tls_parameters::TlsProtocol::Tlsv13 as i32,
            cipher_suites: vec!["[ECDHE-RSA-AES128-GCM-SHA256|AES128-SHA]".to_owned()],
            ..Default::default()
        }),
        validation_context_type: Some(proto::common_tls_context::ValidationContextType::ValidationContext(
            proto::CertificateValidationContext {
                verify_certificate_spki: vec!["47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".to_owned()],
                verify_certificate_hash: vec![format!("E3:B0:{}", "00".repeat(30))],
                ..trust(&[])
            },
        )),
        ..Default::default()
    };

    let (outcome, tls) = applied(&mut Compiler::new(), context);

    assert_eq!(tls.common.versions.min, TlsVersion::V1_3);
    assert_eq!(*tls.common.cipher_suites, [[0xc02f].into()]);
    let rules = outcome.snapshot.validation(tls.common.validation.as_ref().unwrap()).unwrap().into_owned();
    assert_eq!((rules.spki_pins[0][0], rules.certificate_pins[0][1]), (0xe3, 0xb0));
}

#[test]
fn faults_are_refused_by_path() {
    let refused = |context: proto::CommonTlsContext| {
        let path = refusal(CLUSTER, "a", &cluster_with(context)).0;
        path.trim_start_matches("transport_socket.typed_config.common_tls_context.").to_owned()
    };
    let with =
        |certificate| proto::CommonTlsContext { tls_certificates: vec![certificate], ..Default::default() };
    let no_key = proto::TlsCertificate { private_key: Some(inline(CERTIFICATE)), ..pair() };
    let no_chain = proto::TlsCertificate { certificate_chain: Some(inline(b"hello")), ..pair() };
    let names_only = proto::CertificateValidationContext { trusted_ca: None, ..trust(&["spiffe://a"]) };
    let unvouched = proto::CommonTlsContext {
        validation_context_type: Some(proto::common_tls_context::ValidationContextType::ValidationContext(
            names_only,
        )),
        ..Default::default()
    };

    assert_eq!(refused(with(no_key)), "tls_certificates[0].private_key");
    assert_eq!(refused(with(no_chain)), "tls_certificates[0].certificate_chain");
    assert_eq!(refused(unvouched), "validation_context.trusted_ca");
}

#[test]
fn a_name_is_not_checked_in_a_certificate_that_nobody_vouches_for() {
    let upstream = proto::UpstreamTlsContext { auto_sni_san_validation: true, ..Default::default() };
    let mut cluster = static_cluster("a");
    cluster.transport_socket = Some(core::TransportSocket {
        name: "tls".to_owned(),
        typed_config: Some(any(types::UPSTREAM_TLS, &upstream)),
    });

    let (path, _) = refusal(CLUSTER, "a", &cluster);
    assert_eq!(path, "transport_socket.typed_config.common_tls_context.validation_context");
}

#[test]
fn a_server_needs_a_certificate() {
    let context =
        proto::DownstreamTlsContext { common_tls_context: Some(Default::default()), ..Default::default() };
    let mut served = chain(&manager());
    served.transport_socket = Some(core::TransportSocket {
        name: "tls".to_owned(),
        typed_config: Some(any(types::DOWNSTREAM_TLS, &context)),
    });

    let (path, _) = refusal(LISTENER, "l", &listener_of(vec![served]));

    assert_eq!(path, "filter_chains[0].transport_socket.typed_config.common_tls_context");
}
