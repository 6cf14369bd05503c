//! TLS contexts out of the snapshot, made once and kept for as long as what they were made from stays the same.

use std::rc::Rc;
use std::sync::Arc;

use meshloom_model::cluster::UpstreamTransport;
use meshloom_model::filter_chain::DownstreamTransport;
use meshloom_model::tls::{DownstreamTls, TlsContext, UpstreamTls};
use meshloom_model::{Cluster, Endpoint, Snapshot};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ServerConfig};

use super::build::{client_config, server_config};
use super::cache::Generations;
use super::identity::first_uri;
use super::verifier::PeerVerifier;
use super::{PeerIdentity, TlsSession};
use crate::upstream::Host;

/// How to speak TLS with the endpoints of a cluster.
#[derive(Debug)]
pub(crate) struct ClientTls {
    spec: Arc<UpstreamTls>,
    /// An error is what stands in the way: a missing secret, most of all. Then no connection is made.
    config: Result<Arc<ClientConfig>, String>,
    /// Our own identity.
    pub(crate) local_uri: Option<Arc<str>>,
}

impl ClientTls {
    fn make(spec: &Arc<UpstreamTls>, snapshot: &Snapshot) -> Self {
        Self {
            spec: Arc::clone(spec),
            config: client_config(spec, snapshot).map(Arc::new),
            local_uri: local_uri(&spec.common, snapshot),
        }
    }

    /// Is the server's certificate checked at all?
    pub(crate) fn is_checked(&self) -> bool {
        self.spec.common.validation.is_some()
    }

    /// Begins a session with a host.
    pub(crate) fn connect(&self, host: &Host) -> Result<TlsSession, String> {
        let config = self.config.as_ref().map_err(Clone::clone)?;
        let hostname = host.endpoint().hostname.clone();
        let name = match &self.spec.sni {
            _ if self.spec.auto_host_sni && !hostname.is_empty() => hostname.to_string(),
            Some(name) => name.to_string(),
            None => match &host.place().address {
                meshloom_model::Address::Ip(address) => address.ip().to_string(),
                meshloom_model::Address::Unix(_) => "localhost".to_owned(),
            },
        };
        let name =
            ServerName::try_from(name.clone()).map_err(|_| format!("TLS: {name:?} is not a server name"))?;
        UnbufferedClientConnection::new(Arc::clone(config), name)
            .map(TlsSession::client)
            .map_err(|error| format!("TLS: {error}"))
    }
}

/// Contexts that outlive a snapshot: the worker holds them between updates.
#[derive(Default)]
pub(crate) struct TlsCache {
    clients: Generations<UpstreamTls, Rc<ClientTls>>,
    servers: Generations<DownstreamTls, Option<ServerTls>>,
}

/// Gives contexts for one snapshot, those of the one before where nothing that they are made from has changed.
pub(crate) struct TlsContexts<'s> {
    snapshot: &'s Snapshot,
    cache: TlsCache,
}

impl<'s> TlsContexts<'s> {
    pub(crate) fn new(snapshot: &'s Snapshot, mut cache: TlsCache) -> Self {
        cache.clients.advance();
        cache.servers.advance();
        Self { snapshot, cache }
    }

    /// What to keep for the next snapshot: the contexts that this one uses.
    pub(crate) fn into_cache(mut self) -> TlsCache {
        self.cache.clients.settle();
        self.cache.servers.settle();
        self.cache
    }

    /// The context towards an endpoint; `None` for plain connections. Endpoints of one cluster share it.
    pub(crate) fn client(&mut self, cluster: &Cluster, endpoint: &Endpoint) -> Option<Rc<ClientTls>> {
        let UpstreamTransport::Tls(spec) = cluster.transport_to(endpoint).1 else { return None };
        let snapshot = self.snapshot;
        let make = || Rc::new(ClientTls::make(spec, snapshot));
        Some(self.cache.clients.get_or_make(spec, &spec.common, snapshot, make))
    }

    /// The context of a filter chain; `None` for plain chains, and while a secret is missing.
    pub(crate) fn server(&mut self, transport: &DownstreamTransport) -> Option<ServerTls> {
        let DownstreamTransport::Tls(spec) = transport else { return None };
        let snapshot = self.snapshot;
        let make = || ServerTls::make(spec, snapshot);
        self.cache.servers.get_or_make(spec, &spec.common, snapshot, make)
    }
}

/// Our own identity: the URI of the first certificate.
fn local_uri(context: &TlsContext, snapshot: &Snapshot) -> Option<Arc<str>> {
    let certificate = snapshot.certificate(context.certificates.first()?)?;
    first_uri(&certificate.chain)
}

/// How a filter chain speaks TLS.
#[derive(Clone, Debug)]
pub(crate) struct ServerTls {
    pub(crate) config: Arc<ServerConfig>,
    /// What a client's certificate is worth; `None` when nobody checks it.
    verifier: Option<Arc<PeerVerifier>>,
    /// Our own identity.
    pub(crate) local_uri: Option<Arc<str>>,
}

impl ServerTls {
    fn make(spec: &DownstreamTls, snapshot: &Snapshot) -> Option<Self> {
        match server_config(spec, snapshot) {
            Ok((config, verifier)) => Some(Self {
                config: Arc::new(config),
                verifier,
                local_uri: local_uri(&spec.common, snapshot),
            }),
            Err(reason) => {
                crate::diag::info("downstream_tls_not_ready", &[("reason", &reason)]);
                None
            }
        }
    }

    /// Who the client is, if its certificate passes. A handshake that took any certificate proves nothing.
    pub(crate) fn identify(&self, chain: &[CertificateDer<'static>]) -> Option<PeerIdentity> {
        match &self.verifier {
            Some(verifier) if verifier.vouches_for(chain) => PeerIdentity::read(chain),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
