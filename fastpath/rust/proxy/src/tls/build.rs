//! rustls configurations out of TLS contexts and the secrets they name.

use std::sync::Arc;

use meshloom_model::Snapshot;
use meshloom_model::tls::{
    CertificateSource, DownstreamTls, TlsCertificate, TlsContext, TlsVersion, UpstreamTls,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion, version};

use super::verifier::PeerVerifier;

/// Made once: it holds the algorithms, no state.
fn provider(context: &TlsContext) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    if !context.cipher_suites.is_empty() {
        // Suites of TLS 1.3 cannot be chosen, as in Envoy.
        provider.cipher_suites.retain(|suite| {
            suite.tls13().is_some()
                || context.cipher_suites.iter().any(|name| openssl_name(suite.suite()) == Some(&**name))
        });
    }
    Arc::new(provider)
}

fn openssl_name(suite: rustls::CipherSuite) -> Option<&'static str> {
    use rustls::CipherSuite as S;
    Some(match suite {
        S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        S::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        S::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => return None,
    })
}

fn versions(context: &TlsContext) -> &'static [&'static SupportedProtocolVersion] {
    static ONLY_1_3: [&SupportedProtocolVersion; 1] = [&version::TLS13];
    static ONLY_1_2: [&SupportedProtocolVersion; 1] = [&version::TLS12];
    static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    match (context.versions.min, context.versions.max) {
        (TlsVersion::V1_3, _) => &ONLY_1_3,
        (TlsVersion::V1_2, TlsVersion::V1_2) => &ONLY_1_2,
        (TlsVersion::V1_2, TlsVersion::V1_3) => &BOTH,
    }
}

/// A certificate with a key that can sign.
fn certified(certificate: &TlsCertificate, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, String> {
    let key = provider
        .key_provider
        .load_private_key(certificate.key.clone_key())
        .map_err(|error| format!("TLS: the private key cannot be used: {error}"))?;
    Ok(Arc::new(CertifiedKey::new(certificate.chain.to_vec(), key)))
}

fn certificates(
    sources: &[CertificateSource],
    snapshot: &Snapshot,
    provider: &CryptoProvider,
) -> Result<Vec<Arc<CertifiedKey>>, String> {
    sources
        .iter()
        .map(|source| match snapshot.certificate(source) {
            Some(certificate) => certified(certificate, provider),
            None => Err(format!("TLS: secret {} has not arrived", secret_name(source, snapshot))),
        })
        .collect()
}

fn secret_name(source: &CertificateSource, snapshot: &Snapshot) -> String {
    match source {
        CertificateSource::Inline(_) => "(inline)".to_owned(),
        CertificateSource::Secret(index) => snapshot.secrets.name_of(*index).unwrap_or("?").to_owned(),
    }
}

fn verifier(
    context: &TlsContext,
    snapshot: &Snapshot,
    required: bool,
) -> Result<Option<PeerVerifier>, String> {
    let Some(source) = &context.validation else { return Ok(None) };
    let rules = snapshot.validation(source).ok_or("TLS: the validation context has not arrived")?;
    PeerVerifier::new(rules.into_owned(), required).map(Some)
}

/// The server's side.
pub(super) fn server_config(
    tls: &DownstreamTls,
    snapshot: &Snapshot,
) -> Result<(ServerConfig, Option<Arc<PeerVerifier>>), String> {
    let provider = provider(&tls.common);
    let keys = certificates(&tls.common.certificates, snapshot, &provider)?;
    if keys.is_empty() {
        return Err("TLS: a server needs a certificate".to_owned());
    }
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(&tls.common))
        .map_err(|error| format!("TLS: {error}"))?;
    let verifier = verifier(&tls.common, snapshot, tls.require_client_certificate)?.map(Arc::new);
    let builder = match &verifier {
        Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier) as Arc<_>),
        None if tls.require_client_certificate => {
            builder.with_client_cert_verifier(Arc::new(PeerVerifier::any(true)))
        }
        None => builder.with_no_client_auth(),
    };
    let mut config =
        builder.with_cert_resolver(Arc::new(ByServerName { keys, require_sni: tls.require_sni }));
    config.alpn_protocols = tls.common.alpn.iter().map(|name| name.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if tls.disable_resumption {
        config.send_tls13_tickets = 0;
    } else {
        // The ticket keys belong to this configuration, and with it to the certificates and the trust bundle that it
        // was made from: after a change nobody resumes what the new rules might refuse.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| format!("TLS: {error}"))?;
        config.send_tls13_tickets = 1;
    }
    // Early data can be replayed.
    config.max_early_data_size = 0;
    Ok((config, verifier))
}

/// The client's side.
pub(super) fn client_config(tls: &UpstreamTls, snapshot: &Snapshot) -> Result<ClientConfig, String> {
    let provider = provider(&tls.common);
    let keys = certificates(&tls.common.certificates, snapshot, &provider)?;
    let verifier = verifier(&tls.common, snapshot, true)?.unwrap_or_else(|| PeerVerifier::any(true));
    let verifier = if tls.auto_sni_san_validation { verifier.with_server_name() } else { verifier };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(&tls.common))
        .map_err(|error| format!("TLS: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match keys.into_iter().next() {
        Some(key) => builder.with_client_cert_resolver(Arc::new(Always(key))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = tls.common.alpn.iter().map(|name| name.to_vec()).collect();
    config.resumption = match tls.max_session_keys {
        0 => rustls::client::Resumption::disabled(),
        keys => rustls::client::Resumption::in_memory_sessions(keys as usize),
    };
    Ok(config)
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl rustls::client::ResolvesClientCert for Always {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Chooses among a server's certificates.
#[derive(Debug)]
struct ByServerName {
    keys: Vec<Arc<CertifiedKey>>,
    require_sni: bool,
}

impl ByServerName {
    fn fits(key: &CertifiedKey, name: &str) -> bool {
        let Some(cert) = key.cert.first() else { return false };
        let Ok(cert) = webpki::EndEntityCert::try_from(cert) else { return false };
        rustls::pki_types::ServerName::try_from(name)
            .is_ok_and(|name| cert.verify_is_valid_for_subject_name(&name).is_ok())
    }
}

impl ResolvesServerCert for ByServerName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let can_sign = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let named = hello
            .server_name()
            .and_then(|name| self.keys.iter().filter(can_sign).find(|key| Self::fits(key, name)));
        match named {
            Some(key) => Some(Arc::clone(key)),
            None if self.require_sni => None,
            None => self.keys.iter().find(can_sign).or(self.keys.first()).map(Arc::clone),
        }
    }
}
