//! How a peer's certificate is checked.

mod spiffe;

use std::sync::Arc;

use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::extensions::transport_sockets::tls::v3 as proto;
use meshloom_xds::envoy::r#type::matcher::v3 as matcher;

use super::super::context::Context;
use super::super::parts::{choice, data, extension, text, unpack, unsupported};
use super::super::path::{At, Invalid};
use super::super::{matching, pem, types};
use crate::tls::{SanKind, SanMatcher, TrustDomain, ValidationContext, ValidationSource};

pub(super) fn source(
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
    match !context.has_authorities() && !context.names.is_empty() {
        true => Err(at.field("trusted_ca").refuse("without it the names of a certificate can be forged")),
        false => Ok(context),
    }
}

pub(in super::super) fn validation(
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
        max_verify_depth,
        custom_validator_config,
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
        max_depth: *max_verify_depth,
        trust_domains: custom_validator_config
            .as_ref()
            .map(|custom| trust_domains(custom, &at.field("custom_validator_config")))
            .transpose()?,
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
    for (nth, proto::SubjectAltNameMatcher { san_type, matcher, oid }) in typed.iter().enumerate() {
        let at = at_typed.item(nth);
        let kind = match choice(*san_type, &at.field("san_type"))? {
            SanType::Dns => SanKind::Dns,
            SanType::Uri => SanKind::Uri,
            SanType::Email => SanKind::Email,
            SanType::IpAddress => SanKind::Ip,
            SanType::OtherName => SanKind::Other(object_identifier(oid, &at.field("oid"))?),
            SanType::SanTypeUnspecified => {
                return Err(at.field("san_type").refuse("give DNS, URI, EMAIL, IP_ADDRESS or OTHER_NAME"));
            }
        };
        let at = at.field("matcher");
        names.push(SanMatcher { kind, matcher: matching::string(at.required(matcher.as_ref())?, &at, cx)? });
    }
    // The old field looks at names of every kind that has a text.
    for (nth, value) in untyped.iter().enumerate() {
        let matcher = matching::string(value, &at_untyped.item(nth), cx)?;
        for kind in [SanKind::Dns, SanKind::Uri, SanKind::Email, SanKind::Ip] {
            names.push(SanMatcher { kind, matcher: matcher.clone() });
        }
    }
    Ok(names.into())
}

/// `1.2.840.113556` as the content of a DER element (X.690 8.19).
fn object_identifier(text: &str, at: &At<'_>) -> Result<Box<[u8]>, Invalid> {
    let wrong = || at.refuse(format!("{text:?} is not an object identifier such as 1.3.6.1.4.1.311.20.2.3"));
    let arcs: Option<Vec<u64>> = text.split('.').map(|arc| arc.parse().ok()).collect();
    match arcs.as_deref() {
        Some([first @ 0..=2, second, rest @ ..]) if *first == 2 || *second < 40 => {
            let mut out = Vec::new();
            push_base_128(first * 40 + second.min(&(u64::MAX / 2)), &mut out);
            rest.iter().for_each(|arc| push_base_128(*arc, &mut out));
            Ok(out.into())
        }
        _ => Err(wrong()),
    }
}

fn push_base_128(value: u64, out: &mut Vec<u8>) {
    let digits = (64 - value.leading_zeros()).div_ceil(7).max(1);
    for digit in (0..digits).rev() {
        let more = if digit > 0 { 0x80 } else { 0 };
        out.push((value >> (digit * 7) & 0x7f) as u8 | more);
    }
}

fn trust_domains(value: &core::TypedExtensionConfig, at: &At<'_>) -> Result<Arc<[TrustDomain]>, Invalid> {
    let core::TypedExtensionConfig { name: _, typed_config } = value;
    let at = at.field("typed_config");
    let config: proto::SPIFFECertValidatorConfig = match extension(typed_config.as_ref(), &at)? {
        (types::SPIFFE_VALIDATOR, any) => unpack(any, &at)?,
        (other, _) => return Err(unsupported(other, "give a SPIFFECertValidatorConfig", &at)),
    };
    let proto::SPIFFECertValidatorConfig { trust_domains, trust_bundles } = config;
    // The bundles win over the list, as in Envoy.
    let found = match &trust_bundles {
        Some(bundles) => {
            let at = at.field("trust_bundles");
            spiffe::bundle_map(&data(bundles, &at)?, &at)?
        }
        None => listed(&trust_domains, &at.field("trust_domains"))?,
    };
    match found.is_empty() {
        true => Err(at.refuse("give a trust domain in trust_domains or trust_bundles")),
        false => Ok(found.into()),
    }
}

fn listed(
    values: &[proto::spiffe_cert_validator_config::TrustDomain],
    at: &At<'_>,
) -> Result<Vec<TrustDomain>, Invalid> {
    let mut found: Vec<TrustDomain> = Vec::with_capacity(values.len());
    for (nth, value) in values.iter().enumerate() {
        let proto::spiffe_cert_validator_config::TrustDomain { name, trust_bundle } = value;
        let at_domain = at.item(nth);
        let (at_name, at) = (at_domain.field("name"), at_domain.field("trust_bundle"));
        let name = text(name, &at_name)?;
        if found.iter().any(|known| *known.name == *name) {
            return Err(at_name.refuse(format!("the trust domain {name:?} is given twice")));
        }
        let bundle = data(at.required(trust_bundle.as_ref())?, &at)?;
        found.push(TrustDomain { name: name.into(), authorities: pem::certificates(&bundle, &at)?.into() });
    }
    Ok(found)
}
