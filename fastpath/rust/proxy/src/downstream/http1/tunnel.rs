//! A connection that has become a tunnel.

use crate::downstream::{Downstream, RequestPhase, TunnelPhase};
use crate::engine::Engine;

impl Engine {
    /// Bytes of the client.
    pub(super) fn tunnel_data(&mut self, down: &mut Downstream, data: &[u8]) {
        let Some(token) = down.http().and_then(|http| http.exchange) else { return };
        let Some(mut exchange) = self.exchanges.take(token) else { return };
        self.request_data(&mut exchange, down, data);
        self.settle_exchange(token, exchange);
    }

    /// The client has ended its side. Gives false when it was no open tunnel's: then the connection is over.
    pub(super) fn tunnel_ended(&mut self, down: &mut Downstream) -> bool {
        let Some(http) = down.http() else { return false };
        if !matches!(http.phase, RequestPhase::Tunnel(TunnelPhase::Open)) {
            return false;
        }
        http.phase = RequestPhase::Tunnel(TunnelPhase::Ended);
        let Some(token) = http.exchange else { return false };
        let Some(mut exchange) = self.exchanges.take(token) else { return false };
        self.request_end(token, &mut exchange);
        self.settle_exchange(token, exchange);
        true
    }
}
