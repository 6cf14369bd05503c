//! Checks a peer's certificate: its chain by webpki, then the names, keys and SPIFFE rules of the validation context.

mod chain;
mod demands;

use std::sync::Arc;

use meshloom_model::tls::ValidationContext;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs as backend, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage};

use super::certificate::Certificate;
use super::notes::{self, Refusal};
use chain::Authorities;

/// Why a certificate does not pass, beyond what webpki says.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("no name of the certificate is allowed")]
    Name,
    #[error("a SPIFFE certificate must have exactly one URI name")]
    SeveralUris,
    #[error("the certificate has no SPIFFE ID of a known trust domain")]
    TrustDomain,
    #[error("the key usage of a SPIFFE certificate must be given, and must not allow to sign others")]
    Authority,
    #[error("neither the certificate nor its public key is pinned")]
    Pin,
    #[error("the chain of the certificate is too long")]
    Depth,
    #[error("the certificate's key must not sign")]
    KeyUsage,
    #[error("the peer has signed in a way that is not allowed here")]
    Scheme,
    #[error("there is nothing that the certificate could be checked against")]
    NoRules,
}

/// A check that failed: what is counted, and what rustls is told.
type Failed = (Refusal, Error);

fn refused(kind: Refusal, reason: Refused) -> Failed {
    (kind, Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(reason)))))
}

/// Which side of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The server; with `required`, clients must show a certificate.
    Server { required: bool },
    /// The client, which checks more of the server.
    Client(ServerDemands),
}

/// What a client demands of servers besides the validation context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerDemands {
    /// The certificate has the server name that was sent.
    pub(super) server_name: bool,
    /// The key of an RSA certificate may sign.
    pub(super) rsa_key_usage: bool,
}

/// The rules for the other side, whichever side it is.
#[derive(Debug)]
pub(super) struct PeerVerifier {
    /// `None` takes any certificate.
    rules: Option<ValidationContext>,
    authorities: Authorities,
    algorithms: WebPkiSupportedAlgorithms,
    /// How peers may sign.
    schemes: Vec<SignatureScheme>,
    role: Role,
}

impl PeerVerifier {
    /// The verifier of a validation context; without one, any certificate passes. `schemes` says how peers may sign;
    /// empty is every way that exists.
    pub(super) fn new(
        rules: Option<ValidationContext>,
        schemes: &[SignatureScheme],
        role: Role,
    ) -> Result<Self, String> {
        let algorithms = backend::default_provider().signature_verification_algorithms;
        let authorities = rules.as_ref().map_or_else(|| Ok(Authorities::default()), Authorities::read)?;
        let unvouched =
            rules.as_ref().is_some_and(|rules| !rules.has_authorities() && !rules.names.is_empty());
        if unvouched {
            return Err("TLS: names are checked, but there is no trusted_ca to vouch for them".to_owned());
        }
        let schemes = match schemes {
            [] => algorithms.supported_schemes(),
            chosen => chosen.to_vec(),
        };
        Ok(Self { rules, authorities, algorithms, schemes, role })
    }

    /// Does this chain of a client pass? Asked after handshakes that let through whatever comes, and those that were
    /// resumed: time has passed since it was checked.
    pub(super) fn vouches_for(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some((first, rest)) = chain.split_first() else { return false };
        self.rules.is_some() && self.verify_client(first, rest, UnixTime::now()).is_ok()
    }

    /// The authorities that may have signed certificates.
    pub(super) fn trusted(&self) -> Option<&Arc<[CertificateDer<'static>]>> {
        self.rules.as_ref().map(|rules| &rules.trusted_ca)
    }

    /// Is a client to be asked for a certificate?
    pub(super) fn asks_for_certificates(&self) -> bool {
        self.rules.is_some() || matches!(self.role, Role::Server { required: true })
    }

    /// Gives everything that decides who is let in, to tell one verifier from another.
    pub(super) fn describe(&self, part: &mut impl FnMut(&[u8])) {
        let Some(rules) = &self.rules else { return };
        rules.trusted_ca.iter().for_each(|der| part(der));
        rules.crl.iter().for_each(|der| part(der));
        rules.spki_pins.iter().chain(&*rules.certificate_pins).for_each(|pin| part(pin));
        for domain in rules.trust_domains.iter().flat_map(|domains| domains.iter()) {
            part(domain.name.as_bytes());
            domain.authorities.iter().for_each(|der| part(der));
        }
        for name in &rules.names {
            part(format!("{name:?}").as_bytes());
        }
        let ValidationContext { crl_leaf_only, allow_expired, accept_untrusted, max_depth, .. } = rules;
        part(format!("{crl_leaf_only} {allow_expired} {accept_untrusted} {max_depth:?}").as_bytes());
    }

    fn verify_client(
        &self,
        der: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Failed> {
        self.verify(der, intermediates, now, &[], false)
    }

    /// `demanded` are names that the certificate must have, each of them; `instead` of those in the rules, or besides.
    fn verify(
        &self,
        der: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        demanded: &[&ServerName<'_>],
        instead: bool,
    ) -> Result<(), Failed> {
        let vouched = self.rules.as_ref().is_some_and(ValidationContext::has_authorities);
        if !demanded.is_empty() && !vouched {
            return Err(refused(Refusal::Chain, Refused::NoRules));
        }
        let Some(rules) = &self.rules else { return Ok(()) };
        if !rules.has_authorities() && !rules.has_demands() {
            return Err(refused(Refusal::Chain, Refused::NoRules));
        }
        let broken = || (Refusal::Chain, Error::InvalidCertificate(CertificateError::BadEncoding));
        let cert = EndEntityCert::try_from(der).map_err(|_| broken())?;
        let parts = Certificate::read(der).ok_or_else(broken)?;
        let usage = match self.role {
            Role::Server { .. } => KeyUsage::client_auth(),
            Role::Client(_) => KeyUsage::server_auth(),
        };
        self.authorities.verify(rules, &cert, &parts, intermediates, now, usage)?;
        for name in demanded {
            cert.verify_is_valid_for_subject_name(name)
                .map_err(|_| refused(Refusal::Names, Refused::Name))?;
        }
        if !instead {
            demands::names(rules, &parts)?;
        }
        demands::pins(rules, &cert)
    }

    /// What clients ask of a server's certificate: the rules, and the name that was sent for or that a request brought.
    fn verify_server(
        &self,
        der: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Failed> {
        let Role::Client(demands) = self.role else { return Ok(()) };
        let brought = notes::open(|notes| notes.demanded.clone());
        // An address is not sent, and stands here for no name at all.
        let sent = Some(name).filter(|name| demands.server_name && matches!(name, ServerName::DnsName(_)));
        let demanded: Vec<&ServerName<'_>> = sent.into_iter().chain(&brought).collect();
        self.verify(der, intermediates, now, &demanded, sent.is_some())?;
        let broken = || (Refusal::Chain, Error::InvalidCertificate(CertificateError::BadEncoding));
        let parts = Certificate::read(der).ok_or_else(broken)?;
        // BoringSSL has the same rule, and always for elliptic curves.
        if (demands.rsa_key_usage || !parts.has_rsa_key()) && !parts.may_sign() {
            return Err(refused(Refusal::KeyUsage, Refused::KeyUsage));
        }
        Ok(())
    }

    /// Notes the outcome of a check, and lets through what is let through all the same.
    fn outcome(
        &self,
        result: Result<(), Failed>,
        der: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
    ) -> Result<(), Error> {
        let expires = |der: &CertificateDer<'_>| Certificate::read(der).map(|parts| parts.not_after);
        let first = std::iter::once(der).chain(rest).filter_map(expires).min();
        let lenient = self.rules.as_ref().is_some_and(|rules| rules.accept_untrusted);
        notes::open(|notes| {
            notes.refusal = result.as_ref().err().map(|(kind, _)| *kind);
            notes.peer_expires =
                first.filter(|_| !self.rules.as_ref().is_some_and(|rules| rules.allow_expired));
        });
        match result {
            Err((Refusal::Chain | Refusal::Names | Refusal::Pins, _)) if lenient => Ok(()),
            result => result.map_err(|(_, error)| error),
        }
    }

    /// Was this signature made in a way that is allowed, and by the peer's key?
    fn verify_signature(
        &self,
        dss: &DigitallySignedStruct,
        check: impl FnOnce() -> Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !self.schemes.contains(&dss.scheme) {
            return Err(refused(Refusal::Chain, Refused::Scheme).1);
        }
        notes::open(|notes| notes.peer_scheme = Some(dss.scheme));
        check()
    }
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
        let result = self.verify_server(end_entity, intermediates, server_name, now);
        self.outcome(result, end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(dss, || verify_tls12_signature(message, cert, dss, &self.algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(dss, || verify_tls13_signature(message, cert, dss, &self.algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

impl ClientCertVerifier for PeerVerifier {
    /// No hints: the list of CA names is long, and clients of a mesh have one certificate.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        matches!(self.role, Role::Server { required: true })
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let result = self.verify_client(end_entity, intermediates, now);
        self.outcome(result, end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
