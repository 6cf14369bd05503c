//! Who the workloads at both ends are: ours from the node's metadata, the peer's as it told us.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;

use meshloom_wire::http1::KnownHeader as H;
use serde_json::{Map, Value as Json};

use super::structs::{Value, decode, encode};
use crate::engine::Engine;
use crate::exchange::Exchange;
use crate::util::{base64, from_base64};

/// A workload as Istio's metrics name it. Unknown parts are `unknown`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Workload {
    pub(crate) name: Arc<str>,
    pub(crate) namespace: Arc<str>,
    pub(crate) app: Arc<str>,
    pub(crate) version: Arc<str>,
    pub(crate) cluster: Arc<str>,
    pub(crate) canonical_name: Arc<str>,
    pub(crate) canonical_revision: Arc<str>,
}

pub(crate) const UNKNOWN: &str = "unknown";

impl Default for Workload {
    fn default() -> Self {
        let unknown: Arc<str> = UNKNOWN.into();
        Self {
            name: Arc::clone(&unknown),
            namespace: Arc::clone(&unknown),
            app: Arc::clone(&unknown),
            version: Arc::clone(&unknown),
            cluster: Arc::clone(&unknown),
            canonical_name: Arc::clone(&unknown),
            canonical_revision: unknown,
        }
    }
}

/// A peer that has been seen; its number stands for it in the keys of metric series.
#[derive(Debug)]
pub(crate) struct PeerInfo {
    pub(crate) number: u32,
    pub(crate) workload: Workload,
    /// The header it came from, to recognise it.
    raw: Box<[u8]>,
}

/// The peers of one exchange.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers {
    pub(crate) downstream: Option<Rc<PeerInfo>>,
    pub(crate) upstream: Option<Rc<PeerInfo>>,
}

/// Ourselves.
#[derive(Debug, Default)]
pub(crate) struct LocalWorkload {
    pub(crate) hostname: String,
    /// The address that this machine reaches others from; `None` when it reaches none.
    pub(crate) address: Option<IpAddr>,
    pub(crate) environment: HashMap<String, String>,
    pub(crate) workload: Workload,
    /// `x-envoy-peer-metadata` and its id, as we tell them.
    header: Vec<u8>,
    id: Vec<u8>,
    /// Peers that have been seen, by what they said.
    known: RefCell<HashMap<Box<[u8]>, Rc<PeerInfo>>>,
}

/// More different peers than this are not told apart: the count of series must stay bounded.
const MAX_PEERS: usize = 4096;
/// Longest header that is looked at.
const MAX_HEADER: usize = 16 * 1024;

/// The source address of the default route. A datagram socket is connected for it; nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?; // RFC 5737: an address of nobody
    socket
        .local_addr()
        .ok()
        .map(|address| address.ip())
        .filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

impl LocalWorkload {
    /// From the bootstrap's node.
    pub(crate) fn from_node(node: &Map<String, Json>) -> Self {
        let empty = Map::new();
        let metadata = node.get("metadata").and_then(Json::as_object).unwrap_or(&empty);
        let text = |key: &str| metadata.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
        let labels: Vec<(String, String)> = metadata
            .get("LABELS")
            .and_then(Json::as_object)
            .map(|labels| {
                labels
                    .iter()
                    .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
                    .collect()
            })
            .unwrap_or_default();
        let facts = Facts {
            name: text("WORKLOAD_NAME"),
            namespace: text("NAMESPACE"),
            cluster: text("CLUSTER_ID"),
            labels,
        };
        let mut fields: Vec<(String, Value)> =
            ["CLUSTER_ID", "INSTANCE_IPS", "MESH_ID", "NAME", "NAMESPACE", "OWNER", "WORKLOAD_NAME"]
                .iter()
                .filter(|key| !text(key).is_empty())
                .map(|key| ((*key).to_owned(), Value::Text(text(key))))
                .collect();
        let shared = facts.labels.iter().filter(|(key, _)| is_shared_label(key));
        let shared: Vec<(String, Value)> =
            shared.map(|(key, value)| (key.clone(), Value::Text(value.clone()))).collect();
        fields.push(("LABELS".to_owned(), Value::Struct(shared)));
        Self {
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            address: own_address(),
            environment: std::env::vars().collect(),
            workload: facts.workload(),
            header: base64(&encode(&fields)).into_bytes(),
            id: node.get("id").and_then(Json::as_str).unwrap_or_default().as_bytes().to_vec(),
            known: RefCell::default(),
        }
    }

    /// The peer behind a header's value; the same value gives the same peer.
    fn peer(&self, raw: &[u8]) -> Option<Rc<PeerInfo>> {
        let mut known = self.known.borrow_mut();
        if let Some(peer) = known.get(raw) {
            return Some(Rc::clone(peer));
        }
        if known.len() >= MAX_PEERS || raw.len() > MAX_HEADER {
            return None;
        }
        let facts = Facts::read(raw)?;
        let number = u32::try_from(known.len() + 1).ok()?;
        let peer = Rc::new(PeerInfo { number, workload: facts.workload(), raw: raw.into() });
        known.insert(raw.into(), Rc::clone(&peer));
        Some(peer)
    }

    /// The peer that an endpoint's metadata names: `workload;namespace;canonical name;revision;cluster`.
    pub(crate) fn endpoint(&self, text: &str) -> Option<Rc<PeerInfo>> {
        let mut known = self.known.borrow_mut();
        if let Some(peer) = known.get(text.as_bytes()) {
            return Some(Rc::clone(peer));
        }
        if known.len() >= MAX_PEERS {
            return None;
        }
        let mut parts = text.split(';').map(|part| if part.is_empty() { UNKNOWN } else { part });
        let mut next = || Arc::<str>::from(parts.next().unwrap_or(UNKNOWN));
        let (name, namespace, canonical_name, canonical_revision, cluster) =
            (next(), next(), next(), next(), next());
        let workload = Workload {
            name,
            namespace,
            app: Arc::clone(&canonical_name),
            version: Arc::clone(&canonical_revision),
            cluster,
            canonical_name,
            canonical_revision,
        };
        let number = u32::try_from(known.len() + 1).ok()?;
        let peer = Rc::new(PeerInfo { number, workload, raw: text.as_bytes().into() });
        known.insert(text.as_bytes().into(), Rc::clone(&peer));
        Some(peer)
    }
}

/// Labels that are told to peers: those that metrics name.
fn is_shared_label(key: &str) -> bool {
    matches!(
        key,
        "app"
            | "version"
            | "app.kubernetes.io/name"
            | "app.kubernetes.io/version"
            | "service.istio.io/canonical-name"
            | "service.istio.io/canonical-revision"
    )
}

#[derive(Default)]
struct Facts {
    name: String,
    namespace: String,
    cluster: String,
    labels: Vec<(String, String)>,
}

impl Facts {
    fn read(header: &[u8]) -> Option<Self> {
        let mut facts = Self::default();
        for (key, value) in decode(&from_base64(header)?)? {
            match (key.as_str(), value) {
                ("WORKLOAD_NAME", Value::Text(text)) => facts.name = text,
                ("NAMESPACE", Value::Text(text)) => facts.namespace = text,
                ("CLUSTER_ID", Value::Text(text)) => facts.cluster = text,
                ("LABELS", Value::Struct(labels)) => {
                    facts.labels = labels
                        .into_iter()
                        .filter_map(|(key, value)| match value {
                            Value::Text(text) => Some((key, text)),
                            Value::Struct(_) => None,
                        })
                        .collect();
                }
                _ => {}
            }
        }
        Some(facts)
    }

    fn label(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().find_map(|key| {
            self.labels
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value.as_str())
                .filter(|value| !value.is_empty())
        })
    }

    fn workload(&self) -> Workload {
        let or_unknown = |text: &str| Arc::<str>::from(if text.is_empty() { UNKNOWN } else { text });
        let canonical_name = self
            .label(&["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"])
            .unwrap_or(&self.name);
        let canonical_revision = self
            .label(&["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"])
            .unwrap_or("latest");
        Workload {
            name: or_unknown(&self.name),
            namespace: or_unknown(&self.namespace),
            app: or_unknown(self.label(&["app", "app.kubernetes.io/name"]).unwrap_or_default()),
            version: or_unknown(self.label(&["version", "app.kubernetes.io/version"]).unwrap_or_default()),
            cluster: or_unknown(&self.cluster),
            canonical_name: or_unknown(canonical_name),
            canonical_revision: or_unknown(canonical_revision),
        }
    }
}

impl Engine {
    /// Reads who the caller is, and takes the headers off.
    pub(crate) fn discover_downstream_peer(&mut self, exchange: &mut Exchange) {
        let Some(settings) = exchange.chain.peer_metadata else { return };
        if settings.downstream_discovery {
            let cached = exchange.info.peer.borrow().clone();
            exchange.peers.downstream =
                exchange.request.fields.get(H::XEnvoyPeerMetadata).and_then(|raw| match cached {
                    Some(peer) if *peer.raw == *raw => Some(peer),
                    _ => self.local.peer(raw),
                });
            exchange.info.peer.replace(exchange.peers.downstream.clone());
        }
        exchange.request.fields.remove(H::XEnvoyPeerMetadata);
        exchange.request.fields.remove(H::XEnvoyPeerMetadataId);
    }

    /// Tells the upstream who we are.
    pub(crate) fn tell_upstream_peer(&mut self, exchange: &mut Exchange, external: bool) {
        let Some(settings) = exchange.chain.peer_metadata else { return };
        if settings.upstream_propagation && !(external && settings.skip_external_clusters) {
            exchange.request.fields.set(H::XEnvoyPeerMetadata, &self.local.header);
            exchange.request.fields.set(H::XEnvoyPeerMetadataId, &self.local.id);
        }
    }

    /// Reads who answered, and takes the headers off.
    pub(crate) fn discover_upstream_peer(&mut self, exchange: &mut Exchange) {
        let Some(settings) = exchange.chain.peer_metadata else { return };
        if settings.upstream_discovery {
            if let Some(raw) = exchange.response.fields.get(H::XEnvoyPeerMetadata) {
                exchange.peers.upstream = self.local.peer(raw);
            }
        }
        exchange.response.fields.remove(H::XEnvoyPeerMetadata);
        exchange.response.fields.remove(H::XEnvoyPeerMetadataId);
    }

    /// Tells the caller who we are, if it told us.
    pub(crate) fn tell_downstream_peer(&mut self, exchange: &mut Exchange) {
        let Some(settings) = exchange.chain.peer_metadata else { return };
        if settings.downstream_propagation && exchange.peers.downstream.is_some() {
            exchange.response.fields.set(H::XEnvoyPeerMetadata, &self.local.header);
            exchange.response.fields.set(H::XEnvoyPeerMetadataId, &self.local.id);
        }
    }
}
