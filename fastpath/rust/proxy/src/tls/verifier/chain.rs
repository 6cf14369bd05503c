//! Does a chain lead to an authority that is trusted? Signatures, times, usage, revocation, depth.

use meshloom_model::tls::ValidationContext;
use rustls::crypto::aws_lc_rs as backend;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::{CertificateError, Error, OtherError};
use std::sync::Arc;
use std::time::Duration;
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath,
};

use super::super::certificate::{Certificate, Name};
use super::super::notes::Refusal;
use super::{Failed, Refused, refused};

/// The authorities of a validation context and what they have revoked.
#[derive(Debug, Default)]
pub(super) struct Authorities {
    anchors: Vec<TrustAnchor<'static>>,
    /// Authorities by the trust domain of SPIFFE IDs; they take the place of `anchors`.
    domains: Option<Vec<(Box<str>, Vec<TrustAnchor<'static>>)>>,
    revoked: Vec<CertRevocationList<'static>>,
}

impl Authorities {
    pub(super) fn read(rules: &ValidationContext) -> Result<Self, String> {
        let domain = |domain: &meshloom_model::tls::TrustDomain| {
            anchors(&domain.authorities).map(|found| (domain.name.clone(), found))
        };
        let domains = rules.trust_domains.as_ref();
        let revoked = rules
            .crl
            .iter()
            .map(|der| OwnedCertRevocationList::from_der(der).map(CertRevocationList::from))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("TLS: a revocation list cannot be read: {error}"))?;
        Ok(Self {
            anchors: anchors(&rules.trusted_ca)?,
            domains: domains.map(|all| all.iter().map(domain).collect()).transpose()?,
            revoked,
        })
    }

    pub(super) fn verify(
        &self,
        rules: &ValidationContext,
        cert: &EndEntityCert<'_>,
        parts: &Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Failed> {
        let anchors = match &self.domains {
            Some(domains) => of_spiffe_id(domains, parts)?,
            None if self.anchors.is_empty() => return Ok(()),
            None => &self.anchors,
        };
        let mut at = now;
        // Where time does not matter, a chain is looked at while each of it was valid: one more try for each.
        for _ in 0..intermediates.len().min(MOST_INTERMEDIATES) + 2 {
            match self.verify_at(rules, anchors, cert, intermediates, at, usage) {
                Err(webpki::Error::CertExpired { not_after, .. }) if rules.allow_expired => at = not_after,
                Err(webpki::Error::CertNotValidYet { not_before, .. }) if rules.allow_expired => {
                    at = not_before;
                }
                Err(error) if is_trusted_itself(rules, cert, &error) => return within(parts, rules, now),
                Err(error) => return Err(translate(error)),
                Ok(()) => return Ok(()),
            }
        }
        Err(translate(webpki::Error::InvalidCertValidity))
    }

    fn verify_at(
        &self,
        rules: &ValidationContext,
        anchors: &[TrustAnchor<'_>],
        cert: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        at: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), webpki::Error> {
        let lists: Vec<&CertRevocationList<'_>> = self.revoked.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            let depth = match rules.crl_leaf_only {
                true => RevocationCheckDepth::EndEntity,
                false => RevocationCheckDepth::Chain,
            };
            // As Envoy: with one list, every authority of the chain must have one, and a fresh one.
            options
                .with_depth(depth)
                .with_status_policy(UnknownStatusPolicy::Deny)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        let algorithms = backend::default_provider().signature_verification_algorithms.all;
        let short_enough = |path: &VerifiedPath<'_>| {
            // The trusted certificate counts, the peer's own does not.
            let depth = path.intermediate_certificates().count() + 1;
            // As in Envoy, none at all means one.
            match rules.max_depth.is_some_and(|most| depth > most.max(1) as usize) {
                true => Err(webpki::Error::MaximumPathDepthExceeded),
                false => Ok(()),
            }
        };
        let checked = cert.verify_for_usage(
            algorithms,
            anchors,
            intermediates,
            at,
            usage,
            revocation,
            Some(&short_enough),
        );
        checked.map(drop)
    }
}

/// webpki takes no longer chains.
const MOST_INTERMEDIATES: usize = 6;

fn anchors(authorities: &[CertificateDer<'static>]) -> Result<Vec<TrustAnchor<'static>>, String> {
    authorities
        .iter()
        .map(|der| webpki::anchor_from_trusted_cert(der).map(|anchor| anchor.to_owned()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("TLS: a trusted CA cannot be read: {error}"))
}

/// The authorities of the trust domain that a certificate claims to be of (SPIFFE X509-SVID 5.2).
fn of_spiffe_id<'a>(
    domains: &'a [(Box<str>, Vec<TrustAnchor<'static>>)],
    parts: &Certificate<'_>,
) -> Result<&'a [TrustAnchor<'static>], Failed> {
    if parts.may_certify() {
        return Err(refused(Refusal::Chain, Refused::Authority));
    }
    let mut uris = parts.names().filter_map(|name| match name {
        Name::Uri(uri) => Some(uri),
        _ => None,
    });
    let (first, more) = (uris.next(), uris.next());
    if more.is_some() {
        return Err(refused(Refusal::Chain, Refused::SeveralUris));
    }
    let rest = first.and_then(|uri| uri.strip_prefix("spiffe://"));
    let domain = rest.and_then(|rest| rest.split('/').next());
    let found = domain.and_then(|domain| domains.iter().find(|(name, _)| **name == *domain));
    found.map(|(_, anchors)| &**anchors).ok_or_else(|| refused(Refusal::Chain, Refused::TrustDomain))
}

/// Is this very certificate one of those that are trusted? webpki takes no authority for a peer and looks for an issuer
/// in any case; BoringSSL, and so Envoy, ends the chain there.
fn is_trusted_itself(rules: &ValidationContext, cert: &EndEntityCert<'_>, error: &webpki::Error) -> bool {
    let in_question = matches!(error, webpki::Error::UnknownIssuer | webpki::Error::CaUsedAsEndEntity);
    in_question
        && rules.trust_domains.is_none()
        && rules.trusted_ca.iter().any(|known| **known == *cert.der())
}

fn within(parts: &Certificate<'_>, rules: &ValidationContext, now: UnixTime) -> Result<(), Failed> {
    let time = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let (not_before, not_after) = (time(parts.not_before), time(parts.not_after));
    if rules.allow_expired || (not_before <= now && now <= not_after) {
        return Ok(());
    }
    Err(translate(match now < not_before {
        true => webpki::Error::CertNotValidYet { time: now, not_before },
        false => webpki::Error::CertExpired { time: now, not_after },
    }))
}

fn translate(error: webpki::Error) -> Failed {
    let error = match error {
        webpki::Error::MaximumPathDepthExceeded => return refused(Refusal::Chain, Refused::Depth),
        webpki::Error::CertExpired { .. } | webpki::Error::InvalidCertValidity => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::CertRevoked => CertificateError::Revoked,
        webpki::Error::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    (Refusal::Chain, Error::InvalidCertificate(error))
}
