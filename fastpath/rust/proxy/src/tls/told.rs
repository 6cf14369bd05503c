//! What logs and headers tell of a TLS connection and of the certificates shown on it.

use std::rc::Rc;
use std::sync::Arc;

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use meshloom_model::template::{CertificateField, Digest, TimeFormat, TlsField};
use rustls::pki_types::CertificateDer;

use super::PeerIdentity;
use super::certificate::{Certificate, Name};
use super::name::rfc2253;

/// What a finished handshake has established.
#[derive(Clone, Debug)]
pub(crate) struct TlsInfo {
    pub(crate) version: &'static str,
    pub(crate) cipher: &'static str,
    pub(crate) group: &'static str,
    /// Empty where there is none.
    pub(crate) session_id: Box<[u8]>,
    /// What was sent, as the client.
    pub(crate) server_name: Option<Box<str>>,
    /// `None` when the peer showed no certificate, or as a client one that is not believed.
    pub(crate) peer: Option<Rc<PeerIdentity>>,
    /// Our own certificate.
    pub(crate) local: Option<Rc<PeerIdentity>>,
}

impl TlsInfo {
    /// First URI name of our own certificate.
    pub(crate) fn local_uri(&self) -> Option<Arc<str>> {
        self.local.as_ref()?.uri()
    }

    /// Appends a field; false when there is none.
    pub(crate) fn write(&self, field: &TlsField, out: &mut Vec<u8>) -> bool {
        let text = match field {
            TlsField::Version => Some(self.version.to_owned()),
            TlsField::Cipher => Some(self.cipher.to_owned()),
            TlsField::Group => Some(self.group.to_owned()),
            TlsField::SessionId => Some(hex(&self.session_id)),
            TlsField::ServerName => self.server_name.as_deref().map(str::to_owned),
            TlsField::Peer(field) => self.peer.as_ref().and_then(|peer| peer.tell(field)),
            TlsField::Local(field) => self.local.as_ref().and_then(|local| local.tell(field)),
        };
        let text = text.unwrap_or_default();
        out.extend_from_slice(text.as_bytes());
        !text.is_empty()
    }
}

impl PeerIdentity {
    fn tell(&self, field: &CertificateField) -> Option<String> {
        use CertificateField as F;
        let leaf = self.chain.first()?;
        let parts = Certificate::read(leaf)?;
        let names = |pick: fn(Name<'_>) -> Option<String>| joined(parts.names().filter_map(pick));
        Some(match field {
            F::Uris => self.uris.join(","),
            F::Dns => self.dns.join(","),
            F::Ips => names(|name| if let Name::Ip(ip) = name { Some(ip.to_string()) } else { None }),
            F::Emails => {
                names(|name| if let Name::Email(text) = name { Some(text.to_owned()) } else { None })
            }
            F::Others => names(|name| match name {
                Name::Other(_, value) => Some(String::from_utf8_lossy(value).into_owned()),
                _ => None,
            }),
            F::Subject => self.subject.clone(),
            F::Issuer => rfc2253(parts.issuer),
            F::Serial => serial(leaf)?,
            F::Fingerprint(kind) => fingerprint(leaf, *kind),
            F::Pem => self.pem_encoded(),
            F::Begins(format) => time(parts.not_before, format),
            F::Ends(format) => time(parts.not_after, format),
            F::ChainSerials => joined(self.chain.iter().filter_map(serial)),
            F::ChainFingerprints(kind) => joined(self.chain.iter().map(|der| fingerprint(der, *kind))),
            F::IssuerSerial => serial(self.issuer()?)?,
            F::IssuerFingerprint(kind) => fingerprint(self.issuer()?, *kind),
        })
    }
}

fn joined(values: impl Iterator<Item = String>) -> String {
    values.collect::<Vec<String>>().join(",")
}

/// Without the zero byte that keeps a large number positive.
fn serial(der: &CertificateDer<'_>) -> Option<String> {
    let number = Certificate::read(der)?.serial;
    Some(hex(number.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(number)))
}

pub(super) fn fingerprint(der: &CertificateDer<'_>, kind: Digest) -> String {
    let algorithm = match kind {
        Digest::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
        Digest::Sha256 => &SHA256,
    };
    hex(digest::digest(algorithm, der).as_ref())
}

fn time(seconds: u64, format: &TimeFormat) -> String {
    let mut out = Vec::new();
    format.write(seconds.saturating_mul(1_000_000_000), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
