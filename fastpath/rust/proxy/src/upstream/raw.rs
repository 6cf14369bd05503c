//! CONNECT that ends here (RFC 9110 9.3.6): a connection of its own to the endpoint, whose bytes are the tunnel's.

use std::rc::Rc;

use meshloom_wire::http1::{BodyDecoder, BodyLength};

use super::{Host, Lane, Own, Speaks, Upstream, UpstreamFate, UpstreamPhase, UpstreamState, UpstreamStream};
use crate::codec::Sender;
use crate::engine::Engine;
use crate::exchange::{Exchange, Link};
use crate::reactor::Token;
use crate::reply::Failure;

impl Engine {
    /// Connects an exchange to a host, to relay bytes.
    pub(crate) fn open_raw(
        &mut self,
        token: Token,
        exchange: &mut Exchange,
        host: Rc<Host>,
    ) -> Result<(), Failure> {
        let preamble = match (self.proxy_header(&host, &exchange.info)?, exchange.tunnel_header()?) {
            (Some(of_cluster), Some(of_route)) => Some([&*of_cluster, &*of_route].concat().into()),
            (of_cluster, of_route) => of_route.or(of_cluster),
        };
        let own = Own { name: exchange.name_for(&host), preamble };
        let lane = Lane { speaks: Speaks::Http1, own };
        let connection = self.open_connection(&host, UpstreamState::Busy(token), &lane)?;
        exchange.link = Link::Active(UpstreamStream::whole(connection), host);
        exchange.tries.counted_active = true;
        self.count_cluster(exchange, |stats| {
            stats.rq_total.inc();
            stats.rq_active.add(1);
        });
        exchange.times.upstream_begin = Some(self.clock.instant());
        Ok(())
    }

    /// The connection is made: that is the answer to the CONNECT.
    pub(super) fn raw_ready(&mut self, upstream: &mut Upstream, token: Token) -> UpstreamFate {
        let Some(mut exchange) = self.exchanges.take(token) else { return UpstreamFate::Close };
        let downstream = exchange.downstream;
        let Some(mut down) = self.lend_downstream(downstream) else {
            self.settle_exchange(token, exchange);
            return UpstreamFate::Close;
        };
        upstream.sender = Sender::Tunnel;
        upstream.http.keep_alive = false;
        upstream.http.phase = UpstreamPhase::Body(BodyDecoder::new(BodyLength::UntilClose));
        exchange.outcome.upstream_local = Some(upstream.local);
        exchange.outcome.upstream_tls.clone_from(&upstream.tls);
        exchange.outcome.upstream_connection = upstream.id;
        exchange.response.make(200, BodyLength::UntilClose);
        self.relay_head(&mut exchange, &mut down);
        self.settle_exchange(token, exchange);
        self.return_downstream(downstream, down, false);
        UpstreamFate::Keep
    }
}
