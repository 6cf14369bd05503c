//! Updates: from bytes to the next snapshot.
//!
//! An update is any number of `DeltaDiscoveryResponse` messages, each with its length as a varint in front. It is applied
//! resource by resource. A resource that cannot be compiled is reported and changes nothing: its last good version, if
//! there is one, stays. A resource whose bytes are those of the last time is not compiled again and keeps its `Arc`.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use meshloom_xds as xds;
use meshloom_xds::envoy::service::discovery::v3 as discovery;
use prost::Message;

use super::context::Context;
use super::path::{At, Invalid};
use super::{cluster, endpoint, listener, route, secret, types};
use crate::ids::{Index, ListenerName};
use crate::snapshot::{Snapshot, Table};

/// A resource, or a part of an update, that was not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{type_url} {name:?}: {path}: {reason}")]
pub struct Rejected {
    /// Type of the resource, or of whatever could not be read.
    pub type_url: String,
    /// Name of the resource; empty when it could not be read.
    pub name: String,
    /// The field at fault, in the names of Envoy's API; empty for the resource as a whole.
    pub path: String,
    /// What is wrong, and where it helps, what would be right.
    pub reason: String,
}

/// What an update came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The snapshot after the update. Without any good resource it is the one before.
    pub snapshot: Arc<Snapshot>,
    /// What was not applied.
    pub rejected: Vec<Rejected>,
}

/// Compiles updates, one after the other, into snapshots that share what stayed the same.
#[derive(Debug, Default)]
pub struct Compiler {
    context: Context,
    current: Arc<Snapshot>,
    fingerprints: HashMap<(Kind, String), [u64; 2]>,
    hashers: [RandomState; 2],
}

/// The kinds of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Listener,
    RouteTable,
    Cluster,
    Assignment,
    Secret,
}

impl Kind {
    pub(super) fn of(type_url: &str) -> Option<Self> {
        match xds::type_name(type_url) {
            types::LISTENER => Some(Self::Listener),
            types::ROUTE_TABLE => Some(Self::RouteTable),
            types::CLUSTER => Some(Self::Cluster),
            types::ASSIGNMENT => Some(Self::Assignment),
            types::SECRET => Some(Self::Secret),
            _ => None,
        }
    }
}

impl Compiler {
    /// A compiler that knows no resource yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The snapshot after the last update.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.current
    }

    /// Applies an update.
    pub fn apply(&mut self, mut update: &[u8]) -> Outcome {
        let mut rejected = Vec::new();
        let mut changed = false;
        while !update.is_empty() {
            match discovery::DeltaDiscoveryResponse::decode_length_delimited(&mut update) {
                Ok(response) => changed |= self.response(response, &mut rejected),
                Err(error) => {
                    rejected.push(unreadable(&error));
                    break;
                }
            }
        }
        if changed {
            self.context.snapshot.version += 1;
            self.current = Arc::new(self.context.snapshot.clone());
        }
        Outcome { snapshot: Arc::clone(&self.current), rejected }
    }

    /// Applies the resources of one type. Says whether anything changed.
    fn response(&mut self, value: discovery::DeltaDiscoveryResponse, rejected: &mut Vec<Rejected>) -> bool {
        let discovery::DeltaDiscoveryResponse {
            system_version_info: _,
            resources,
            type_url,
            removed_resources,
        } = value;
        let Some(kind) = Kind::of(&type_url) else {
            let reason = "resources of this type are not supported".to_owned();
            rejected.push(Rejected { type_url, name: String::new(), path: String::new(), reason });
            return false;
        };
        let mut changed = false;
        for resource in resources {
            match self.resource(kind, &resource) {
                Ok(new) => changed |= new,
                Err(found) => rejected.extend(found.into_iter().map(|Invalid { path, reason }| Rejected {
                    type_url: type_url.clone(),
                    name: resource.name.clone(),
                    path,
                    reason,
                })),
            }
        }
        for name in removed_resources {
            changed |= self.remove(kind, name);
        }
        changed
    }

    /// Compiles one resource and puts it in its place. Says whether it is new.
    fn resource(&mut self, kind: Kind, value: &discovery::Resource) -> Result<bool, Vec<Invalid>> {
        let discovery::Resource { name, version: _, resource } = value;
        let at = At::ROOT;
        let any = at.field("resource").required(resource.as_ref())?;
        match Kind::of(&any.type_url) {
            Some(found) if found == kind => {}
            _ => {
                return Err(vec![
                    at.field("resource").refuse(format!("this is a {:?}", xds::type_name(&any.type_url))),
                ]);
            }
        }
        let name = agreed_name(name, &any.value)?;
        let key = (kind, name.clone());
        let fingerprint =
            [0, 1].map(|nth: usize| self.hashers.get(nth).map_or(0, |hasher| hasher.hash_one(&any.value)));
        if self.fingerprints.get(&key) == Some(&fingerprint) {
            return Ok(false);
        }
        compile(kind, &name, &any.type_url, &any.value, &mut self.context)?
            .install(&name, &mut self.context.snapshot);
        self.fingerprints.insert(key, fingerprint);
        Ok(true)
    }

    fn remove(&mut self, kind: Kind, name: String) -> bool {
        let snapshot = &mut self.context.snapshot;
        match kind {
            Kind::Listener => {
                Arc::make_mut(&mut snapshot.listeners).remove(name.as_str());
            }
            Kind::RouteTable => vacate(&mut snapshot.routes, &name),
            Kind::Cluster => vacate(&mut snapshot.clusters, &name),
            Kind::Assignment => vacate(&mut snapshot.assignments, &name),
            Kind::Secret => vacate(&mut snapshot.secrets, &name),
        }
        self.fingerprints.remove(&(kind, name)).is_some()
    }
}

fn unreadable(error: &prost::DecodeError) -> Rejected {
    Rejected {
        type_url: "envoy.service.discovery.v3.DeltaDiscoveryResponse".to_owned(),
        name: String::new(),
        path: String::new(),
        reason: format!("the rest of the update cannot be read: {error}"),
    }
}

fn vacate<I: Index, T>(table: &mut Table<I, T>, name: &str) {
    if let Some(index) = table.index_of(name) {
        table.put(index, None);
    }
}

/// A compiled resource of any kind.
pub(super) enum Compiled {
    Listener(ListenerName, Box<crate::Listener>),
    RouteTable(crate::RouteTable),
    Cluster(Box<crate::Cluster>),
    Assignment(crate::Endpoints),
    Secret(crate::tls::Secret),
}

impl Compiled {
    fn install(self, name: &str, snapshot: &mut Snapshot) {
        match self {
            Self::Listener(name, made) => {
                let listeners: &mut BTreeMap<_, _> = Arc::make_mut(&mut snapshot.listeners);
                listeners.insert(name, Arc::from(made));
            }
            Self::RouteTable(made) => fill(&mut snapshot.routes, name, made),
            Self::Cluster(made) => fill(&mut snapshot.clusters, name, *made),
            Self::Assignment(made) => fill(&mut snapshot.assignments, name, made),
            Self::Secret(made) => fill(&mut snapshot.secrets, name, made),
        }
    }
}

fn fill<I: Index, T>(table: &mut Table<I, T>, name: &str, made: T) {
    let index = table.intern(name);
    table.put(index, Some(Arc::new(made)));
}

/// Compiles one resource: first looks for anything that is not implemented, then decodes, then checks.
pub(super) fn compile(
    kind: Kind,
    name: &str,
    type_url: &str,
    bytes: &[u8],
    cx: &mut Context,
) -> Result<Compiled, Vec<Invalid>> {
    let refusals = xds::refusals(type_url, bytes);
    if !refusals.is_empty() {
        let invalid =
            |refusal: xds::Refusal| Invalid { path: refusal.path, reason: refusal.reason.to_string() };
        return Err(refusals.into_iter().map(invalid).collect());
    }
    let at = At::ROOT;
    Ok(match kind {
        Kind::Listener => {
            let name = ListenerName::try_from(name).map_err(|error| at.field("name").refuse(error))?;
            let made = listener::listener(decode(bytes)?, name.as_str(), &at, cx)?;
            Compiled::Listener(name, Box::new(made))
        }
        Kind::RouteTable => Compiled::RouteTable(route::route_table(decode(bytes)?, &at, cx)?),
        Kind::Cluster => Compiled::Cluster(Box::new(cluster::cluster(decode(bytes)?, &at, cx)?)),
        Kind::Assignment => Compiled::Assignment(endpoint::endpoints(decode(bytes)?, &at)?),
        Kind::Secret => Compiled::Secret(secret::secret(decode(bytes)?, &at, cx)?),
    })
}

/// The name that a resource travels under, which must be the one that it gives itself; either may be left out.
pub(super) fn agreed_name(given: &str, bytes: &[u8]) -> Result<String, Invalid> {
    let own = own_name(bytes);
    match (given, own.as_str()) {
        ("", _) => Ok(own),
        (given, own) if own.is_empty() || own == given => Ok(given.to_owned()),
        (given, own) => Err(At::ROOT
            .field("name")
            .refuse(format!("this is {own:?}, but the resource travels as {given:?}"))),
    }
}

/// In every kind of resource field 1 is the name.
fn own_name(bytes: &[u8]) -> String {
    #[derive(Clone, PartialEq, ::prost::Message)]
    struct Named {
        #[prost(string, tag = "1")]
        name: String,
    }
    Named::decode(bytes).unwrap_or_default().name
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, Invalid> {
    M::decode(bytes).map_err(|error| At::ROOT.refuse(error))
}

impl From<Invalid> for Vec<Invalid> {
    fn from(invalid: Invalid) -> Self {
        vec![invalid]
    }
}
