//! Route tables and virtual hosts.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{HostIndex, PathIndex, Route, split_path};
use crate::ids::RouteTableName;
use crate::matcher::RequestHead;

/// All virtual hosts of one RDS resource, or of one inline route configuration.
#[derive(Clone, Debug)]
pub struct RouteTable {
    /// Its name; an inline table may have none.
    pub name: Option<RouteTableName>,
    hosts: HostIndex,
    virtual_hosts: Box<[Arc<VirtualHost>]>,
    ignore_port: bool,
}

impl RouteTable {
    pub(crate) fn new(
        name: Option<RouteTableName>,
        hosts: HostIndex,
        virtual_hosts: Box<[Arc<VirtualHost>]>,
        ignore_port: bool,
    ) -> Self {
        Self { name, hosts, virtual_hosts, ignore_port }
    }

    /// The virtual host for an authority (the `Host` header, with its port if it has one).
    pub fn host(&self, authority: &[u8]) -> Option<&Arc<VirtualHost>> {
        let name = if self.ignore_port { without_port(authority) } else { authority };
        self.virtual_hosts.get(self.hosts.find(name)?)
    }

    /// The route for a request, by its `:authority` and all else. `random` decides about shares of requests.
    pub fn route(&self, head: &impl RequestHead, random: u64) -> Option<&Arc<Route>> {
        self.host(&head.header(":authority")?)?.route(head, random)
    }

    /// All virtual hosts, in the order of the configuration.
    pub fn virtual_hosts(&self) -> &[Arc<VirtualHost>] {
        &self.virtual_hosts
    }
}

/// Takes `:80` off an authority; brackets of an IPv6 address stay.
fn without_port(authority: &[u8]) -> &[u8] {
    match authority.iter().rposition(|byte| *byte == b':') {
        Some(colon) if authority.get(colon + 1..).is_some_and(|port| port.iter().all(u8::is_ascii_digit)) => {
            authority.get(..colon).unwrap_or(authority)
        }
        _ => authority,
    }
}

/// The routes of some hosts.
#[derive(Clone, Debug)]
pub struct VirtualHost {
    /// Its name, for statistics and logs.
    pub name: Arc<str>,
    /// The host names it takes, as written.
    pub domains: Box<[Box<str>]>,
    /// Whether plain HTTP is sent to HTTPS.
    pub require_tls: RequireTls,
    routes: SmallVec<[Arc<Route>; 2]>,
    index: PathIndex,
}

/// Whether a request over plain HTTP is redirected to HTTPS (301, same host and path).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequireTls {
    /// No.
    Never,
    /// Unless the request has `x-envoy-internal: true`.
    External,
    /// Yes.
    Always,
}

impl VirtualHost {
    pub(crate) fn new(
        name: Arc<str>,
        domains: Box<[Box<str>]>,
        require_tls: RequireTls,
        routes: Box<[Arc<Route>]>,
    ) -> Self {
        let index = PathIndex::new(routes.iter().map(|route| &route.matcher.path));
        Self { name, domains, require_tls, routes: routes.into_vec().into(), index }
    }

    /// The first route, in the order of the configuration, that takes the request.
    pub fn route(&self, head: &impl RequestHead, random: u64) -> Option<&Arc<Route>> {
        let (path, _) = split_path(head.path());
        self.index.find(path, |position| {
            let route = self.routes.get(position)?;
            route.matcher.matches(path, head, random).then_some(route)
        })
    }

    /// All routes, in the order of the configuration.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }
}
