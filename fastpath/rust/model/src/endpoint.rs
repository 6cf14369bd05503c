//! Endpoints of a cluster.

use std::sync::Arc;

use crate::address::Address;
use crate::health::EndpointCheck;

/// The endpoints of a cluster, as one update gave them. Replaced whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Endpoints {
    /// All endpoints, those of the first priority first.
    pub all: Box<[Endpoint]>,
    /// How many endpoints each priority has, from priority 0 on. Priorities have no gaps.
    pub priorities: Box<[usize]>,
    /// The localities that endpoints name by position.
    pub localities: Box<[LocalityGroup]>,
    /// A priority counts as healthy while its healthy share times this is 100 or more (140 unless set).
    pub overprovisioning_percent: u32,
}

/// One locality at one priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalityGroup {
    /// Which locality.
    pub locality: Locality,
    /// Its priority, 0 is first.
    pub priority: u32,
    /// Its share among the localities of its priority, where shares are used.
    pub weight: Option<u32>,
}

/// Region, zone and subzone; each may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Locality {
    /// Region.
    pub region: Arc<str>,
    /// Zone.
    pub zone: Arc<str>,
    /// Subzone.
    pub sub_zone: Arc<str>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Where to connect.
    pub address: Address,
    /// Its host name, for `auto_host_rewrite`; may be empty.
    pub hostname: Arc<str>,
    /// Whether it may be used.
    pub health: Health,
    /// Its share, 1 or more.
    pub weight: u32,
    /// Its locality: a position in [`Endpoints::localities`].
    pub locality: u32,
    /// Labels that choose the transport (`filter_metadata["envoy.transport_socket_match"]`).
    pub labels: Box<[(Arc<str>, Arc<str>)]>,
    /// The same labels of its locality: they choose where its own choose nothing.
    pub locality_labels: Arc<[(Arc<str>, Arc<str>)]>,
    /// Labels that put it into subsets (`filter_metadata["envoy.lb"]`).
    pub subset_labels: Box<[SubsetLabel]>,
    /// What consistent hashing knows it by, in the place of its address (`filter_metadata["envoy.lb"].hash_key`).
    pub hash_key: Option<Arc<str>>,
    /// What it says of its health checks.
    pub check: Option<Arc<EndpointCheck>>,
    /// Who it is: `workload;namespace;canonical name;canonical revision;cluster` (`filter_metadata.istio.workload`).
    pub workload: Option<Arc<str>>,
}

/// A label that puts an endpoint into subsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubsetLabel {
    /// Its key.
    pub key: Arc<str>,
    /// Its value as one text: equal values have equal texts.
    pub value: Arc<str>,
    /// Its items, where it is a list.
    pub items: Option<Box<[Arc<str>]>>,
}

/// Whether an endpoint may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Health {
    /// Yes (unknown counts as healthy).
    #[default]
    Healthy,
    /// Only when there is no healthy one.
    Degraded,
    /// No.
    Unhealthy,
    /// Not for new requests.
    Draining,
}

impl Endpoints {
    /// The endpoints of a priority.
    pub fn of_priority(&self, priority: usize) -> &[Endpoint] {
        let start: usize = self.priorities.iter().take(priority).sum();
        let count = self.priorities.get(priority).copied().unwrap_or(0);
        self.all.get(start..start + count).unwrap_or_default()
    }

    /// The locality of an endpoint.
    pub fn locality_of(&self, endpoint: &Endpoint) -> Option<&LocalityGroup> {
        self.localities.get(endpoint.locality as usize)
    }
}
