//! Everything a worker knows at one moment.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::sync::Arc;

use crate::cluster::{Cluster, EndpointSource};
use crate::endpoint::Endpoints;
use crate::ids::{AssignmentIndex, ClusterIndex, Index, ListenerName, RouteTableIndex, SecretIndex};
use crate::listener::Listener;
use crate::route::RouteTable;
use crate::tls::{
    CertificateSource, Secret, TicketKeys, TicketKeysSource, TlsCertificate, ValidationContext,
    ValidationSource,
};

/// All resources at one version. It never changes; an update makes a new one that shares what stayed the same.
///
/// A request takes one snapshot at its head and keeps it to its end. A name that is referred to but not (or no longer)
/// there has an index with nothing behind it.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Counts the updates that made this snapshot.
    pub version: u64,
    /// Listeners by name.
    pub listeners: Arc<BTreeMap<ListenerName, Arc<Listener>>>,
    /// Clusters.
    pub clusters: Table<ClusterIndex, Cluster>,
    /// Route tables.
    pub routes: Table<RouteTableIndex, RouteTable>,
    /// Secrets.
    pub secrets: Table<SecretIndex, Secret>,
    /// Endpoint assignments.
    pub assignments: Table<AssignmentIndex, Endpoints>,
}

impl Snapshot {
    /// The cluster behind an index.
    pub fn cluster(&self, index: ClusterIndex) -> Option<&Arc<Cluster>> {
        self.clusters.get(index)
    }

    /// The index of a cluster's name, for names that come with a request.
    pub fn cluster_named(&self, name: &[u8]) -> Option<ClusterIndex> {
        self.clusters.index_of(std::str::from_utf8(name).ok()?)
    }

    /// The endpoints of a cluster, if they are known.
    pub fn endpoints<'s>(&'s self, cluster: &'s Cluster) -> Option<&'s Arc<Endpoints>> {
        match &cluster.endpoints {
            EndpointSource::Static(endpoints) => Some(endpoints),
            EndpointSource::Assigned(index) | EndpointSource::Dns { assignment: index, .. } => {
                self.assignments.get(*index)
            }
            EndpointSource::OriginalDestination(_) => None,
        }
    }

    /// The certificate behind a source; `None` while its secret is missing (or is of the wrong kind).
    pub fn certificate<'s>(&'s self, source: &'s CertificateSource) -> Option<&'s Arc<TlsCertificate>> {
        match source {
            CertificateSource::Inline(certificate) => Some(certificate),
            CertificateSource::Secret(index) => match &**self.secrets.get(*index)? {
                Secret::Certificate(certificate) => Some(certificate),
                Secret::Validation(_) | Secret::TicketKeys(_) => None,
            },
        }
    }

    /// The rules behind a source; `None` while its secret is missing (or is of the wrong kind).
    pub fn validation<'s>(&'s self, source: &'s ValidationSource) -> Option<Cow<'s, ValidationContext>> {
        match source {
            ValidationSource::Inline(context) => Some(Cow::Borrowed(context)),
            ValidationSource::Secret(index) => self.validation_secret(*index).map(Cow::Borrowed),
            ValidationSource::Combined(context, index) => {
                self.validation_secret(*index).map(|secret| Cow::Owned(context.overlaid(secret)))
            }
        }
    }

    fn validation_secret(&self, index: SecretIndex) -> Option<&ValidationContext> {
        match &**self.secrets.get(index)? {
            Secret::Validation(context) => Some(context),
            Secret::Certificate(_) | Secret::TicketKeys(_) => None,
        }
    }

    /// The ticket keys behind a source; `None` while their secret is missing (or is of the wrong kind).
    pub fn ticket_keys<'s>(&'s self, source: &'s TicketKeysSource) -> Option<&'s Arc<TicketKeys>> {
        match source {
            TicketKeysSource::Inline(keys) => Some(keys),
            TicketKeysSource::Secret(index) => match &**self.secrets.get(*index)? {
                Secret::TicketKeys(keys) => Some(keys),
                Secret::Certificate(_) | Secret::Validation(_) => None,
            },
        }
    }
}

/// Resources of one kind by index. Cheap to clone; a changed table is a new one.
#[derive(Debug)]
pub struct Table<I, T> {
    names: Arc<Names>,
    slots: Arc<Vec<Option<Arc<T>>>>,
    index: PhantomData<fn() -> I>,
}

#[derive(Clone, Debug, Default)]
struct Names {
    by_name: HashMap<Arc<str>, u32>,
    by_index: Vec<Arc<str>>,
}

impl<I, T> Clone for Table<I, T> {
    fn clone(&self) -> Self {
        Self { names: Arc::clone(&self.names), slots: Arc::clone(&self.slots), index: PhantomData }
    }
}

impl<I, T> Default for Table<I, T> {
    fn default() -> Self {
        Self { names: Arc::default(), slots: Arc::default(), index: PhantomData }
    }
}

impl<I: Index, T> Table<I, T> {
    /// The resource behind an index.
    pub fn get(&self, index: I) -> Option<&Arc<T>> {
        self.slots.get(index.position())?.as_ref()
    }

    /// The index of a name that was ever referred to.
    pub fn index_of(&self, name: &str) -> Option<I> {
        self.names.by_name.get(name).map(|position| I::at(*position))
    }

    /// The resource of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<T>> {
        self.get(self.index_of(name)?)
    }

    /// The name behind an index.
    pub fn name_of(&self, index: I) -> Option<&str> {
        self.names.by_index.get(index.position()).map(|name| &**name)
    }

    /// Resources that are there, with their index and name.
    pub fn iter(&self) -> impl Iterator<Item = (I, &str, &Arc<T>)> {
        (0u32..).zip(self.slots.iter()).filter_map(|(position, slot)| {
            let index = I::at(position);
            Some((index, self.name_of(index)?, slot.as_ref()?))
        })
    }

    /// How many names there are, with or without a resource: one more than the greatest index.
    pub fn len(&self) -> usize {
        self.names.by_index.len()
    }

    /// Are there no names?
    pub fn is_empty(&self) -> bool {
        self.names.by_index.is_empty()
    }

    /// The index of a name, which is new if need be.
    pub(crate) fn intern(&mut self, name: &str) -> I {
        if let Some(known) = self.index_of(name) {
            return known;
        }
        let names = Arc::make_mut(&mut self.names);
        let position = u32::try_from(names.by_index.len()).unwrap_or(u32::MAX);
        let name: Arc<str> = name.into();
        names.by_index.push(Arc::clone(&name));
        names.by_name.insert(name, position);
        I::at(position)
    }

    /// Puts a resource (or nothing) behind an index.
    pub(crate) fn put(&mut self, index: I, resource: Option<Arc<T>>) {
        let slots = Arc::make_mut(&mut self.slots);
        if slots.len() <= index.position() {
            slots.resize_with(index.position() + 1, || None);
        }
        if let Some(slot) = slots.get_mut(index.position()) {
            *slot = resource;
        }
    }
}
