//! Requests that ask for their stream to become a tunnel (RFC 9110 7.8 and 9.3.6). Until the upstream agrees, nothing
//! that the client sends after the head goes anywhere: it might be meant for whoever refuses.

use meshloom_model::upgrade::Upgrades;
use meshloom_wire::http1::{BodyLength, Method};

use super::{Exchange, websocket};
use crate::downstream::Downstream;
use crate::engine::Engine;
use crate::message::{Protocol, Request};
use crate::reply::Failure;

/// Whether a stream becomes a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tunnel {
    /// Nobody asked.
    None,
    /// The upstream is asked; or, where CONNECT ends here, the connection to it is being made.
    Asked { ends_here: bool },
    /// Bytes go both ways as they are.
    Open,
}

/// Forgets an upgrade that nobody needs to heed: to HTTP/2 in plaintext (RFC 9113 3.1), by HTTP/1.0 (RFC 9110 7.8), or
/// with a body, after which nobody agrees on where the new protocol begins.
pub(super) fn drop_needless(request: &mut Request) {
    let needless = request.tunnel_kind().is_some_and(|kind| kind.eq_ignore_ascii_case(b"h2c"));
    if needless {
        request.fields.remove_name("http2-settings");
    }
    let has_body = !matches!(request.body, BodyLength::None | BodyLength::Length(0));
    if needless || request.version == Protocol::Http10 || has_body {
        request.upgrade = None;
    }
}

impl Engine {
    /// Sees whether the stream may become a tunnel, when the request asks for it.
    pub(super) fn ask_for_tunnel(
        &mut self,
        exchange: &mut Exchange,
        down: &mut Downstream,
    ) -> Result<(), Failure> {
        let Some(kind) = exchange.request.tunnel_kind() else { return Ok(()) };
        // Whatever the answer: nobody knows yet whose the bytes after this head are.
        exchange.body.complete = false;
        exchange.times.request_end = None;
        down.await_tunnel(exchange.stream);
        if exchange.route.is_none() && exchange.request.method == Method::Connect {
            return Err(Failure::NoRoute);
        }
        let none = Upgrades::default();
        let route = exchange.forward().map_or(&none, |forward| &forward.upgrades);
        if !Upgrades::allow(&exchange.chain.manager.upgrades, route, kind) {
            exchange.chain.stats.rq_ws_on_non_ws_route.inc();
            return Err(Failure::UpgradeRefused);
        }
        let ends_here = route.get(kind).is_some_and(|upgrade| upgrade.terminate.is_some());
        exchange.tunnel = Tunnel::Asked { ends_here };
        exchange.request.body = BodyLength::UntilClose;
        websocket::add_key(&mut exchange.request, &mut self.rng);
        Ok(())
    }

    /// The upstream's answer, in the exchange, may open the tunnel. If not, it is a response like any other.
    pub(super) fn answer_tunnel(&mut self, exchange: &mut Exchange, down: &mut Downstream) {
        if !exchange.opens_tunnel(exchange.response.status) {
            return;
        }
        exchange.tunnel = Tunnel::Open;
        exchange.body.replayable = false;
        exchange.response.body = BodyLength::UntilClose;
        exchange.response.announced = None;
        if exchange.request.upgrade.is_some() {
            // RFC 8441 4: HTTP/2 has no 101.
            let over_http2 = exchange.request.version == Protocol::Http2;
            exchange.response.status = if over_http2 { 200 } else { 101 };
        }
        websocket::finish_answer(&exchange.request, &mut exchange.response);
        exchange.chain.stats.cx_upgrades_total.inc();
        exchange.chain.stats.cx_upgrades_active.add(1);
        down.open_tunnel(exchange.stream);
        self.run_soon(exchange.downstream);
    }
}

impl Exchange {
    /// Does an answer with this status turn the stream into the tunnel that was asked for?
    pub(crate) fn opens_tunnel(&self, status: u16) -> bool {
        let asked = matches!(self.tunnel, Tunnel::Asked { .. });
        asked
            && if self.request.method == Method::Connect {
                (200..=299).contains(&status)
            } else {
                status == 101
            }
    }

    /// An upstream of HTTP/2 agrees to an upgrade as to a CONNECT (RFC 8441 4): what it says is put as HTTP/1 puts it.
    pub(crate) fn read_agreement(&mut self) {
        let asked = matches!(self.tunnel, Tunnel::Asked { .. });
        let protocol = self.request.upgrade_protocol();
        if let Some(protocol) = protocol.filter(|_| asked && (200..=299).contains(&self.response.status)) {
            self.response.switch_to(protocol);
        }
    }

    /// Is what the upstream switches to among what the client asked for?
    pub(crate) fn asked_for(&self, protocol: &[u8]) -> bool {
        let asked = self.request.upgrade_protocol().unwrap_or_default();
        let mut names = asked.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        names.any(|name| name.eq_ignore_ascii_case(protocol.trim_ascii()))
    }

    /// May an interim response with this status be told to the client? (RFC 9110 15.2: a proxy forwards those that it
    /// has not asked for itself. The 100 was asked for by us, unless it is left to the upstream.)
    pub(crate) fn relays_interim(&self, status: u16) -> bool {
        let understands = self.request.version != Protocol::Http10;
        let wanted = match status {
            100 => self.chain.manager.proxy_continue && self.request.expect_continue,
            _ => true,
        };
        understands && wanted && self.stage == super::Stage::Requesting
    }
}
