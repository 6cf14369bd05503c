//! Certificates and keys of our own, out of the secrets that a context names.

use std::sync::Arc;

use meshloom_model::Snapshot;
use meshloom_model::tls::{CertificateSource, TlsCertificate, TlsContext};
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;

use super::algorithms::{Algorithms, Limited};
use super::verifier::{PeerVerifier, Role};

/// The certificates of a context, each with its key.
pub(super) fn certificates<'s>(
    context: &'s TlsContext,
    snapshot: &'s Snapshot,
    algorithms: &Algorithms,
    provider: &CryptoProvider,
) -> Result<Vec<(CertifiedKey, &'s TlsCertificate)>, String> {
    let one = |source| match snapshot.certificate(source) {
        Some(certificate) => Ok((certified(certificate, algorithms, provider)?, &**certificate)),
        None => Err(format!("TLS: secret {} has not arrived", secret_name(source, snapshot))),
    };
    context.certificates.iter().map(one).collect()
}

/// A certificate with a key that can sign, and that belongs to it.
fn certified(
    certificate: &TlsCertificate,
    algorithms: &Algorithms,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let key = provider
        .key_provider
        .load_private_key(certificate.key.clone_key())
        .map_err(|error| format!("TLS: the private key cannot be used: {error}"))?;
    let made = CertifiedKey::new(certificate.chain.to_vec(), Limited::limit(key, &algorithms.schemes));
    match made.keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err("TLS: the private key is not that of the certificate".to_owned())
        }
        _ => Ok(made),
    }
}

fn secret_name(source: &CertificateSource, snapshot: &Snapshot) -> String {
    match source {
        CertificateSource::Inline(_) => "(inline)".to_owned(),
        CertificateSource::Secret(index) => snapshot.secrets.name_of(*index).unwrap_or("?").to_owned(),
    }
}

/// The verifier of a context. Without a validation context, every certificate passes.
pub(super) fn verifier(
    context: &TlsContext,
    snapshot: &Snapshot,
    algorithms: &Algorithms,
    role: impl FnOnce(Option<&meshloom_model::tls::ValidationContext>) -> Role,
) -> Result<Arc<PeerVerifier>, String> {
    let rules = match &context.validation {
        None => None,
        Some(source) => {
            let rules = snapshot.validation(source).ok_or("TLS: the validation context has not arrived")?;
            let checks = rules.has_authorities() || rules.has_demands() || rules.accept_untrusted;
            checks.then(|| rules.into_owned())
        }
    };
    let role = role(rules.as_ref());
    PeerVerifier::new(rules, &algorithms.schemes, role).map(Arc::new)
}
