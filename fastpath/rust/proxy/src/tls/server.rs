//! The server's side of TLS: configurations out of contexts, and which of them a client gets.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use aws_lc_rs::digest::{Context as Digest, SHA256};
use meshloom_model::Snapshot;
use meshloom_model::tls::{DownstreamTls, Tickets as TicketRules, ValidationContext};
use meshloom_wire::tls_hello::ClientHello;
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, SupportedProtocolVersion, version};

use super::PeerIdentity;
use super::algorithms::{Algorithms, versions};
use super::certificate::Certificate;
use super::keys::{certificates, verifier};
use super::selector::{Candidate, Selector};
use super::tickets::{KeySource, Tickets};
use super::verifier::{PeerVerifier, Role};

/// Configurations for clients with different preferences that are kept at once. A client beyond that gets the one in our
/// own order: preferences cost memory, and clients are free to invent them.
const MOST_VARIANTS: usize = 32;

/// How a filter chain speaks TLS.
#[derive(Debug)]
pub(crate) struct ServerTls {
    algorithms: Algorithms,
    by_client: bool,
    parts: Parts,
    base: Arc<ServerConfig>,
    /// The same, arranged for clients that have turned up.
    variants: RefCell<Vec<(Arrangement, Arc<ServerConfig>)>>,
    /// Ours, as logs and headers show it.
    pub(crate) local: Option<Rc<PeerIdentity>>,
}

/// What all configurations of a filter chain share.
#[derive(Debug)]
struct Parts {
    versions: &'static [&'static SupportedProtocolVersion],
    /// What a client's certificate is worth; `None` when nobody asks for it.
    verifier: Option<Arc<PeerVerifier>>,
    selector: Arc<Selector>,
    alpn: Vec<Vec<u8>>,
    /// `None` when sessions are not resumed.
    tickets: Option<Arc<Tickets>>,
}

impl Parts {
    fn config(&self, provider: Arc<CryptoProvider>, alpn: bool) -> Result<Arc<ServerConfig>, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(self.versions)?;
        let builder = match &self.verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier) as Arc<_>),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&self.selector) as Arc<_>);
        if alpn {
            config.alpn_protocols = self.alpn.clone();
        }
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // Early data can be replayed.
        config.max_early_data_size = 0;
        config.send_tls13_tickets = 0;
        if let Some(tickets) = &self.tickets {
            config.ticketer = Arc::clone(tickets) as Arc<_>;
            config.send_tls13_tickets = 1;
        }
        Ok(Arc::new(config))
    }
}

/// What rustls is to choose for a client: its suites best first, the group, and if there is a protocol in common.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Arrangement {
    suites: Vec<u16>,
    group: Option<u16>,
    alpn: bool,
}

impl ServerTls {
    /// `secret` is what ticket keys of our own are derived from.
    pub(super) fn make(
        spec: &DownstreamTls,
        snapshot: &Snapshot,
        secret: &[u8; 32],
    ) -> Result<Rc<Self>, String> {
        let algorithms = Algorithms::of(&spec.common);
        let provider = algorithms.provider();
        let keys = certificates(&spec.common, snapshot, &algorithms, &provider)?;
        let local = keys.first().and_then(|(key, _)| PeerIdentity::read(&key.cert)).map(Rc::new);
        let verifier = verifier(&spec.common, snapshot, &algorithms, |rules| role(spec, rules))?;
        let binding = binding(spec, &verifier, keys.iter().filter_map(|(key, _)| key.cert.first()));
        let keys = keys.into_iter().map(|(key, of)| Candidate::new(key, &of.staple));
        let selector = Selector {
            candidates: keys.collect::<Result<_, _>>()?,
            policy: spec.staple_policy,
            require_sni: spec.require_sni,
            full_scan: spec.full_scan,
        };
        let lifetime_s = spec.session_timeout.as_secs();
        let tickets = key_source(&spec.tickets, snapshot, secret)?
            .map(|source| Arc::new(Tickets::new(source, binding, lifetime_s)));
        let parts = Parts {
            versions: versions(&spec.common),
            verifier: verifier.asks_for_certificates().then_some(verifier),
            selector: Arc::new(selector),
            alpn: spec.common.alpn.iter().map(|name| name.to_vec()).collect(),
            tickets,
        };
        let base = parts.config(provider, true).map_err(|error| format!("TLS: {error}"))?;
        let by_client = spec.prefer_client_ciphers;
        Ok(Rc::new(Self { algorithms, by_client, parts, base, variants: RefCell::default(), local }))
    }

    /// The configuration for a client of which nothing is known.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.base)
    }

    /// The configuration for a client: the base, with its preferences where we have none.
    pub(super) fn config_for(&self, hello: &ClientHello) -> Arc<ServerConfig> {
        let wanted = self.arrange(hello);
        if let Some((_, known)) = self.variants.borrow().iter().find(|(known, _)| *known == wanted) {
            return Arc::clone(known);
        }
        let mut variants = self.variants.borrow_mut();
        if variants.len() >= MOST_VARIANTS {
            return self.config();
        }
        let Ok(made) = self.variant(&wanted) else { return self.config() };
        variants.push((wanted, Arc::clone(&made)));
        made
    }

    fn arrange(&self, hello: &ClientHello) -> Arrangement {
        let offers = &hello.offers;
        let ours = self.parts.versions.iter().any(|ours| ours.version == version::TLS13.version);
        let version = if ours && offers.tls13 { &version::TLS13 } else { &version::TLS12 };
        let suites = self.algorithms.suites_for(&offers.cipher_suites, self.by_client);
        let group = self.algorithms.group_for(&offers.groups, version, self.by_client);
        let ours = &self.parts.alpn;
        Arrangement {
            suites: suites.iter().map(|suite| u16::from(suite.suite())).collect(),
            group: group.map(|group| u16::from(group.name())),
            alpn: hello.alpn.iter().any(|theirs| ours.iter().any(|ours| **ours == **theirs)),
        }
    }

    fn variant(&self, wanted: &Arrangement) -> Result<Arc<ServerConfig>, rustls::Error> {
        let known = &self.base.crypto_provider().cipher_suites;
        let suite = |number: &u16| known.iter().find(|suite| u16::from(suite.suite()) == *number).copied();
        let suites: Vec<_> = wanted.suites.iter().filter_map(suite).collect();
        let chosen = |group: &&&'static dyn SupportedKxGroup| Some(u16::from(group.name())) == wanted.group;
        let groups: Vec<_> = self.algorithms.groups.iter().filter(chosen).copied().collect();
        // With nothing in common, rustls says so to the client in the words that it should have.
        let suites = if suites.is_empty() { known.clone() } else { suites };
        let groups = if groups.is_empty() { self.algorithms.groups.clone() } else { groups };
        // As in Envoy, a client without a protocol in common is served all the same.
        self.parts.config(self.algorithms.provider_of(suites, groups), wanted.alpn)
    }

    /// Who the client is, if its certificate passes. A handshake that took any certificate proves nothing.
    pub(crate) fn identify(&self, chain: &[CertificateDer<'static>]) -> Option<PeerIdentity> {
        let verifier = self.parts.verifier.as_ref().filter(|verifier| verifier.vouches_for(chain))?;
        let identity = PeerIdentity::read(chain)?;
        Some(match verifier.trusted() {
            Some(trusted) => identity.vouched_for_by(trusted),
            None => identity,
        })
    }
}

/// Which clients are refused without a certificate. As in Envoy, rules that look at names or keys make one necessary
/// (unless untrusted clients are let through), and SPIFFE's always do.
fn role(spec: &DownstreamTls, rules: Option<&ValidationContext>) -> Role {
    let demanded = rules.is_some_and(|rules| {
        rules.trust_domains.is_some() || (!rules.accept_untrusted && rules.has_demands())
    });
    Role::Server { required: spec.require_client_certificate || demanded }
}

fn key_source(
    rules: &TicketRules,
    snapshot: &Snapshot,
    secret: &[u8; 32],
) -> Result<Option<KeySource>, String> {
    Ok(match rules {
        TicketRules::Off => None,
        TicketRules::Own => Some(KeySource::Own(*secret)),
        TicketRules::Shared(source) => {
            let keys = snapshot.ticket_keys(source).ok_or("TLS: the session ticket keys have not arrived")?;
            Some(KeySource::Shared(keys.0.to_vec()))
        }
    })
}

/// What a ticket is bound to: whom we trust, and as whom we were talked to. A certificate that is renewed under the same
/// names changes nothing.
fn binding<'c>(
    spec: &DownstreamTls,
    verifier: &PeerVerifier,
    own: impl Iterator<Item = &'c CertificateDer<'static>>,
) -> [u8; 32] {
    let mut digest = Digest::new(&SHA256);
    let mut part = |bytes: &[u8]| {
        digest.update(&(bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    part(&[u8::from(spec.require_client_certificate)]);
    verifier.describe(&mut part);
    for der in own {
        let parts = Certificate::read(der);
        part(parts.map_or(der, |parts| parts.subject));
        part(parts.map_or(&[], |parts| parts.raw_names()));
    }
    let mut out = [0; 32];
    out.copy_from_slice(digest.finish().as_ref());
    out
}
