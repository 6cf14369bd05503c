//! TLS with a client: the handshake as the server.

use std::rc::Rc;

use super::{CloseReason, Downstream, DownstreamState, Fate};
use crate::engine::Engine;
use crate::listener::ChainRuntime;
use crate::reactor::{Millis, Token};
use crate::tls::{TlsInfo, TlsSession};
use crate::transport::{Read, TransportError};

impl Engine {
    /// Everything from here on is TLS; bytes that were read already are the first.
    pub(crate) fn start_handshake(
        &mut self,
        token: Token,
        down: &mut Downstream,
        chain: &ChainRuntime,
    ) -> Fate {
        let Some(tls) = chain.tls.borrow().clone() else {
            // Its secret has not arrived: Envoy closes such connections too.
            if let Some(stats) = &down.listener.tls_stats {
                stats.secrets_not_ready.inc();
            }
            return Fate::Close(CloseReason::Handshake);
        };
        let mut session = TlsSession::server(tls);
        session.preload(&std::mem::take(&mut down.held));
        down.io.start_tls(session);
        down.state = DownstreamState::Handshake;
        down.deadline = chain.spec.handshake_timeout.map_or(Millis::NEVER, |limit| self.now().after(limit));
        self.handshake(token, down)
    }

    /// Goes on with the handshake.
    pub(crate) fn handshake(&mut self, token: Token, down: &mut Downstream) -> Fate {
        let Some(buffers) = &mut self.buffers else { return Fate::Close(CloseReason::Internal) };
        match down.io.read_behind(&mut down.held, buffers) {
            Read::Data(_) | Read::Blocked => {}
            Read::End => {
                handshake_failed(down, None);
                return Fate::Close(CloseReason::Handshake);
            }
            Read::Failed(error) => {
                handshake_failed(down, Some(&error));
                return Fate::Close(CloseReason::Handshake);
            }
        }
        if down.io.is_handshaking() {
            if down.io.readable() {
                self.run_soon(token);
            }
            return Fate::Keep;
        }
        self.handshake_done(down);
        self.start_filter(token, down)
    }

    fn handshake_done(&mut self, down: &mut Downstream) {
        let Some(tls) = down.io.tls() else { return };
        let summary = tls.summary();
        if let Some(stats) = &down.listener.tls_stats {
            stats.done(&mut self.telemetry, &summary);
            // One that was let through all the same.
            tls.refusal().into_iter().for_each(|refusal| stats.refused(refusal));
            tls.staple().into_iter().for_each(|outcome| stats.stapled(outcome));
        }
        let info = TlsInfo {
            version: summary.version,
            cipher: summary.cipher,
            group: summary.group,
            session_id: Box::default(),
            server_name: None,
            peer: tls.client_identity().map(Rc::new),
            local: tls.local_identity(),
        };
        if let Some(name) = tls.server_name() {
            down.info.server_name.replace(Some(Rc::from(name)));
        }
        down.info.tls.replace(Some(info));
    }
}

/// Counts a handshake that came to nothing; without an error the client has gone, which Envoy does not count.
fn handshake_failed(down: &Downstream, error: Option<&TransportError>) {
    let (Some(stats), Some(tls)) = (&down.listener.tls_stats, down.io.tls()) else { return };
    tls.staple().into_iter().for_each(|outcome| stats.stapled(outcome));
    let Some(error) = error else { return };
    if matches!(error, TransportError::Tls(_)) {
        stats.failed(tls.refusal());
    }
    down.info.tls_failure.replace(Some(error.to_string().into()));
    let remote = &down.info.remote;
    crate::diag::debug("downstream_handshake_failed", &[("remote", remote), ("error", error)]);
}
