//! Commands about TLS connections and the certificates shown on them.

use super::{Command, TimeFormat};

/// A field of a TLS connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsField {
    /// `TLSv1.3`
    Version,
    /// `TLS_AES_128_GCM_SHA256`
    Cipher,
    /// `X25519`
    Group,
    /// The session's identifier in hex, which TLS 1.2 has only.
    SessionId,
    /// The name that was sent, of a connection with an upstream.
    ServerName,
    /// Of the peer's certificate.
    Peer(CertificateField),
    /// Of our own.
    Local(CertificateField),
}

/// A field of a certificate. Several values are joined by `,`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateField {
    /// URI names.
    Uris,
    /// DNS names.
    Dns,
    /// IP addresses.
    Ips,
    /// E-mail addresses.
    Emails,
    /// Names of other kinds that are text.
    Others,
    /// Subject (RFC 2253).
    Subject,
    /// Who signed it (RFC 2253).
    Issuer,
    /// Serial number in hex.
    Serial,
    /// Digest in hex.
    Fingerprint(Digest),
    /// The certificate in PEM, URL-encoded.
    Pem,
    /// When it begins to be good.
    Begins(TimeFormat),
    /// When it ends to be good.
    Ends(TimeFormat),
    /// Serial numbers of all certificates that were shown.
    ChainSerials,
    /// Digests of all certificates that were shown.
    ChainFingerprints(Digest),
    /// Serial number of the certificate that was shown after it.
    IssuerSerial,
    /// Digest of the certificate that was shown after it.
    IssuerFingerprint(Digest),
}

/// How a digest is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// SHA-1, which some logs still name certificates by.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// `None` when there is no such command; `Some(None)` when it does not take the argument.
pub(super) fn command(name: &str, argument: &str) -> Option<Option<Command>> {
    if let Some(name) = name.strip_prefix("DOWNSTREAM_") {
        return Some(downstream(name, argument)?.map(Command::DownstreamTls));
    }
    let name = name.strip_prefix("UPSTREAM_")?;
    Some(upstream(name, argument)?.map(Command::UpstreamTls))
}

fn downstream(name: &str, argument: &str) -> Option<Option<TlsField>> {
    use CertificateField as F;
    let plain = |field| argument.is_empty().then_some(field);
    if let Some(name) = name.strip_prefix("PEER_") {
        let field = match name {
            "EMAIL_SAN" => F::Emails,
            "OTHERNAME_SAN" => F::Others,
            "SERIAL" => F::Serial,
            "FINGERPRINT_1" => F::Fingerprint(Digest::Sha1),
            "FINGERPRINT_256" => F::Fingerprint(Digest::Sha256),
            "CHAIN_SERIALS" => F::ChainSerials,
            "CHAIN_FINGERPRINTS_1" => F::ChainFingerprints(Digest::Sha1),
            "CHAIN_FINGERPRINTS_256" => F::ChainFingerprints(Digest::Sha256),
            "ISSUER_SERIAL" => F::IssuerSerial,
            "ISSUER_FINGERPRINT_256" => F::IssuerFingerprint(Digest::Sha256),
            _ => return peer(name, argument),
        };
        return Some(plain(TlsField::Peer(field)));
    }
    let field = match name {
        "LOCAL_EMAIL_SAN" => F::Emails,
        "LOCAL_OTHERNAME_SAN" => F::Others,
        "LOCAL_SUBJECT" => F::Subject,
        _ => return shared(name).map(plain),
    };
    Some(plain(TlsField::Local(field)))
}

fn upstream(name: &str, argument: &str) -> Option<Option<TlsField>> {
    let plain = |field| argument.is_empty().then_some(field);
    if let Some(name) = name.strip_prefix("PEER_") {
        return peer(name, argument);
    }
    match name {
        "SERVER_NAME" => Some(plain(TlsField::ServerName)),
        _ => shared(name).map(plain),
    }
}

/// What both sides have, but for the peer's certificate.
fn shared(name: &str) -> Option<TlsField> {
    Some(match name {
        "TLS_VERSION" => TlsField::Version,
        "TLS_CIPHER" => TlsField::Cipher,
        "TLS_GROUP" => TlsField::Group,
        "TLS_SESSION_ID" => TlsField::SessionId,
        "LOCAL_URI_SAN" => TlsField::Local(CertificateField::Uris),
        "LOCAL_DNS_SAN" => TlsField::Local(CertificateField::Dns),
        "LOCAL_IP_SAN" => TlsField::Local(CertificateField::Ips),
        _ => return None,
    })
}

/// What both sides have of the peer's certificate.
fn peer(name: &str, argument: &str) -> Option<Option<TlsField>> {
    use CertificateField as F;
    let field = match name {
        "URI_SAN" => F::Uris,
        "DNS_SAN" => F::Dns,
        "IP_SAN" => F::Ips,
        "SUBJECT" => F::Subject,
        "ISSUER" => F::Issuer,
        "CERT" => F::Pem,
        "CERT_V_START" => return Some(time(argument, F::Begins)),
        "CERT_V_END" => return Some(time(argument, F::Ends)),
        _ => return None,
    };
    Some(argument.is_empty().then_some(TlsField::Peer(field)))
}

fn time(argument: &str, field: fn(TimeFormat) -> CertificateField) -> Option<TlsField> {
    TimeFormat::parse(argument).map(|format| TlsField::Peer(field(format)))
}
