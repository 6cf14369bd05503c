//! Telling an upstream by the PROXY protocol whose connection it serves. A connection that begins so belongs to one
//! client: it is opened for one exchange, or one TCP session, and ends with it.

use std::rc::Rc;

use meshloom_balance::Resource;
use meshloom_model::proxy_header::ProxyHeader;
use meshloom_wire::proxy_protocol::{Addresses, write_v1, write_v2};

use super::{Host, Lane, Speaks, Upstream, UpstreamState};
use crate::downstream::ConnectionInfo;
use crate::engine::Engine;
use crate::exchange::{Exchange, Link};
use crate::reactor::Token;
use crate::reply::Failure;

impl Engine {
    /// What a connection to this host begins with, for that client; empty where nothing is configured.
    pub(crate) fn proxy_header(&self, host: &Host, info: &ConnectionInfo) -> Result<Vec<u8>, Failure> {
        let cluster = self.clusters.get(host.cluster);
        match cluster.and_then(|cluster| cluster.spec.proxy_header_to(&host.endpoint())) {
            Some(header) => encode(header, info).map_err(|reason| Failure::ConnectFailed {
                reason: format!("PROXY header: {reason}").into(),
            }),
            None => Ok(Vec::new()),
        }
    }

    /// The connection, once it is made, begins with this.
    pub(crate) fn set_preamble(&mut self, connection: Token, preamble: Vec<u8>) {
        if let Some(upstream) = self.ups.get_mut(connection).filter(|_| !preamble.is_empty()) {
            upstream.preamble = preamble.into();
            upstream.exclusive = true;
        }
    }

    /// Opens a connection that only this exchange will use. It waits for it without standing in the host's queue.
    pub(super) fn wait_for_own_connection(
        &mut self,
        token: Token,
        exchange: &mut Exchange,
        host: &Rc<Host>,
        preamble: Vec<u8>,
    ) -> Result<(), Failure> {
        let priority = exchange.priority();
        let Some(cluster) = self.clusters.get_mut(host.cluster) else {
            return Err(Failure::Internal("no cluster"));
        };
        let stats = cluster.stats;
        let breakers = cluster.breakers(priority);
        if !breakers.has_room(Resource::Connections) && host.connections.get() > 0 {
            stats.cx_overflow.inc();
            return Err(Failure::Overflow);
        }
        exchange.tries.holds_pending = breakers.acquire(Resource::Pending).is_ok();
        stats.rq_pending_total.inc();
        stats.rq_pending_active.add(1);
        exchange.link = Link::Waiting(Rc::clone(host));
        let lane = Lane { speaks: Speaks::Http1, name: exchange.name_for(host) };
        match self.open_connection(host, UpstreamState::Connecting, &lane) {
            Ok(connection) => {
                self.set_preamble(connection, preamble);
                if let Some(upstream) = self.ups.get_mut(connection) {
                    upstream.reserved = Some(token);
                }
                Ok(())
            }
            Err(failure) => {
                self.leave_queue(token, exchange);
                Err(failure)
            }
        }
    }

    /// The exchange that the connection was made for gets it, if it still waits.
    pub(super) fn serve_reserved(
        &mut self,
        connection: Token,
        upstream: &mut Upstream,
        token: Token,
    ) -> bool {
        let Some(mut exchange) = self.exchanges.take(token) else { return false };
        let taken =
            exchange.waits_for(&upstream.host) && self.attach(token, &mut exchange, connection, upstream);
        self.settle_exchange(token, exchange);
        if taken && self.up_target == Some(connection) {
            self.up_target = None;
            upstream.flush(&mut self.up_out);
        }
        taken
    }
}

fn encode(header: &ProxyHeader, info: &ConnectionInfo) -> Result<Vec<u8>, String> {
    let ends = Addresses { source: info.remote, destination: info.local };
    let ends = info.pipe.is_none().then_some(&ends);
    let mut out = Vec::with_capacity(128);
    if !header.binary {
        return match write_v1(ends, &mut out) {
            Err(error) if !header.allow_unspecified => Err(error.to_string()),
            Err(_) => write_v1(None, &mut out).map(|()| out).map_err(|error| error.to_string()),
            Ok(()) => Ok(out),
        };
    }
    let added = header.added.iter().map(|(kind, value)| (*kind, &**value));
    let ours = |kind: u8| header.added.iter().any(|(own, _)| *own == kind);
    let passed = info.proxy_fields.iter().filter(|(kind, _)| header.passed.contains(*kind) && !ours(*kind));
    let passed = passed.map(|(kind, value)| (*kind, &**value));
    write_v2(ends, added.chain(passed), &mut out).map_err(|error| error.to_string())?;
    Ok(out)
}
