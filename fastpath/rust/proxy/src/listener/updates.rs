//! New versions of listeners: what stayed the same keeps its connections, what changed drains.

use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use meshloom_model::Snapshot;

use super::{BuildContext, ChainRuntime, Destinations, ListenerRuntime};
use crate::downstream::{CloseReason, Fate};
use crate::engine::Engine;
use crate::reactor::Millis;
use crate::telemetry::ManagerStats;
use crate::tls::TlsContexts;

/// What is no longer configured, but has connections that hold on to it.
#[derive(Default)]
pub(crate) struct Drains {
    /// How long connections may live on.
    pub(crate) time: Duration,
    chains: Vec<Weak<ChainRuntime>>,
    listeners: Vec<Weak<ListenerRuntime>>,
}

impl Drains {
    /// No filter chain drains.
    pub(crate) fn is_empty(&self) -> bool {
        self.chains.is_empty()
    }
}

impl Engine {
    /// Puts the listeners of a snapshot into force.
    pub(crate) fn update_listeners(&mut self, snapshot: &Snapshot, contexts: &mut TlsContexts<'_>) {
        let mut old = std::mem::take(&mut self.listeners);
        for (name, spec) in snapshot.listeners.iter() {
            let runtime = match old.remove(name) {
                Some(kept) if Arc::ptr_eq(&kept.spec, spec) => {
                    kept.refresh_tls(contexts);
                    kept
                }
                replaced => {
                    let mut cx = BuildContext {
                        telemetry: &mut self.telemetry,
                        logs: &mut self.logs,
                        workers: self.workers,
                    };
                    let made = Rc::new(ListenerRuntime::build(spec, replaced.as_deref(), contexts, &mut cx));
                    self.replace_listener(replaced.as_ref(), &made);
                    made
                }
            };
            self.listeners.insert(name.clone(), runtime);
        }
        for removed in old.values() {
            self.count_manager(|stats| stats.removed.inc());
            self.drain_listener(removed);
        }
        drop(old);
        self.destinations = Destinations::of(self.listeners.values());
        self.look_after_drains();
    }

    /// Listeners are those of the proxy, not of each worker: the first one counts.
    fn count_manager(&self, count: impl FnOnce(&ManagerStats)) {
        if self.slot == 0 {
            count(&self.manager);
        }
    }

    /// Connections on filter chains that the new version has too live on; the others drain.
    fn replace_listener(&mut self, old: Option<&Rc<ListenerRuntime>>, new: &Rc<ListenerRuntime>) {
        let Some(old) = old else { return self.count_manager(|stats| stats.added.inc()) };
        self.count_manager(|stats| stats.modified.inc());
        if old.spec.shape != new.spec.shape {
            return self.drain_listener(old);
        }
        self.count_manager(|stats| stats.in_place_updated.inc());
        self.drain_chains(old, &new.chains);
        for token in self.downs.tokens() {
            let Some(down) = self.downs.get_mut(token).filter(|down| Rc::ptr_eq(&down.listener, old)) else {
                continue;
            };
            if !down.is_draining() {
                down.listener = Rc::clone(new);
            }
        }
    }

    fn drain_listener(&mut self, of: &Rc<ListenerRuntime>) {
        self.drain_chains(of, &[]);
        self.drains.listeners.push(Rc::downgrade(of));
    }

    fn drain_chains(&mut self, of: &ListenerRuntime, but: &[Rc<ChainRuntime>]) {
        let until = self.now().after(self.drains.time);
        for chain in of.chains.iter().filter(|chain| !but.iter().any(|kept| Rc::ptr_eq(kept, chain))) {
            chain.drain_until.set(until);
            self.drains.chains.push(Rc::downgrade(chain));
        }
    }

    /// Forgets what has drained, and ends the connections of what has drained for long enough.
    pub(crate) fn look_after_drains(&mut self) {
        let now = self.now();
        let over = |chain: &ChainRuntime| chain.drain_until.get() <= now;
        if self.drains.chains.iter().filter_map(Weak::upgrade).any(|chain| over(&chain)) {
            for token in self.downs.tokens() {
                let ends = self.downs.get(token).and_then(|down| down.chain.as_deref()).is_some_and(over);
                if let Some(mut down) = ends.then(|| self.lend_downstream(token)).flatten() {
                    down.io.say_goodbye();
                    self.settle_downstream(token, down, Fate::Close(CloseReason::Local));
                }
            }
        }
        self.drains.chains.retain(|chain| chain.strong_count() > 0);
        self.drains.listeners.retain(|listener| listener.strong_count() > 0);
        let (listeners, chains) = (self.drains.listeners.len() as u64, self.drains.chains.len() as u64);
        self.count_manager(|stats| {
            stats.listeners_draining.set(listeners);
            stats.chains_draining.set(chains);
        });
    }
}

impl ChainRuntime {
    /// Its connections are to end.
    pub(crate) fn is_draining(&self) -> bool {
        self.drain_until.get() != Millis::NEVER
    }
}
