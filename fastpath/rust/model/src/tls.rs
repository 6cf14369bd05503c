//! TLS contexts and secrets.

use std::sync::Arc;
use std::time::Duration;

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
    /// How sessions are resumed.
    pub tickets: Tickets,
    /// For how long a session may be resumed.
    pub session_timeout: Duration,
    /// Which certificates may be shown without a good OCSP response.
    pub staple_policy: StaplePolicy,
    /// Look through all certificates when none has the server name that the client sent.
    pub full_scan: bool,
    /// Choose the cipher suite by the client's preference.
    pub prefer_client_ciphers: bool,
}

impl DownstreamTls {
    /// The secrets that it names.
    pub fn secrets(&self) -> Vec<SecretIndex> {
        let keys = match &self.tickets {
            Tickets::Shared(TicketKeysSource::Secret(index)) => Some(*index),
            _ => None,
        };
        self.common.secrets().into_iter().chain(keys).collect()
    }
}

/// How a server resumes sessions.
#[derive(Clone, Debug)]
pub enum Tickets {
    /// Not at all.
    Off,
    /// By tickets under keys of our own.
    Own,
    /// By tickets under keys that several servers share.
    Shared(TicketKeysSource),
}

/// Where shared ticket keys come from.
#[derive(Clone, Debug)]
pub enum TicketKeysSource {
    /// The configuration.
    Inline(Arc<TicketKeys>),
    /// A secret; without it no handshake is made.
    Secret(SecretIndex),
}

/// Keys that protect session tickets: the first one is for new tickets, all are for those that come back.
#[derive(PartialEq, Eq)]
pub struct TicketKeys(pub Box<[[u8; 80]]>);

impl std::fmt::Debug for TicketKeys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "TicketKeys({})", self.0.len())
    }
}

/// What a server does about OCSP responses for its certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StaplePolicy {
    /// A good response is stapled; without one the handshake goes on.
    #[default]
    Lenient,
    /// A certificate whose response has expired is not shown.
    Strict,
    /// A certificate without a good response is not shown.
    Must,
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
    /// Sessions to remember for resumption, for each endpoint; 0 is off.
    pub max_session_keys: u32,
    /// The key of a server's RSA certificate must be allowed to sign.
    pub enforce_rsa_key_usage: bool,
}

/// What server and client side of TLS share.
#[derive(Clone, Debug, Default)]
pub struct TlsContext {
    /// Lowest and highest version.
    pub versions: TlsVersions,
    /// Cipher suites of TLS 1.2 by their IANA numbers, in order of preference. Those of one group are equal: the client's
    /// preference decides. Empty is our default list. Suites of TLS 1.3 cannot be chosen, as in Envoy.
    pub cipher_suites: Box<[Box<[u16]>]>,
    /// Key exchange groups by their IANA numbers, in order of preference; empty is our default list.
    pub groups: Box<[u16]>,
    /// Signature schemes by their IANA numbers, in order of preference; empty is every one that the library has.
    pub signature_schemes: Box<[u16]>,
    /// Application protocols, in order of preference.
    pub alpn: Box<[Box<[u8]>]>,
    /// Our certificates; a server chooses by server name.
    pub certificates: Box<[CertificateSource]>,
    /// How the peer's certificate is checked; `None` is not at all.
    pub validation: Option<ValidationSource>,
}

impl TlsContext {
    /// The secrets that it names.
    pub fn secrets(&self) -> Vec<SecretIndex> {
        let certificates = self.certificates.iter().filter_map(|source| match source {
            CertificateSource::Secret(index) => Some(*index),
            CertificateSource::Inline(_) => None,
        });
        let validation = self.validation.as_ref().and_then(|source| match source {
            ValidationSource::Secret(index) | ValidationSource::Combined(_, index) => Some(*index),
            ValidationSource::Inline(_) => None,
        });
        certificates.chain(validation).collect()
    }
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
    /// OCSP response to staple (DER); empty is none.
    pub staple: Box<[u8]>,
}

impl PartialEq for TlsCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain
            && self.key.secret_der() == other.key.secret_der()
            && self.staple == other.staple
    }
}

/// How a peer's certificate is checked.
#[derive(Clone, Debug, Default)]
pub struct ValidationContext {
    /// Certificates that may have signed it; empty is no check of the chain (then only pins below protect).
    pub trusted_ca: Arc<[CertificateDer<'static>]>,
    /// Instead of `trusted_ca`: certificates that may have signed it, by the trust domain of its SPIFFE ID.
    pub trust_domains: Option<Arc<[TrustDomain]>>,
    /// Names, one of which it must have; empty is any name.
    pub names: Box<[SanMatcher]>,
    /// SHA-256 of its public key, one of which it must have; empty is any.
    pub spki_pins: Box<[[u8; 32]]>,
    /// SHA-256 of the certificate, one of which it must be; empty is any.
    pub certificate_pins: Box<[[u8; 32]]>,
    /// Revoked certificates. With any, every authority of a chain must have a list.
    pub crl: Arc<[CertificateRevocationListDer<'static>]>,
    /// Check only the peer's own certificate against the revocation lists.
    pub crl_leaf_only: bool,
    /// Take it although its time has passed, or has not come.
    pub allow_expired: bool,
    /// Let a peer through whose certificate does not pass; what it claims is then not believed.
    pub accept_untrusted: bool,
    /// Most certificates of authorities in a chain, the trusted one included (0 is 1); `None` is what the library takes.
    pub max_depth: Option<u32>,
}

/// Authorities of a SPIFFE trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustDomain {
    /// `cluster.local`
    pub name: Box<str>,
    /// Its authorities.
    pub authorities: Box<[CertificateDer<'static>]>,
}

impl ValidationContext {
    /// These rules with those of a secret over them: lists are joined, a CA replaces the one here.
    #[must_use]
    pub fn overlaid(&self, secret: &Self) -> Self {
        let joined = |first: &[[u8; 32]], second: &[[u8; 32]]| [first, second].concat().into();
        Self {
            trusted_ca: if secret.trusted_ca.is_empty() { &self.trusted_ca } else { &secret.trusted_ca }
                .clone(),
            trust_domains: secret.trust_domains.clone().or_else(|| self.trust_domains.clone()),
            names: self.names.iter().chain(&*secret.names).cloned().collect(),
            spki_pins: joined(&self.spki_pins, &secret.spki_pins),
            certificate_pins: joined(&self.certificate_pins, &secret.certificate_pins),
            crl: if secret.crl.is_empty() { &self.crl } else { &secret.crl }.clone(),
            crl_leaf_only: self.crl_leaf_only || secret.crl_leaf_only,
            allow_expired: self.allow_expired || secret.allow_expired,
            accept_untrusted: self.accept_untrusted || secret.accept_untrusted,
            max_depth: secret.max_depth.or(self.max_depth),
        }
    }

    /// Is there anything that a chain could be checked against?
    pub fn has_authorities(&self) -> bool {
        !self.trusted_ca.is_empty() || self.trust_domains.is_some()
    }

    /// Is there anything that a certificate's names or keys could be checked against?
    pub fn has_demands(&self) -> bool {
        !self.names.is_empty() || !self.spki_pins.is_empty() || !self.certificate_pins.is_empty()
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SanKind {
    /// DNS name.
    Dns,
    /// URI, such as a SPIFFE ID.
    Uri,
    /// E-mail address.
    Email,
    /// IP address, as text.
    Ip,
    /// A name of another kind: its object identifier, as the content of the DER element.
    Other(Box<[u8]>),
}

/// What a secret holds.
#[derive(Clone, Debug)]
pub enum Secret {
    /// Our own certificate.
    Certificate(Arc<TlsCertificate>),
    /// How a peer's is checked.
    Validation(Arc<ValidationContext>),
    /// Keys for session tickets.
    TicketKeys(Arc<TicketKeys>),
}
