//! Clusters of type ORIGINAL_DST: an endpoint is made of each address that a connection was going to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use meshloom_model::cluster::OriginalDestination;
use meshloom_model::{Address, Endpoint};

use super::{ClusterId, Host};
use crate::reactor::Millis;
use crate::tls::ClientTls;

/// The endpoints of one such cluster.
pub(super) struct Originals {
    spec: OriginalDestination,
    tls: Option<Rc<ClientTls>>,
    hosts: HashMap<SocketAddr, Used>,
    next_cleanup: Millis,
}

struct Used {
    host: Rc<Host>,
    /// Asked for since the last cleanup.
    used: bool,
}

impl Originals {
    pub(super) fn new(spec: &OriginalDestination, tls: Option<Rc<ClientTls>>, now: Millis) -> Self {
        Self { next_cleanup: now.after(spec.cleanup), spec: spec.clone(), tls, hosts: HashMap::new() }
    }

    /// Takes a changed configuration, or changed secrets: new connections follow it.
    pub(super) fn configure(&mut self, spec: &OriginalDestination, tls: Option<Rc<ClientTls>>) {
        self.spec = spec.clone();
        for each in self.hosts.values() {
            each.host.tls.replace(tls.clone());
        }
        self.tls = tls;
    }

    /// The endpoint at an address, with the port that the configuration wants.
    pub(super) fn host(&mut self, id: ClusterId, mut at: SocketAddr) -> Rc<Host> {
        if let Some(port) = self.spec.port {
            at.set_port(port);
        }
        let tls = &self.tls;
        let entry = self.hosts.entry(at).or_insert_with(|| {
            let host = Host::new(id, Address::Ip(at), Arc::new(endpoint(at)));
            host.tls.replace(tls.clone());
            Used { host: Rc::new(host), used: true }
        });
        entry.used = true;
        Rc::clone(&entry.host)
    }

    pub(super) fn len(&self) -> usize {
        self.hosts.len()
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = &Rc<Host>> {
        self.hosts.values().map(|each| &each.host)
    }

    /// Forgets, when it is time, who was not asked for since the last time and has no connection either.
    pub(super) fn clean(&mut self, now: Millis) {
        if now < self.next_cleanup {
            return;
        }
        self.next_cleanup = now.after(self.spec.cleanup);
        self.hosts.retain(|_, each| {
            let keep = std::mem::take(&mut each.used)
                || each.host.connections.get() > 0
                || each.host.active.get() > 0;
            each.host.removed.set(!keep);
            keep
        });
    }
}

/// An endpoint of which nothing but its address is known.
pub(super) fn endpoint(at: SocketAddr) -> Endpoint {
    Endpoint {
        address: Address::Ip(at),
        hostname: "".into(),
        health: meshloom_model::endpoint::Health::Healthy,
        weight: 1,
        locality: 0,
        labels: Box::default(),
        locality_labels: Arc::from([]),
        hash_key: None,
        subset_labels: Box::default(),
        check: None,
        workload: None,
    }
}
