//! All clusters of this worker.

use std::rc::Rc;
use std::sync::Arc;

use meshloom_model::ids::Index;

use super::Host;
use super::cluster::{Cluster, ClusterId};
use super::update::UpdateContext;
use crate::reactor::Millis;
use crate::tls::TlsContexts;

/// All clusters by index.
#[derive(Default)]
pub(crate) struct Clusters {
    slots: Vec<Option<Cluster>>,
}

impl Clusters {
    /// One that is removed is here until its last request and connection have ended: they are still counted, and who waits
    /// for a connection still gets one.
    pub(crate) fn get(&self, id: ClusterId) -> Option<&Cluster> {
        self.slots.get(id.position())?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: ClusterId) -> Option<&mut Cluster> {
        self.slots.get_mut(id.position())?.as_mut()
    }

    /// A cluster that takes requests.
    pub(crate) fn get_warm(&mut self, id: ClusterId, now: Millis) -> Option<&mut Cluster> {
        let cluster = self.get_mut(id)?;
        (!cluster.is_removed() && (cluster.spec.health.is_none() || cluster.is_warm(now))).then_some(cluster)
    }

    /// Whether it is configured.
    pub(crate) fn has(&self, id: ClusterId) -> bool {
        self.get(id).is_some_and(|cluster| !cluster.is_removed())
    }

    /// Forgets removed clusters that nobody uses any more.
    pub(crate) fn purge(&mut self) {
        for slot in &mut self.slots {
            slot.take_if(|cluster| cluster.is_forgotten());
        }
    }

    /// Whether all take requests.
    pub(crate) fn are_warm(&mut self, now: Millis) -> bool {
        self.iter_mut().all(|cluster| cluster.spec.health.is_none() || cluster.is_warm(now))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Cluster> {
        self.slots.iter_mut().flatten()
    }

    /// Follows the snapshot. Gives the hosts whose connections are to be closed.
    pub(crate) fn update(
        &mut self,
        snapshot: &meshloom_model::Snapshot,
        contexts: &mut TlsContexts<'_>,
        cx: &mut UpdateContext<'_>,
    ) -> Vec<Rc<Host>> {
        let mut gone = Vec::new();
        if self.slots.len() < snapshot.clusters.len() {
            self.slots.resize_with(snapshot.clusters.len(), || None);
        }
        for (position, slot) in (0u32..).zip(self.slots.iter_mut()) {
            let id = ClusterId::at(position);
            let Some(spec) = snapshot.cluster(id) else {
                if let Some(cluster) = slot.as_mut().filter(|cluster| !cluster.is_removed()) {
                    gone.extend(cluster.retire(cx.rng));
                }
                continue;
            };
            let cluster = slot.get_or_insert_with(|| Cluster::new(Arc::clone(spec), cx));
            gone.extend(cluster.update(id, spec, snapshot.endpoints(spec), contexts, cx));
        }
        gone
    }
}
