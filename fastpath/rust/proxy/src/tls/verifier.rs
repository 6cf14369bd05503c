//! Checks a peer's certificate: its chain by webpki, then the names, pins and SPIFFE rules of the validation context.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use meshloom_model::matcher::StringMatcher;
use meshloom_model::tls::{SanKind, SanMatcher, ValidationContext};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs as backend, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use webpki::{
    CertRevocationList, EndEntityCert, KeyUsage, OwnedCertRevocationList, RevocationOptionsBuilder,
};

/// Why a certificate does not pass, beyond what webpki says.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("no name of the certificate is allowed")]
    Name,
    #[error("a SPIFFE certificate must have exactly one URI name")]
    SeveralUris,
    #[error("the certificate's public key is not pinned")]
    Pin,
    #[error("the certificate was revoked")]
    Revoked,
}

fn refused(reason: Refused) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(reason))))
}

/// The rules for the other side, whichever side it is.
#[derive(Debug)]
pub(super) struct PeerVerifier {
    rules: ValidationContext,
    anchors: Vec<TrustAnchor<'static>>,
    crls: Vec<CertRevocationList<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    required: bool,
    check_server_name: bool,
}

impl PeerVerifier {
    pub(super) fn new(rules: ValidationContext, required: bool) -> Result<Self, String> {
        let anchors = rules
            .trusted_ca
            .iter()
            .map(|der| webpki::anchor_from_trusted_cert(der).map(|anchor| anchor.to_owned()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("TLS: a trusted CA cannot be read: {error}"))?;
        let crls = rules
            .crl
            .iter()
            .map(|der| OwnedCertRevocationList::from_der(der).map(CertRevocationList::from))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("TLS: a revocation list cannot be read: {error}"))?;
        let algorithms = backend::default_provider().signature_verification_algorithms;
        Ok(Self { rules, anchors, crls, algorithms, required, check_server_name: false })
    }

    /// Takes any certificate: there are no rules.
    pub(super) fn any(required: bool) -> Self {
        Self {
            rules: ValidationContext::default(),
            anchors: Vec::new(),
            crls: Vec::new(),
            algorithms: backend::default_provider().signature_verification_algorithms,
            required,
            check_server_name: false,
        }
    }

    /// The certificate must also have the name that was sent.
    pub(super) fn with_server_name(self) -> Self {
        Self { check_server_name: true, ..self }
    }

    /// Does this chain pass? Asked after a handshake that lets through whatever comes.
    pub(super) fn vouches_for(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some((first, rest)) = chain.split_first() else { return false };
        // In a strict handshake it has passed already.
        !self.rules.accept_untrusted
            || self.verify(first, rest, UnixTime::now(), KeyUsage::client_auth()).is_ok()
    }

    fn verify(
        &self,
        der: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Error> {
        let cert = EndEntityCert::try_from(der).map_err(|_| CertificateError::BadEncoding)?;
        if !self.anchors.is_empty() {
            match self.verify_chain(&cert, intermediates, now, usage) {
                Err(webpki::Error::CertExpired { not_after, .. }) if self.rules.allow_expired => {
                    self.verify_chain(&cert, intermediates, not_after, usage).map_err(translate)?;
                }
                result => result.map_err(translate)?,
            }
        }
        self.verify_names(&cert)?;
        self.verify_pins(der, &cert)
    }

    fn verify_chain(
        &self,
        cert: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), webpki::Error> {
        let lists: Vec<&CertRevocationList<'_>> = self.crls.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            let depth = match self.rules.crl_leaf_only {
                true => webpki::RevocationCheckDepth::EndEntity,
                false => webpki::RevocationCheckDepth::Chain,
            };
            options.with_depth(depth).with_status_policy(webpki::UnknownStatusPolicy::Allow).build()
        });
        cert.verify_for_usage(
            self.algorithms.all,
            &self.anchors,
            intermediates,
            now,
            usage,
            revocation,
            None,
        )?;
        Ok(())
    }

    fn verify_names(&self, cert: &EndEntityCert<'_>) -> Result<(), Error> {
        if self.rules.names.is_empty() {
            return Ok(());
        }
        let uris: Vec<&str> = cert.valid_uri_names().collect();
        // X509-SVID 2: a certificate with several URI names is not one identity but any of them.
        if uris.len() > 1 && self.rules.names.iter().any(|name| name.kind == SanKind::Uri) {
            return Err(refused(Refused::SeveralUris));
        }
        match self.rules.names.iter().any(|name| has_name(cert, &uris, name)) {
            true => Ok(()),
            false => Err(refused(Refused::Name)),
        }
    }

    fn verify_pins(&self, der: &CertificateDer<'_>, cert: &EndEntityCert<'_>) -> Result<(), Error> {
        let (keys, whole) = (&self.rules.spki_pins, &self.rules.certificate_pins);
        if keys.is_empty() && whole.is_empty() {
            return Ok(());
        }
        let spki = cert.subject_public_key_info();
        let pinned = keys.iter().any(|pin| digest(&SHA256, &spki).as_ref() == pin)
            || whole.iter().any(|pin| digest(&SHA256, der).as_ref() == pin);
        if pinned { Ok(()) } else { Err(refused(Refused::Pin)) }
    }

    fn outcome(&self, result: Result<(), Error>) -> Result<(), Error> {
        if self.rules.accept_untrusted { Ok(()) } else { result }
    }
}

fn has_name(cert: &EndEntityCert<'_>, uris: &[&str], wanted: &SanMatcher) -> bool {
    match wanted.kind {
        SanKind::Uri => uris.iter().any(|uri| wanted.matcher.matches(uri.as_bytes())),
        SanKind::Dns => cert.valid_dns_names().any(|name| dns_fits(name, &wanted.matcher)),
        SanKind::Ip => match &wanted.matcher {
            StringMatcher::Exact(text) => std::str::from_utf8(text)
                .ok()
                .and_then(|text| ServerName::try_from(text).ok())
                .is_some_and(|name| cert.verify_is_valid_for_subject_name(&name).is_ok()),
            _ => false,
        },
        SanKind::Email => false,
    }
}

/// An exact name also fits a certificate for `*.` and the rest of it.
fn dns_fits(name: &str, matcher: &StringMatcher) -> bool {
    let lower = name.to_ascii_lowercase();
    if matcher.matches(lower.as_bytes()) || matcher.matches(name.as_bytes()) {
        return true;
    }
    let (StringMatcher::Exact(wanted), Some(parent)) = (matcher, lower.strip_prefix("*.")) else {
        return false;
    };
    let dot = wanted.iter().position(|byte| *byte == b'.');
    dot.is_some_and(|dot| {
        dot > 0 && wanted.get(dot + 1..).is_some_and(|rest| rest.eq_ignore_ascii_case(parent.as_bytes()))
    })
}

fn translate(error: webpki::Error) -> Error {
    let error = match error {
        webpki::Error::CertExpired { .. } | webpki::Error::InvalidCertValidity => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::CertRevoked => return refused(Refused::Revoked),
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    Error::InvalidCertificate(error)
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut result = self.verify(end_entity, intermediates, now, KeyUsage::server_auth());
        if result.is_ok() && self.check_server_name {
            let cert = EndEntityCert::try_from(end_entity).map_err(|_| CertificateError::BadEncoding)?;
            result = cert.verify_is_valid_for_subject_name(server_name).map_err(|_| refused(Refused::Name));
        }
        self.outcome(result).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    /// No hints: the list of CA names is long, and clients of a mesh have one certificate.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let result = self.verify(end_entity, intermediates, now, KeyUsage::client_auth());
        self.outcome(result).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
