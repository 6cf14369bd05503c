//! Chooses among the certificates of a server, as Envoy does: by the client's server name, then by the kind of key that
//! the client can check (ECDSA before RSA), and by whether there is an OCSP response where one is needed.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use meshloom_model::tls::StaplePolicy;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::{Certificate, Name};
use super::notes::{self, Staple};
use super::staple::OcspResponse;

/// One certificate of a server.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Without an OCSP response, and with one where there is one.
    plain: Arc<CertifiedKey>,
    stapled: Option<(Arc<CertifiedKey>, OcspResponse)>,
    /// In lower case; `.example.com` for a wildcard.
    names: Vec<Box<str>>,
    is_elliptic: bool,
    must_staple: bool,
}

impl Candidate {
    /// `staple` is an OCSP response in DER, empty for none.
    pub(super) fn new(key: CertifiedKey, staple: &[u8]) -> Result<Self, String> {
        let first = key.cert.first().ok_or("TLS: a certificate is missing")?;
        let parts = Certificate::read(first).ok_or("TLS: a certificate cannot be read")?;
        let (names, is_elliptic, must_staple) =
            (names(&parts), parts.has_elliptic_key(), parts.must_staple());
        let response = match staple {
            [] => None,
            der => Some(OcspResponse::read(der, &parts)?),
        };
        let stapled = response.map(|response| {
            let with = CertifiedKey { ocsp: Some(response.der.clone()), ..key.clone() };
            (Arc::new(with), response)
        });
        Ok(Self { plain: Arc::new(key), stapled, names, is_elliptic, must_staple })
    }

    fn can_sign(&self, schemes: &[SignatureScheme]) -> bool {
        self.plain.key.choose_scheme(schemes).is_some()
    }

    /// With which key to go on, and what that means for a client that wants a response.
    fn staple(&self, policy: StaplePolicy, now: u64) -> (Staple, &Arc<CertifiedKey>) {
        if let Some((with, _)) = self.stapled.as_ref().filter(|(_, response)| response.is_good(now)) {
            return (Staple::Given, with);
        }
        let missing = match policy {
            _ if self.must_staple => true,
            StaplePolicy::Lenient => false,
            StaplePolicy::Strict => self.stapled.is_some(),
            StaplePolicy::Must => true,
        };
        (if missing { Staple::Missing } else { Staple::Omitted }, &self.plain)
    }
}

/// The names that a certificate is chosen for: its DNS names, or else its common name.
fn names(parts: &Certificate<'_>) -> Vec<Box<str>> {
    let stored = |name: &str| -> Box<str> {
        let lower = name.to_ascii_lowercase();
        lower.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(&lower).into()
    };
    if parts.raw_names().is_empty() {
        return parts.common_name().map(stored).into_iter().collect();
    }
    let dns = parts.names().filter_map(|name| match name {
        Name::Dns(name) => Some(stored(name)),
        _ => None,
    });
    dns.collect()
}

/// The certificates of a server and how to choose.
#[derive(Debug)]
pub(super) struct Selector {
    pub(super) candidates: Vec<Candidate>,
    pub(super) policy: StaplePolicy,
    /// Refuse clients whose server name fits no certificate.
    pub(super) require_sni: bool,
    /// Look for the best key also where no name fits.
    pub(super) full_scan: bool,
}

impl Selector {
    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let wants_staple = notes::open(|notes| notes.wants_staple);
        let staple = |candidate: &Candidate| candidate.staple(self.policy, now).0;
        let good = |candidate: &&Candidate| {
            candidate.can_sign(schemes) && !(wants_staple && staple(candidate) == Staple::Missing)
        };
        let best = |among: &dyn Fn(&Candidate) -> bool| {
            let fitting = || self.candidates.iter().filter(|candidate| among(candidate)).filter(good);
            fitting().find(|candidate| candidate.is_elliptic).or_else(|| fitting().next())
        };
        let named = name.and_then(|name| {
            let parent = name.get(1..).and_then(|rest| rest.find('.')).and_then(|dot| name.get(dot + 1..));
            let has = |candidate: &Candidate, wanted: &str| candidate.names.iter().any(|n| **n == *wanted);
            best(&|candidate| has(candidate, name))
                .or_else(|| best(&|candidate| parent.is_some_and(|parent| has(candidate, parent))))
        });
        let chosen = match named {
            Some(found) => found,
            None if self.require_sni => return None,
            None if name.is_none() || self.full_scan => best(&|_| true).or(self.candidates.first())?,
            None => self.candidates.first()?,
        };
        let (outcome, key) = chosen.staple(self.policy, now);
        if wants_staple {
            notes::open(|notes| notes.staple = Some(outcome));
        }
        (!wants_staple || outcome != Staple::Missing).then(|| Arc::clone(key))
    }
}

impl ResolvesServerCert for Selector {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        self.choose(name.as_deref(), hello.signature_schemes())
    }
}
