//! What was made from TLS contexts, for as long as both the context and the secrets that it names stay the same.
//!
//! Most updates change endpoints only. To make a configuration anew each time would cost parsing of keys and bundles for
//! every chain, and would end resumption: the keys of session tickets live in the configuration. That they do is also
//! what protects: another certificate or trust bundle is another configuration, where no older ticket is good.

use std::collections::HashMap;
use std::sync::Arc;

use meshloom_model::Snapshot;
use meshloom_model::ids::SecretIndex;
use meshloom_model::tls::Secret;

/// Secrets in the order in which a context names them; `None` is one that has not arrived.
struct Secrets(Box<[Option<Arc<Secret>>]>);

impl Secrets {
    fn of(named: &[SecretIndex], snapshot: &Snapshot) -> Self {
        Self(named.iter().map(|index| snapshot.secrets.get(*index).cloned()).collect())
    }

    /// Are these the very same? A secret that did not change is shared between snapshots.
    fn are(&self, other: &Self) -> bool {
        let same = |pair: (&Option<Arc<Secret>>, &Option<Arc<Secret>>)| match pair {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(same)
    }
}

struct Entry<S, T> {
    /// Held, so that no other context can come to lie at the address that is the key.
    _spec: Arc<S>,
    secrets: Secrets,
    made: T,
}

/// What was made (`T`) from contexts of one side (`S`), by the context's address. Each snapshot is a generation: what it
/// does not ask for goes with its end.
pub(super) struct Generations<S, T> {
    past: HashMap<*const S, Entry<S, T>>,
    present: HashMap<*const S, Entry<S, T>>,
}

impl<S, T> Default for Generations<S, T> {
    fn default() -> Self {
        Self { past: HashMap::new(), present: HashMap::new() }
    }
}

impl<S, T: Clone> Generations<S, T> {
    /// Begins a generation.
    pub(super) fn advance(&mut self) {
        self.past = std::mem::take(&mut self.present);
    }

    /// Ends a generation: drops what it did not use, with the keys therein.
    pub(super) fn settle(&mut self) {
        self.past.clear();
    }

    /// What was made from a context and the secrets that it names, or is made now.
    pub(super) fn get_or_make(
        &mut self,
        spec: &Arc<S>,
        named: Vec<SecretIndex>,
        snapshot: &Snapshot,
        make: impl FnOnce() -> T,
    ) -> T {
        let key = Arc::as_ptr(spec);
        if let Some(known) = self.present.get(&key) {
            return known.made.clone();
        }
        let secrets = Secrets::of(&named, snapshot);
        let entry = match self.past.remove(&key) {
            Some(kept) if kept.secrets.are(&secrets) => kept,
            _ => Entry { _spec: Arc::clone(spec), secrets, made: make() },
        };
        let made = entry.made.clone();
        self.present.insert(key, entry);
        made
    }
}
