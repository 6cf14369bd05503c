//! Which version of HTTP a connection speaks: as configured, by ALPN, or by its first bytes.

use std::rc::Rc;

use meshloom_model::hcm::Codec;
use meshloom_wire::http2::PREFACE;

use super::{CloseReason, Downstream, DownstreamState, Fate, Http1};
use crate::engine::Engine;
use crate::listener::{ChainKind, HttpChain};
use crate::message::Protocol;
use crate::reactor::{Millis, Token};
use crate::transport::Read;

impl Engine {
    /// The connection's bytes are HTTP from here on.
    pub(crate) fn start_http(&mut self, token: Token, down: &mut Downstream, chain: &Rc<HttpChain>) -> Fate {
        chain.stats.cx_total.inc();
        chain.stats.cx_active.add(1);
        if down.info.is_tls() {
            chain.stats.cx_ssl_total.inc();
            chain.stats.cx_ssl_active.add(1);
        }
        match (chain.manager.codec, down.io.tls().and_then(|tls| tls.alpn())) {
            (Codec::Http2, _) | (Codec::Auto, Some(b"h2")) => self.speak_http2(token, down, chain),
            (Codec::Http1, _) | (Codec::Auto, Some(_)) => self.speak_http1(token, down, chain),
            (Codec::Auto, None) => {
                let idle = chain.manager.timeouts.first_request;
                down.deadline = idle.map_or(Millis::NEVER, |idle| self.now().after(idle));
                down.state = DownstreamState::Sniff;
                self.sniff_http(token, down)
            }
        }
    }

    /// Looks at the first bytes: an HTTP/2 client sends its preface.
    pub(super) fn sniff_http(&mut self, token: Token, down: &mut Downstream) -> Fate {
        let Some(chain) = down.chain.clone() else { return Fate::Close(CloseReason::Internal) };
        let ChainKind::Http(chain) = &chain.kind else { return Fate::Close(CloseReason::Internal) };
        if down.io.readable() {
            let Some(buffers) = &mut self.buffers else { return Fate::Close(CloseReason::Internal) };
            let read = down.io.read_behind(&mut down.held, buffers);
            if let Read::End | Read::Failed(_) = read {
                return Fate::Close(CloseReason::Remote);
            }
        }
        if down.held.is_empty() {
            return Fate::Keep;
        }
        let fits = down.held.iter().zip(PREFACE).all(|(have, want)| have == want);
        match (fits, down.held.len() >= PREFACE.len()) {
            (true, false) => {
                let limit = chain.manager.timeouts.request_headers;
                down.deadline = limit.map_or(down.deadline, |limit| down.opened.after(limit).max(self.now()));
                Fate::Keep
            }
            (true, true) => self.speak_http2(token, down, chain),
            (false, _) => self.speak_http1(token, down, chain),
        }
    }

    /// The first bytes have not come in time.
    pub(super) fn sniff_expired(&mut self, down: &Downstream) -> Fate {
        if let Some(ChainKind::Http(chain)) = down.chain.as_ref().map(|chain| &chain.kind) {
            chain.stats.cx_idle_timeout.inc();
        }
        Fate::Close(CloseReason::Timeout)
    }

    fn speak_http1(&mut self, token: Token, down: &mut Downstream, chain: &Rc<HttpChain>) -> Fate {
        down.deadline = Millis::NEVER;
        down.protocol = Some(Protocol::Http11);
        down.resume = !down.held.is_empty();
        chain.stats.cx_http1_total.inc();
        chain.stats.cx_http1_active.add(1);
        down.state = DownstreamState::Http1(Box::new(Http1::new(Rc::clone(chain), self.now())));
        let fate = self.http_input(token, down);
        if down.held.is_empty() {
            down.held = Vec::new(); // what was sniffed; most connections never hold anything again
        }
        fate
    }

    fn speak_http2(&mut self, token: Token, down: &mut Downstream, chain: &Rc<HttpChain>) -> Fate {
        down.deadline = Millis::NEVER;
        down.protocol = Some(Protocol::Http2);
        chain.stats.cx_http2_total.inc();
        chain.stats.cx_http2_active.add(1);
        self.start_http2(token, down, chain)
    }
}
