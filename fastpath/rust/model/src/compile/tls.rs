//! TLS contexts.

mod params;
mod validation;

use std::sync::Arc;
use std::time::Duration;

use meshloom_xds::envoy::extensions::transport_sockets::tls::v3 as proto;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::context::Context;
use super::parts::{choice, data, duration};
use super::path::{At, Invalid};
use super::pem;
use crate::tls::{
    CertificateSource, DownstreamTls, StaplePolicy, TicketKeys, TicketKeysSource, Tickets, TlsCertificate,
    TlsContext, UpstreamTls,
};

pub(super) use validation::validation;

const DEFAULT_SESSION_KEYS: u32 = 1;
/// What BoringSSL gives sessions, and therefore Envoy.
const DEFAULT_SESSION_TIMEOUT: Duration = Duration::from_secs(2 * 3600);
/// RFC 8446 4.6.1: a ticket lives for at most a week.
const MAX_SESSION_TIMEOUT: Duration = Duration::from_secs(7 * 86_400);

pub(super) fn downstream(
    value: proto::DownstreamTlsContext,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<DownstreamTls, Invalid> {
    let proto::DownstreamTlsContext {
        common_tls_context,
        require_client_certificate,
        require_sni,
        session_timeout,
        ocsp_staple_policy,
        full_scan_certs_on_sni_mismatch,
        prefer_client_ciphers,
        session_ticket_keys_type,
    } = value;
    let at_common = at.field("common_tls_context");
    let common = context(at_common.required(common_tls_context)?, &at_common, cx)?;
    if common.certificates.is_empty() {
        return Err(at_common.refuse(
            "a server needs a certificate: give tls_certificates or tls_certificate_sds_secret_configs",
        ));
    }
    let staple_policy = choice(ocsp_staple_policy, &at.field("ocsp_staple_policy"))?;
    let staple_policy = staple_rules(staple_policy, &common, &at_common.field("tls_certificates"))?;
    let timeout = duration(session_timeout, &at.field("session_timeout"))?;
    Ok(DownstreamTls {
        common,
        require_client_certificate: require_client_certificate.unwrap_or(false),
        require_sni: require_sni.unwrap_or(false),
        tickets: match timeout {
            Some(Duration::ZERO) => Tickets::Off,
            _ => tickets(session_ticket_keys_type, at, cx)?,
        },
        session_timeout: timeout.unwrap_or(DEFAULT_SESSION_TIMEOUT).min(MAX_SESSION_TIMEOUT),
        staple_policy,
        full_scan: full_scan_certs_on_sni_mismatch.unwrap_or(false),
        prefer_client_ciphers,
    })
}

fn tickets(
    value: Option<proto::downstream_tls_context::SessionTicketKeysType>,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Tickets, Invalid> {
    use proto::downstream_tls_context::SessionTicketKeysType as Kind;
    Ok(match value {
        None | Some(Kind::DisableStatelessSessionResumption(false)) => Tickets::Own,
        Some(Kind::DisableStatelessSessionResumption(true)) => Tickets::Off,
        Some(Kind::SessionTicketKeys(keys)) => {
            let keys = ticket_keys(&keys, &at.field("session_ticket_keys"))?;
            Tickets::Shared(TicketKeysSource::Inline(Arc::new(keys)))
        }
        Some(Kind::SessionTicketKeysSdsSecretConfig(proto::SdsSecretConfig { name })) => {
            let at = at.field("session_ticket_keys_sds_secret_config");
            Tickets::Shared(TicketKeysSource::Secret(cx.secret(&name, &at.field("name"))?))
        }
    })
}

/// The reasons never quote a key.
pub(super) fn ticket_keys(value: &proto::TlsSessionTicketKeys, at: &At<'_>) -> Result<TicketKeys, Invalid> {
    let proto::TlsSessionTicketKeys { keys } = value;
    let at = at.field("keys");
    if keys.is_empty() {
        return Err(at.refuse("give at least one key"));
    }
    let one = |(nth, key)| {
        let at = at.item(nth);
        let key: Result<[u8; 80], _> = data(key, &at)?.try_into();
        key.map_err(|_| at.refuse("a ticket key has exactly 80 bytes"))
    };
    Ok(TicketKeys(keys.iter().enumerate().map(one).collect::<Result<_, _>>()?))
}

fn staple_rules(
    policy: proto::downstream_tls_context::OcspStaplePolicy,
    common: &TlsContext,
    at_certificates: &At<'_>,
) -> Result<StaplePolicy, Invalid> {
    use proto::downstream_tls_context::OcspStaplePolicy;
    let policy = match policy {
        OcspStaplePolicy::LenientStapling => StaplePolicy::Lenient,
        OcspStaplePolicy::StrictStapling => StaplePolicy::Strict,
        OcspStaplePolicy::MustStaple => StaplePolicy::Must,
    };
    let inline = common.certificates.iter().filter_map(|source| match source {
        CertificateSource::Inline(certificate) => Some(certificate),
        CertificateSource::Secret(_) => None,
    });
    for (nth, certificate) in inline.enumerate() {
        if policy == StaplePolicy::Must && certificate.staple.is_empty() {
            let at = at_certificates.item(nth);
            return Err(at
                .field("ocsp_staple")
                .refuse("ocsp_staple_policy is MUST_STAPLE: give an OCSP response"));
        }
    }
    Ok(policy)
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
        enforce_rsa_key_usage,
    } = value;
    if allow_renegotiation {
        return Err(at.field("allow_renegotiation").refuse("renegotiation is never done; leave this out"));
    }
    let at_sni = at.field("sni");
    if sni.len() > 255 {
        return Err(at_sni.refuse("a server name has at most 255 bytes"));
    }
    if !sni.is_empty() && rustls_pki_types::ServerName::try_from(sni.as_str()).is_err() {
        return Err(at_sni.refuse(format!("{sni:?} is neither a host name nor an IP address")));
    }
    let at_common = at.field("common_tls_context");
    let common = context(common_tls_context.unwrap_or_default(), &at_common, cx)?;
    if common.certificates.len() > 1 {
        return Err(at_common.refuse("a client shows one certificate; give one"));
    }
    if auto_sni_san_validation && common.validation.is_none() {
        return Err(at_common
            .field("validation_context")
            .refuse("the certificate's name cannot be believed unchecked: give trusted_ca"));
    }
    Ok(UpstreamTls {
        common,
        sni: (!sni.is_empty()).then(|| sni.into()),
        auto_host_sni,
        auto_sni_san_validation,
        max_session_keys: max_session_keys.unwrap_or(DEFAULT_SESSION_KEYS),
        enforce_rsa_key_usage: enforce_rsa_key_usage.unwrap_or(true),
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
    let params = params::params(tls_params.unwrap_or_default(), &at.field("tls_params"))?;
    let mut certificates = Vec::new();
    let at_inline = at.field("tls_certificates");
    for (nth, value) in tls_certificates.iter().enumerate() {
        certificates.push(CertificateSource::Inline(Arc::new(certificate(value, &at_inline.item(nth))?)));
    }
    let at_sds = at.field("tls_certificate_sds_secret_configs");
    for (nth, proto::SdsSecretConfig { name }) in tls_certificate_sds_secret_configs.iter().enumerate() {
        certificates.push(CertificateSource::Secret(cx.secret(name, &at_sds.item(nth).field("name"))?));
    }
    Ok(TlsContext {
        versions: params.versions,
        cipher_suites: params.cipher_suites,
        groups: params.groups,
        signature_schemes: params.signature_schemes,
        alpn: protocols(&alpn_protocols, &at.field("alpn_protocols"))?,
        certificates: certificates.into(),
        validation: validation_context_type.map(|value| validation::source(value, at, cx)).transpose()?,
    })
}

/// Certificate and key are often replaced one after the other: what was read between them must not come into force.
fn belongs(
    key: &PrivateKeyDer<'static>,
    chain: &[CertificateDer<'static>],
    at: &At<'_>,
) -> Result<(), Invalid> {
    let key =
        any_supported_type(key).map_err(|error| at.refuse(format!("the key cannot be used: {error}")))?;
    match CertifiedKey::new(chain.to_vec(), key).keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(at.refuse("this is not the key of the certificate"))
        }
        _ => Ok(()),
    }
}

/// Names of protocols for ALPN.
pub(super) fn protocols(names: &[String], at: &At<'_>) -> Result<Box<[Box<[u8]>]>, Invalid> {
    names.iter().enumerate().map(|(nth, name)| protocol(name, &at.item(nth))).collect()
}

/// RFC 7301 3.1: 1 to 255 bytes.
fn protocol(name: &str, at: &At<'_>) -> Result<Box<[u8]>, Invalid> {
    match name.len() {
        1..=255 => Ok(name.as_bytes().into()),
        _ => Err(at.refuse("the name of a protocol has 1 to 255 bytes")),
    }
}

pub(super) fn certificate(value: &proto::TlsCertificate, at: &At<'_>) -> Result<TlsCertificate, Invalid> {
    let proto::TlsCertificate { certificate_chain, private_key, ocsp_staple } = value;
    let (at_chain, at_key) = (at.field("certificate_chain"), at.field("private_key"));
    let chain = data(at_chain.required(certificate_chain.as_ref())?, &at_chain)?;
    let key = data(at_key.required(private_key.as_ref())?, &at_key)?;
    let staple = ocsp_staple.as_ref().map(|staple| data(staple, &at.field("ocsp_staple"))).transpose()?;
    let (chain, key) = (pem::certificates(&chain, &at_chain)?, pem::private_key(&key, &at_key)?);
    belongs(&key, &chain, &at_key)?;
    Ok(TlsCertificate { chain: chain.into(), key, staple: staple.unwrap_or_default().into() })
}
