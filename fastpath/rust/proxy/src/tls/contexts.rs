//! TLS contexts out of the snapshot, made once and kept for as long as what they were made from stays the same.

use std::rc::Rc;

use meshloom_model::cluster::UpstreamTransport;
use meshloom_model::filter_chain::DownstreamTransport;
use meshloom_model::tls::{DownstreamTls, UpstreamTls};
use meshloom_model::{Cluster, Endpoint, Snapshot};

use super::cache::Generations;
use super::{ClientTls, ServerTls};

/// Contexts that outlive a snapshot: the worker holds them between updates.
#[derive(Default)]
pub(crate) struct TlsCache {
    clients: Generations<UpstreamTls, Rc<ClientTls>>,
    servers: Generations<DownstreamTls, Option<Rc<ServerTls>>>,
    /// What ticket keys of our own are derived from.
    ticket_secret: [u8; 32],
    first_worker: bool,
}

impl TlsCache {
    /// `ticket_secret` is the same in all workers, so that each resumes the others' sessions.
    pub(crate) fn new(ticket_secret: [u8; 32], first_worker: bool) -> Self {
        Self { ticket_secret, first_worker, ..Self::default() }
    }
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

    /// Are changes of contexts counted here? All workers make them, and one counts.
    pub(crate) fn counts_updates(&self) -> bool {
        self.cache.first_worker
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
        Some(self.cache.clients.get_or_make(spec, spec.common.secrets(), snapshot, make))
    }

    /// The same for health checks, which may have labels of their own.
    pub(crate) fn checker(&mut self, cluster: &Cluster, endpoint: &Endpoint) -> Option<Rc<ClientTls>> {
        cluster.health.as_ref()?;
        let UpstreamTransport::Tls(spec) = cluster.transport_for_check(endpoint).1 else { return None };
        let snapshot = self.snapshot;
        let make = || Rc::new(ClientTls::make(spec, snapshot));
        Some(self.cache.clients.get_or_make(spec, spec.common.secrets(), snapshot, make))
    }

    /// The context of a filter chain; `None` for plain chains, and while a secret is missing.
    pub(crate) fn server(&mut self, transport: &DownstreamTransport) -> Option<Rc<ServerTls>> {
        let DownstreamTransport::Tls(spec) = transport else { return None };
        let snapshot = self.snapshot;
        let secret = self.cache.ticket_secret;
        let make = || match ServerTls::make(spec, snapshot, &secret) {
            Ok(made) => Some(made),
            Err(reason) => {
                crate::diag::info("downstream_tls_not_ready", &[("reason", &reason)]);
                None
            }
        };
        self.cache.servers.get_or_make(spec, spec.secrets(), snapshot, make)
    }
}

#[cfg(test)]
mod tests;
