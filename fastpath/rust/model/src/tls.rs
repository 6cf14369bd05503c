//! TLS contexts and secrets.

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use crate::ids::SecretIndex;
use crate::matcher::StringMatcher;

/// TLS with the downstream: we are the server.
#[derive(Clone, Debug)]
pub struct DownstreamTls {
    /// What both sides share.
    pub common: TlsContext,
    /// Refuse clients without a certificate.
    pub require_client_certificate: bool,
    /// Refuse clients without a server name that one of the certificates has.
    pub require_sni: bool,
    /// Give out no session tickets.
    pub disable_resumption: bool,
}

/// TLS with an upstream: we are the client.
#[derive(Clone, Debug)]
pub struct UpstreamTls {
    /// What both sides share.
    pub common: TlsContext,
    /// Server name to send; `None` sends none (unless `auto_host_sni`).
    pub sni: Option<Arc<str>>,
    /// Send the endpoint's host name as server name.
    pub auto_host_sni: bool,
    /// The server's certificate must have the server name that was sent.
    pub auto_sni_san_validation: bool,
    /// Sessions to remember for resumption; 0 is off.
    pub max_session_keys: u32,
}

/// What server and client side of TLS share.
#[derive(Clone, Debug, Default)]
pub struct TlsContext {
    /// Lowest and highest version.
    pub versions: TlsVersions,
    /// Cipher suites of TLS 1.2 by OpenSSL's names, in order of preference; empty is our default list.
    /// Suites of TLS 1.3 cannot be chosen, as in Envoy.
    pub cipher_suites: Box<[Box<str>]>,
    /// Application protocols, in order of preference.
    pub alpn: Box<[Box<[u8]>]>,
    /// Our certificates; a server chooses by server name.
    pub certificates: Box<[CertificateSource]>,
    /// How the peer's certificate is checked; `None` is not at all.
    pub validation: Option<ValidationSource>,
}

/// Lowest and highest version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsVersions {
    /// Lowest.
    pub min: TlsVersion,
    /// Highest.
    pub max: TlsVersion,
}

impl Default for TlsVersions {
    /// Envoy's defaults: a client offers 1.2 and 1.3; a server does too (1.0 and 1.1 do not exist here).
    fn default() -> Self {
        Self { min: TlsVersion::V1_2, max: TlsVersion::V1_3 }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.2
    V1_2,
    /// 1.3
    V1_3,
}

/// Where a certificate comes from.
#[derive(Clone, Debug)]
pub enum CertificateSource {
    /// The configuration.
    Inline(Arc<TlsCertificate>),
    /// A secret; without it no handshake is made.
    Secret(SecretIndex),
}

/// Where the rules for the peer's certificate come from.
#[derive(Clone, Debug)]
pub enum ValidationSource {
    /// The configuration.
    Inline(Arc<ValidationContext>),
    /// A secret; without it no handshake is made.
    Secret(SecretIndex),
    /// Both: the secret's fields go over those here ([`ValidationContext::overlaid`]).
    Combined(Arc<ValidationContext>, SecretIndex),
}

/// A certificate with its chain and its key.
#[derive(Debug)]
pub struct TlsCertificate {
    /// The certificate, then those that signed it.
    pub chain: Box<[CertificateDer<'static>]>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

impl PartialEq for TlsCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain && self.key.secret_der() == other.key.secret_der()
    }
}

/// How a peer's certificate is checked.
#[derive(Clone, Debug, Default)]
pub struct ValidationContext {
    /// Certificates that may have signed it; empty is no check of the chain (then only pins below protect).
    pub trusted_ca: Arc<[CertificateDer<'static>]>,
    /// Names, one of which it must have; empty is any name.
    pub names: Box<[SanMatcher]>,
    /// SHA-256 of its public key, one of which it must have; empty is any.
    pub spki_pins: Box<[[u8; 32]]>,
    /// SHA-256 of the certificate, one of which it must be; empty is any.
    pub certificate_pins: Box<[[u8; 32]]>,
    /// Revoked certificates.
    pub crl: Arc<[CertificateRevocationListDer<'static>]>,
    /// Check only the peer's own certificate against the revocation lists.
    pub crl_leaf_only: bool,
    /// Take it although its time has passed.
    pub allow_expired: bool,
    /// Let a peer through whose certificate does not pass; what it claims is then not believed.
    pub accept_untrusted: bool,
}

impl ValidationContext {
    /// These rules with those of a secret over them: lists are joined, a CA replaces the one here.
    #[must_use]
    pub fn overlaid(&self, secret: &Self) -> Self {
        let joined = |first: &[[u8; 32]], second: &[[u8; 32]]| [first, second].concat().into();
        Self {
            trusted_ca: if secret.trusted_ca.is_empty() { &self.trusted_ca } else { &secret.trusted_ca }
                .clone(),
            names: self.names.iter().chain(&*secret.names).cloned().collect(),
            spki_pins: joined(&self.spki_pins, &secret.spki_pins),
            certificate_pins: joined(&self.certificate_pins, &secret.certificate_pins),
            crl: if secret.crl.is_empty() { &self.crl } else { &secret.crl }.clone(),
            crl_leaf_only: self.crl_leaf_only || secret.crl_leaf_only,
            allow_expired: self.allow_expired || secret.allow_expired,
            accept_untrusted: self.accept_untrusted || secret.accept_untrusted,
        }
    }
}

/// A name that a certificate must have.
#[derive(Clone, Debug)]
pub struct SanMatcher {
    /// Which kind of name.
    pub kind: SanKind,
    /// What it must be. An exact DNS name also fits a certificate's `*.` name of one label.
    pub matcher: StringMatcher,
}

/// Kind of a subject alternative name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SanKind {
    /// DNS name.
    Dns,
    /// URI, such as a SPIFFE ID.
    Uri,
    /// E-mail address.
    Email,
    /// IP address, as text.
    Ip,
}

/// What a secret holds.
#[derive(Clone, Debug)]
pub enum Secret {
    /// Our own certificate.
    Certificate(Arc<TlsCertificate>),
    /// How a peer's is checked.
    Validation(Arc<ValidationContext>),
}
