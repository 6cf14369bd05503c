//! Making connections to upstreams: the socket, then TLS.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use meshloom_balance::Resource;
use meshloom_model::route::ResourcePriority;
use meshloom_model::{Address, Cluster};
use meshloom_wire::http1::Limits;

use super::{Host, Lane, Speaks, Upstream, UpstreamFate, UpstreamState};
use crate::engine::Engine;
use crate::health::HealthReport;
use crate::reactor::{Millis, Token};
use crate::reply::Failure;
use crate::telemetry::TlsStats;
use crate::tls::{AskedName, Offers, TlsSession};
use crate::transport::{Read, SocketError, TransportError, connect, keep_alive, local_address, take_error};

impl Engine {
    /// Asks for a connection to a host. `state` is `Connecting`, or `Tunnel` for a TCP session.
    pub(crate) fn open_connection(
        &mut self,
        host: &Rc<Host>,
        state: UpstreamState,
        lane: &Lane,
    ) -> Result<Token, Failure> {
        let Some(cluster) = self.clusters.get_mut(host.cluster) else {
            return Err(Failure::Internal("no cluster"));
        };
        let first_use = cluster.spec.health.is_some() && !std::mem::replace(&mut cluster.used, true);
        if first_use {
            self.reports.push_back(HealthReport::Used { cluster: cluster.spec.name.as_str().to_owned() });
        }
        let timeout = cluster.spec.connect_timeout;
        let limits = Limits::with_head(
            cluster.spec.http.max_response_headers_bytes,
            u16::try_from(cluster.spec.http.max_response_headers).unwrap_or(u16::MAX),
        );
        let stats = cluster.stats;
        let fd = match connect_to(&host.address(), &cluster.spec) {
            Ok(fd) => fd,
            Err(SocketError::Create(error) | SocketError::Connect(error)) => {
                stats.cx_connect_fail.inc();
                let reason = format!("immediate connect error: {}", describe(&error));
                return Err(Failure::ConnectFailed { reason: reason.into() });
            }
        };
        // A count for those that come after: the caller has seen whether there is room.
        let counted = cluster.breakers(ResourcePriority::Default).acquire(Resource::Connections).is_ok();
        stats.cx_total.inc();
        stats.cx_active.add(1);
        host.note_open(lane, true);
        let upstream = Box::new(Upstream {
            counted_connection: counted,
            deadline: self.now().after(timeout),
            opened: self.now(),
            id: self.connection_id(),
            limits,
            ..Upstream::connecting(fd, host, state, lane)
        });
        let Some(token) = self.ups.reserve() else { return Err(Failure::Internal("too many connections")) };
        if let Err(error) = self.poller.add(upstream.io.fd(), token) {
            self.ups.remove(token);
            self.count_closed(&upstream, false);
            return Err(Failure::ConnectFailed { reason: describe(&error).into() });
        }
        if state == UpstreamState::Connecting {
            host.note_connecting(lane, true);
        }
        self.settle_upstream_kept(token, upstream);
        Ok(token)
    }

    /// The connection attempt has come to an end.
    pub(super) fn connected(&mut self, token: Token, upstream: &mut Upstream) -> UpstreamFate {
        if let Err(error) = take_error(upstream.io.fd()) {
            if let Some(cluster) = self.clusters.get(upstream.host.cluster) {
                cluster.stats.cx_connect_fail.inc();
            }
            let reason = format!("delayed connect error: {}", describe(&error));
            return UpstreamFate::Fail(Failure::ConnectFailed { reason: reason.into() });
        }
        upstream.connecting = false;
        upstream.local = local_address(upstream.io.fd());
        if let Some(cluster) = self.clusters.get(upstream.host.cluster) {
            cluster.stats.cx_connect_ms.record(self.now().since(upstream.opened));
        }
        let preamble = upstream.lane.own.preamble.clone();
        if preamble.is_some_and(|preamble| upstream.io.send(&[&preamble]).is_err()) {
            return UpstreamFate::Fail(Failure::ConnectFailed {
                reason: "the upstream closed at once".into(),
            });
        }
        let tls = upstream.host.tls.borrow().clone();
        match tls {
            None => self.upstream_ready(token, upstream),
            Some(tls) => {
                let session = tls.connect(
                    &upstream.host,
                    Offers::Default(upstream.offers()),
                    self.asked_name(upstream),
                );
                match session {
                    Ok(session) => self.start_upstream_tls(token, upstream, session),
                    Err(reason) => {
                        if let Some(stats) = self.tls_stats(upstream) {
                            stats.secrets_not_ready.inc();
                        }
                        UpstreamFate::Fail(Failure::ConnectFailed { reason: reason.into() })
                    }
                }
            }
        }
    }

    /// The name that TLS takes from the request that the connection is made for.
    fn asked_name<'a>(&'a self, upstream: &'a Upstream) -> Option<AskedName<'a>> {
        let names = self.clusters.get(upstream.host.cluster)?.spec.server_names.as_ref()?;
        let name = upstream.lane.own.name.as_deref()?;
        Some(AskedName { name, sent: names.sent, checked: names.checked })
    }

    fn start_upstream_tls(
        &mut self,
        token: Token,
        upstream: &mut Upstream,
        session: TlsSession,
    ) -> UpstreamFate {
        if upstream.state == UpstreamState::Connecting {
            upstream.state = UpstreamState::Handshaking;
        }
        if let Err(error) = upstream.io.start_client_tls(session) {
            return UpstreamFate::Fail(Failure::ConnectFailed { reason: error.to_string().into() });
        }
        self.upstream_handshake(token, upstream)
    }

    pub(super) fn upstream_handshake(&mut self, token: Token, upstream: &mut Upstream) -> UpstreamFate {
        let Some(buffers) = &mut self.buffers else { return UpstreamFate::Close };
        match upstream.io.read_behind(&mut upstream.http.held, buffers) {
            Read::Data(_) | Read::Blocked => {}
            Read::End => return self.upstream_handshake_failed(upstream, None),
            Read::Failed(error) => return self.upstream_handshake_failed(upstream, Some(&error)),
        }
        if upstream.io.readable() {
            self.run_soon(token);
        }
        if upstream.io.is_handshaking() {
            return UpstreamFate::Keep;
        }
        let summary = upstream.io.tls().map(TlsSession::summary);
        let stats = self.clusters.get(upstream.host.cluster).and_then(|cluster| cluster.tls_stats.as_ref());
        if let (Some(stats), Some(summary)) = (stats, summary) {
            stats.done(&mut self.telemetry, &summary);
            // One that was let through all the same.
            let refusal = upstream.io.tls().and_then(TlsSession::refusal);
            refusal.into_iter().for_each(|refusal| stats.refused(refusal));
        }
        upstream.note_tls();
        self.upstream_ready(token, upstream)
    }

    /// Counts a handshake that came to nothing; without an error the upstream has gone, which is none of TLS.
    fn upstream_handshake_failed(&self, upstream: &Upstream, error: Option<&TransportError>) -> UpstreamFate {
        if let Some(cluster) = self.clusters.get(upstream.host.cluster) {
            cluster.stats.cx_connect_fail.inc();
        }
        if let (Some(stats), Some(TransportError::Tls(_))) = (self.tls_stats(upstream), error) {
            stats.failed(upstream.io.tls().and_then(TlsSession::refusal));
        }
        let gone = || "TLS: the peer closed during the handshake".to_owned();
        let reason = error.map_or_else(gone, ToString::to_string);
        UpstreamFate::Fail(Failure::ConnectFailed { reason: reason.into() })
    }

    fn tls_stats(&self, upstream: &Upstream) -> Option<&TlsStats> {
        self.clusters.get(upstream.host.cluster)?.tls_stats.as_ref()
    }

    /// The connection can carry requests, in the version that was agreed on.
    fn http_ready(&mut self, token: Token, upstream: &mut Upstream) -> UpstreamFate {
        let (host, speaks) = (Rc::clone(&upstream.host), upstream.lane.speaks);
        host.note_connecting(&upstream.lane, false);
        let http2 = match speaks {
            Speaks::Http1 => false,
            Speaks::Http2 => true,
            Speaks::Either => upstream.io.tls().and_then(TlsSession::alpn) == Some(b"h2"),
        };
        if speaks == Speaks::Either {
            host.chose_http2.set(Some(http2));
        }
        if http2 {
            return self.begin_http2(token, upstream);
        }
        if let Some(cluster) = self.clusters.get(host.cluster) {
            cluster.stats.cx_http1_total.inc();
        }
        self.serve_waiting(token, upstream);
        if speaks == Speaks::Either {
            // This one carries but one exchange at a time.
            self.open_for_waiting(&host, &upstream.lane);
        }
        UpstreamFate::Keep
    }

    /// The connection can carry bytes.
    fn upstream_ready(&mut self, token: Token, upstream: &mut Upstream) -> UpstreamFate {
        upstream.deadline = Millis::NEVER;
        match upstream.state {
            UpstreamState::Tunnel(downstream) => {
                self.run_soon(downstream);
                self.tcp_from_upstream(token, upstream, downstream)
            }
            UpstreamState::Busy(exchange) => self.raw_ready(upstream, exchange),
            _ => self.http_ready(token, upstream),
        }
    }
}

/// Starts a connection, probed when idle as its cluster asks. Unix sockets need no probes: the system knows their ends.
fn connect_to(to: &Address, cluster: &Cluster) -> Result<OwnedFd, SocketError> {
    let fd = connect(to, source_for(to, cluster))?;
    if let (Address::Ip(_), Some(probing)) = (to, &cluster.tcp_keepalive) {
        keep_alive(&fd, probing).map_err(SocketError::Connect)?;
    }
    Ok(fd)
}

/// The address that a cluster's connections come from, where it is of the endpoint's family.
pub(crate) fn source_for(to: &Address, cluster: &Cluster) -> Option<SocketAddr> {
    let Address::Ip(to) = to else { return None };
    cluster.bind_address.filter(|from| from.is_ipv4() == to.is_ipv4())
}

/// The system's words for an error, without its number.
fn describe(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
