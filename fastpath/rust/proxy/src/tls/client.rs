//! The client's side of TLS.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;

use meshloom_model::Snapshot;
use meshloom_model::tls::UpstreamTls;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

use super::algorithms::{Algorithms, versions};
use super::keys::{certificates, verifier};
use super::sessions::Sessions;
use super::verifier::{Role, ServerDemands};
use super::{PeerIdentity, TlsSession};
use crate::upstream::Host;

/// How to speak TLS with the endpoints of a cluster.
#[derive(Debug)]
pub(crate) struct ClientTls {
    spec: Arc<UpstreamTls>,
    /// An error is what stands in the way: a missing secret, most of all. Then no connection is made.
    pub(super) config: Result<Arc<ClientConfig>, String>,
    /// Ours, as logs and statistics show it.
    pub(crate) local: Option<Rc<PeerIdentity>>,
}

impl ClientTls {
    pub(super) fn make(spec: &Arc<UpstreamTls>, snapshot: &Snapshot) -> Self {
        let own = spec.common.certificates.first().and_then(|source| snapshot.certificate(source));
        Self {
            spec: Arc::clone(spec),
            config: client_config(spec, snapshot).map(Arc::new),
            local: own.and_then(|own| PeerIdentity::read(&own.chain)).map(Rc::new),
        }
    }

    /// First URI name of our own certificate.
    pub(crate) fn local_uri(&self) -> Option<Arc<str>> {
        self.local.as_ref()?.uri()
    }

    /// Is the server's certificate checked at all?
    pub(crate) fn is_checked(&self) -> bool {
        self.spec.common.validation.is_some()
    }

    /// Begins a session with a host.
    pub(crate) fn connect(
        &self,
        host: &Host,
        offers: Offers<'_>,
        asked: Option<AskedName<'_>>,
    ) -> Result<TlsSession, String> {
        let mut config = Arc::clone(self.config.as_ref().map_err(Clone::clone)?);
        if let Some(protocols) = offers.instead_of(&config.alpn_protocols) {
            Arc::make_mut(&mut config).alpn_protocols = protocols;
        }
        let mut hasher = DefaultHasher::new();
        host.place().address.hash(&mut hasher);
        let demanded = asked.filter(|asked| asked.checked).map(|asked| asked.name);
        // A session tells that the server had this name, and no other.
        demanded.hash(&mut hasher);
        let demanded = demanded.map(name).transpose()?;
        TlsSession::client(config, self.server_name(host, asked)?, hasher.finish(), demanded)
            .map_err(|error| format!("TLS: {error}"))
    }

    /// The name to ask for. rustls sends none for an address.
    fn server_name(&self, host: &Host, asked: Option<AskedName<'_>>) -> Result<ServerName<'static>, String> {
        let hostname = host.endpoint().hostname.clone();
        let asked = asked.filter(|asked| asked.sent && asked.name.parse::<IpAddr>().is_err());
        let text = match (asked, &self.spec.sni) {
            (Some(asked), _) => asked.name.to_owned(),
            _ if self.spec.auto_host_sni && !hostname.is_empty() => hostname.to_string(),
            (None, Some(name)) => name.to_string(),
            (None, None) => {
                let address = match &host.place().address {
                    meshloom_model::Address::Ip(address) => address.ip(),
                    meshloom_model::Address::Unix(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                };
                return Ok(ServerName::IpAddress(address.into()));
            }
        };
        name(&text)
    }
}

fn name(text: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text.to_owned()).map_err(|_| format!("TLS: {text:?} is not a server name"))
}

/// Protocols to offer (ALPN). None at all is to leave it to the context.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Offers<'a> {
    /// Where the context names none.
    Default(&'a [&'a [u8]]),
    /// Whatever the context names.
    Always(&'a [Box<[u8]>]),
}

impl Offers<'_> {
    fn instead_of(self, configured: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
        let protocols: Vec<Vec<u8>> = match self {
            Self::Default(_) if !configured.is_empty() => return None,
            Self::Default(names) => names.iter().map(|name| name.to_vec()).collect(),
            Self::Always(names) => names.iter().map(|name| name.to_vec()).collect(),
        };
        (!protocols.is_empty()).then_some(protocols)
    }
}

/// A name that a request brings for the connection that is made for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedName<'a> {
    pub(crate) name: &'a str,
    /// It is sent, unless it is an address.
    pub(crate) sent: bool,
    /// The server's certificate must have it.
    pub(crate) checked: bool,
}

fn client_config(spec: &UpstreamTls, snapshot: &Snapshot) -> Result<ClientConfig, String> {
    let algorithms = Algorithms::of(&spec.common);
    let provider = algorithms.provider();
    let key = certificates(&spec.common, snapshot, &algorithms, &provider)?.into_iter().next();
    let demands = ServerDemands {
        server_name: spec.auto_sni_san_validation,
        rsa_key_usage: spec.enforce_rsa_key_usage,
    };
    let verifier = verifier(&spec.common, snapshot, &algorithms, |_| Role::Client(demands))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(&spec.common))
        .map_err(|error| format!("TLS: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match key {
        Some((key, _)) => builder.with_client_cert_resolver(Arc::new(Always(Arc::new(key)))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = spec.common.alpn.iter().map(|name| name.to_vec()).collect();
    config.resumption = match spec.max_session_keys {
        0 => Resumption::disabled(),
        most => Resumption::store(Arc::new(Sessions::new(most))),
    };
    Ok(config)
}

/// Our one certificate, whatever the server asks for.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl rustls::client::ResolvesClientCert for Always {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
