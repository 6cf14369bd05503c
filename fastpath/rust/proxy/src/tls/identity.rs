//! What a peer's certificate says of it.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The parts of a verified certificate that logs, headers and policies look at.
#[derive(Debug)]
pub(crate) struct PeerIdentity {
    pub(crate) uris: Vec<String>,
    pub(crate) dns: Vec<String>,
    /// RFC 2253.
    pub(crate) subject: String,
    /// SHA-256 of the certificate, in hex.
    pub(crate) fingerprint: String,
    der: CertificateDer<'static>,
}

impl PeerIdentity {
    /// Reads the first certificate of a chain; `None` when there is none, or it cannot be read.
    pub(crate) fn read(chain: &[CertificateDer<'static>]) -> Option<Self> {
        let der = chain.first()?.clone();
        let cert = EndEntityCert::try_from(&der).ok()?;
        let uris = cert.valid_uri_names().map(str::to_owned).collect();
        let dns = cert.valid_dns_names().map(str::to_owned).collect();
        let subject = super::name::rfc2253(cert.subject());
        let fingerprint = hex(digest(&SHA256, &der).as_ref());
        Some(Self { uris, dns, subject, fingerprint, der })
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
        let body = crate::util::base64(&self.der);
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
