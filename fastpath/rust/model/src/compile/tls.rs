//! TLS contexts.

use std::sync::Arc;

use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::extensions::transport_sockets::tls::v3 as proto;
use meshloom_xds::envoy::r#type::matcher::v3 as matcher;

use super::context::Context;
use super::parts::{choice, data};
use super::path::{At, Invalid};
use super::{matching, pem};
use crate::tls::{
    CertificateSource, DownstreamTls, SanKind, SanMatcher, TlsCertificate, TlsContext, TlsVersion,
    TlsVersions, UpstreamTls, ValidationContext, ValidationSource,
};

/// Suites of TLS 1.2 that exist here.
const CIPHER_SUITES: [&str; 6] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
];
/// Suites of Envoy that do not exist here: without forward secrecy, or with CBC. They are left out where a better one is
/// given too.
const WEAK_CIPHER_SUITES: [&str; 8] = [
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
];
const DEFAULT_SESSION_KEYS: u32 = 1;

pub(super) fn downstream(
    value: proto::DownstreamTlsContext,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<DownstreamTls, Invalid> {
    let proto::DownstreamTlsContext {
        common_tls_context,
        require_client_certificate,
        require_sni,
        disable_stateless_session_resumption,
    } = value;
    let at_common = at.field("common_tls_context");
    let common = context(at_common.required(common_tls_context)?, &at_common, cx)?;
    if common.certificates.is_empty() {
        return Err(at_common.refuse(
            "a server needs a certificate: give tls_certificates or tls_certificate_sds_secret_configs",
        ));
    }
    Ok(DownstreamTls {
        common,
        require_client_certificate: require_client_certificate.unwrap_or(false),
        require_sni: require_sni.unwrap_or(false),
        disable_resumption: disable_stateless_session_resumption.unwrap_or(false),
    })
}

pub(super) fn upstream(
    value: proto::UpstreamTlsContext,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<UpstreamTls, Invalid> {
    let proto::UpstreamTlsContext {
        common_tls_context,
        sni,
        auto_host_sni,
        auto_sni_san_validation,
        allow_renegotiation,
        max_session_keys,
    } = value;
    if allow_renegotiation {
        return Err(at.field("allow_renegotiation").refuse("renegotiation is never done"));
    }
    if sni.len() > 255 {
        return Err(at.field("sni").refuse("a server name has at most 255 bytes"));
    }
    let common = context(common_tls_context.unwrap_or_default(), &at.field("common_tls_context"), cx)?;
    Ok(UpstreamTls {
        common,
        sni: (!sni.is_empty()).then(|| sni.into()),
        auto_host_sni,
        auto_sni_san_validation,
        max_session_keys: max_session_keys.unwrap_or(DEFAULT_SESSION_KEYS),
    })
}

fn context(value: proto::CommonTlsContext, at: &At<'_>, cx: &mut Context) -> Result<TlsContext, Invalid> {
    let proto::CommonTlsContext {
        tls_params,
        tls_certificates,
        tls_certificate_sds_secret_configs,
        alpn_protocols,
        validation_context_type,
    } = value;
    let proto::TlsParameters {
        tls_minimum_protocol_version: min,
        tls_maximum_protocol_version: max,
        cipher_suites,
    } = tls_params.unwrap_or_default();
    let at_params = at.field("tls_params");
    let mut certificates = Vec::new();
    let at_inline = at.field("tls_certificates");
    for (nth, value) in tls_certificates.iter().enumerate() {
        certificates.push(CertificateSource::Inline(Arc::new(certificate(value, &at_inline.item(nth))?)));
    }
    let at_sds = at.field("tls_certificate_sds_secret_configs");
    for (nth, proto::SdsSecretConfig { name }) in tls_certificate_sds_secret_configs.iter().enumerate() {
        certificates.push(CertificateSource::Secret(cx.secret(name, &at_sds.item(nth).field("name"))?));
    }
    let alpn = alpn_protocols.into_iter().enumerate();
    let at_alpn = at.field("alpn_protocols");
    Ok(TlsContext {
        versions: versions(min, max, &at_params)?,
        cipher_suites: suites(&cipher_suites, &at_params.field("cipher_suites"))?,
        alpn: alpn.map(|(nth, name)| protocol(&name, &at_alpn.item(nth))).collect::<Result<_, _>>()?,
        certificates: certificates.into(),
        validation: validation_context_type.map(|value| validation_source(value, at, cx)).transpose()?,
    })
}

/// RFC 7301 3.1: 1 to 255 bytes.
fn protocol(name: &str, at: &At<'_>) -> Result<Box<[u8]>, Invalid> {
    match name.len() {
        1..=255 => Ok(name.as_bytes().into()),
        _ => Err(at.refuse("the name of a protocol has 1 to 255 bytes")),
    }
}

fn versions(min: i32, max: i32, at: &At<'_>) -> Result<TlsVersions, Invalid> {
    use proto::tls_parameters::TlsProtocol;
    let default = TlsVersions::default();
    let at_max = at.field("tls_maximum_protocol_version");
    let min = match choice(min, &at.field("tls_minimum_protocol_version"))? {
        TlsProtocol::TlsAuto => default.min,
        // Older versions do not exist here, so the lowest of those that do is the lowest.
        TlsProtocol::Tlsv10 | TlsProtocol::Tlsv11 | TlsProtocol::Tlsv12 => TlsVersion::V1_2,
        TlsProtocol::Tlsv13 => TlsVersion::V1_3,
    };
    let max = match choice(max, &at_max)? {
        TlsProtocol::TlsAuto => default.max,
        TlsProtocol::Tlsv10 | TlsProtocol::Tlsv11 => {
            return Err(at_max.refuse("TLS before 1.2 does not exist here"));
        }
        TlsProtocol::Tlsv12 => TlsVersion::V1_2,
        TlsProtocol::Tlsv13 => TlsVersion::V1_3,
    };
    match min > max {
        true => Err(at_max.refuse("this is lower than the minimum")),
        false => Ok(TlsVersions { min, max }),
    }
}

/// Each entry is a suite or a group `[A|B]` of equal preference, which here is taken in its order.
fn suites(values: &[String], at: &At<'_>) -> Result<Box<[Box<str>]>, Invalid> {
    let mut found: Vec<Box<str>> = Vec::new();
    for (nth, value) in values.iter().enumerate() {
        for name in value.trim_matches(['[', ']']).split('|') {
            match name {
                known if CIPHER_SUITES.contains(&known) => found.push(known.into()),
                weak if WEAK_CIPHER_SUITES.contains(&weak) => {}
                _ => {
                    return Err(at
                        .item(nth)
                        .refuse(format!("{name:?} is not one of {}", CIPHER_SUITES.join(", "))));
                }
            }
        }
    }
    match found.is_empty() && !values.is_empty() {
        true => {
            Err(at.refuse(format!("none of these exists here; give one of {}", CIPHER_SUITES.join(", "))))
        }
        false => Ok(found.into()),
    }
}

pub(super) fn certificate(value: &proto::TlsCertificate, at: &At<'_>) -> Result<TlsCertificate, Invalid> {
    let proto::TlsCertificate { certificate_chain, private_key } = value;
    let (at_chain, at_key) = (at.field("certificate_chain"), at.field("private_key"));
    let chain = data(at_chain.required(certificate_chain.as_ref())?, &at_chain)?;
    let key = data(at_key.required(private_key.as_ref())?, &at_key)?;
    Ok(TlsCertificate {
        chain: pem::certificates(&chain, &at_chain)?.into(),
        key: pem::private_key(&key, &at_key)?,
    })
}

fn validation_source(
    value: proto::common_tls_context::ValidationContextType,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<ValidationSource, Invalid> {
    use proto::common_tls_context::{CombinedCertificateValidationContext, ValidationContextType as Kind};
    match value {
        Kind::ValidationContext(value) => {
            let at = at.field("validation_context");
            validation(&value, &at, cx)
                .and_then(|context| safe(context, &at))
                .map(|c| ValidationSource::Inline(Arc::new(c)))
        }
        Kind::ValidationContextSdsSecretConfig(proto::SdsSecretConfig { name }) => {
            let at = at.field("validation_context_sds_secret_config");
            cx.secret(&name, &at.field("name")).map(ValidationSource::Secret)
        }
        Kind::CombinedValidationContext(value) => {
            let at = at.field("combined_validation_context");
            let CombinedCertificateValidationContext {
                default_validation_context,
                validation_context_sds_secret_config,
            } = value;
            let context = default_validation_context.unwrap_or_default();
            let context = validation(&context, &at.field("default_validation_context"), cx)?;
            let at = at.field("validation_context_sds_secret_config");
            let proto::SdsSecretConfig { name } = at.required(validation_context_sds_secret_config)?;
            let secret = cx.secret(&name, &at.field("name"))?;
            Ok(ValidationSource::Combined(Arc::new(context), secret))
        }
    }
}

/// Names in a certificate that nobody vouches for say nothing.
fn safe(context: ValidationContext, at: &At<'_>) -> Result<ValidationContext, Invalid> {
    match context.trusted_ca.is_empty() && !context.names.is_empty() {
        true => Err(at.field("trusted_ca").refuse("without it the names of a certificate can be forged")),
        false => Ok(context),
    }
}

pub(super) fn validation(
    value: &proto::CertificateValidationContext,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<ValidationContext, Invalid> {
    use proto::certificate_validation_context::TrustChainVerification;
    let proto::CertificateValidationContext {
        trusted_ca,
        verify_certificate_spki,
        verify_certificate_hash,
        match_typed_subject_alt_names,
        match_subject_alt_names,
        crl,
        allow_expired_certificate,
        trust_chain_verification,
        only_verify_leaf_cert_crl,
    } = value;
    let pins = |pins: &[String], at: &At<'_>, parse: fn(&str, &At<'_>) -> Result<[u8; 32], Invalid>| {
        pins.iter().enumerate().map(|(nth, pin)| parse(pin, &at.item(nth))).collect::<Result<Box<[_]>, _>>()
    };
    let names = names(match_typed_subject_alt_names, match_subject_alt_names, at, cx)?;
    let verification: TrustChainVerification =
        choice(*trust_chain_verification, &at.field("trust_chain_verification"))?;
    Ok(ValidationContext {
        trusted_ca: pem_list(trusted_ca.as_ref(), &at.field("trusted_ca"), pem::certificates)?,
        names,
        spki_pins: pins(verify_certificate_spki, &at.field("verify_certificate_spki"), pem::base64_pin)?,
        certificate_pins: pins(verify_certificate_hash, &at.field("verify_certificate_hash"), pem::hex_pin)?,
        crl: pem_list(crl.as_ref(), &at.field("crl"), pem::revocation_lists)?,
        crl_leaf_only: *only_verify_leaf_cert_crl,
        allow_expired: *allow_expired_certificate,
        accept_untrusted: verification == TrustChainVerification::AcceptUntrusted,
    })
}

fn pem_list<T>(
    value: Option<&core::DataSource>,
    at: &At<'_>,
    parse: impl Fn(&[u8], &At<'_>) -> Result<Vec<T>, Invalid>,
) -> Result<Arc<[T]>, Invalid> {
    match value {
        None => Ok(Arc::new([])),
        Some(value) => Ok(parse(&data(value, at)?, at)?.into()),
    }
}

fn names(
    typed: &[proto::SubjectAltNameMatcher],
    untyped: &[matcher::StringMatcher],
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Box<[SanMatcher]>, Invalid> {
    use proto::subject_alt_name_matcher::SanType;
    let (at_typed, at_untyped) =
        (at.field("match_typed_subject_alt_names"), at.field("match_subject_alt_names"));
    let mut names = Vec::with_capacity(typed.len());
    for (nth, proto::SubjectAltNameMatcher { san_type, matcher }) in typed.iter().enumerate() {
        let at = at_typed.item(nth);
        let kind = match choice(*san_type, &at.field("san_type"))? {
            SanType::Dns => SanKind::Dns,
            SanType::Uri => SanKind::Uri,
            SanType::Email => SanKind::Email,
            SanType::IpAddress => SanKind::Ip,
            SanType::SanTypeUnspecified | SanType::OtherName => {
                return Err(at.field("san_type").refuse("give DNS, URI, EMAIL or IP_ADDRESS"));
            }
        };
        let at = at.field("matcher");
        names.push(SanMatcher { kind, matcher: matching::string(at.required(matcher.as_ref())?, &at, cx)? });
    }
    // The old field looks at names of every kind.
    for (nth, value) in untyped.iter().enumerate() {
        let matcher = matching::string(value, &at_untyped.item(nth), cx)?;
        for kind in [SanKind::Dns, SanKind::Uri, SanKind::Email, SanKind::Ip] {
            names.push(SanMatcher { kind, matcher: matcher.clone() });
        }
    }
    Ok(names.into())
}
