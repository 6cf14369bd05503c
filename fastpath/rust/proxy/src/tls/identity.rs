//! What a peer's certificate says of it.

use std::sync::Arc;

use meshloom_model::template::Digest;
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::certificate::Certificate;
use super::told::fingerprint;

/// The parts of a verified certificate that logs, headers and policies look at.
#[derive(Debug)]
pub(crate) struct PeerIdentity {
    pub(crate) uris: Vec<String>,
    pub(crate) dns: Vec<String>,
    /// RFC 2253.
    pub(crate) subject: String,
    /// SHA-256 of the certificate, in hex.
    pub(crate) fingerprint: String,
    /// The certificate, then those that were shown with it.
    pub(super) chain: Box<[CertificateDer<'static>]>,
    /// Where the peer has not shown who signed it: the authorities that we trust, and which of them it was.
    authority: Option<(Arc<[CertificateDer<'static>]>, usize)>,
}

impl PeerIdentity {
    /// Reads the first certificate of a chain; `None` when there is none, or it cannot be read.
    pub(crate) fn read(chain: &[CertificateDer<'static>]) -> Option<Self> {
        let der = chain.first()?;
        let cert = EndEntityCert::try_from(der).ok()?;
        let uris = cert.valid_uri_names().map(str::to_owned).collect();
        let dns = cert.valid_dns_names().map(str::to_owned).collect();
        let subject = super::name::rfc2253(cert.subject());
        let fingerprint = fingerprint(der, Digest::Sha256);
        Some(Self { uris, dns, subject, fingerprint, chain: chain.into(), authority: None })
    }

    /// The same, with one of these authorities behind it where the chain is of one certificate.
    pub(crate) fn vouched_for_by(mut self, trusted: &Arc<[CertificateDer<'static>]>) -> Self {
        if let [der] = &*self.chain {
            let issuer = Certificate::read(der).map(|parts| parts.issuer);
            let has_signed = |other: &CertificateDer<'static>| {
                Certificate::read(other).is_some_and(|parts| Some(parts.subject) == issuer)
            };
            self.authority = trusted.iter().position(has_signed).map(|place| (Arc::clone(trusted), place));
        }
        self
    }

    /// The certificate of who has signed it.
    pub(super) fn issuer(&self) -> Option<&CertificateDer<'static>> {
        let trusted = || self.authority.as_ref().and_then(|(trusted, place)| trusted.get(*place));
        self.chain.get(1).or_else(trusted)
    }

    /// Is it the identity of this very chain?
    pub(crate) fn is(&self, chain: &[CertificateDer<'static>]) -> bool {
        *self.chain == *chain
    }

    /// The first URI name.
    pub(crate) fn uri(&self) -> Option<Arc<str>> {
        self.uris.first().map(|uri| Arc::from(uri.as_str()))
    }

    /// The peer's SPIFFE ID, if it has one.
    pub(crate) fn spiffe(&self) -> Option<Arc<str>> {
        self.uris.iter().find(|uri| uri.starts_with("spiffe://")).map(|uri| Arc::from(uri.as_str()))
    }

    /// The certificate in PEM, URL-encoded as `x-forwarded-client-cert` wants it.
    pub(crate) fn pem_encoded(&self) -> String {
        let body = self.chain.first().map(|der| crate::util::base64(der)).unwrap_or_default();
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in body.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        let mut out = String::with_capacity(pem.len() * 5 / 4);
        for byte in pem.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    out.push(char::from(byte))
                }
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
        out
    }
}
