//! Listener filters: what is found out about a connection before its filter chain is chosen.

use std::net::SocketAddr;
use std::rc::Rc;

use meshloom_model::listener_filter::{ListenerFilterKind, ProxyProtocol, TlsInspector};
use meshloom_wire::http_sniff::{Sniffed, Sniffer};
use meshloom_wire::proxy_protocol::{self, Header, Version};
use meshloom_wire::tls_hello::{self, ClientHello};

use super::ListenerRuntime;
use crate::downstream::{CloseReason, ConnectionInfo, Downstream, DownstreamState, Fate};
use crate::engine::Engine;
use crate::reactor::{Millis, Token};
use crate::telemetry::{InspectorStats, ProxyProtocolStats};
use crate::transport::{Read, original_destination};

/// How far the listener filters have come with a connection, and what they have found.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    /// The filter whose turn it is.
    next: usize,
    /// It can tell nothing before so many bytes are there.
    need: usize,
    sniffer: Sniffer,
    pub(super) hello: Option<ClientHello>,
    pub(super) http: Option<&'static [u8]>,
    /// A filter has found that the connection was going somewhere else.
    redirected: bool,
    /// Another listener has accepted it, and handed it over.
    handed_over: bool,
}

/// What one filter says.
enum Step {
    Done,
    /// More bytes are needed: so many in all.
    More(usize),
    Close,
}

impl Engine {
    /// Begins with the filters of the connection's listener. Without any, its chain is chosen at once.
    pub(super) fn begin_inspection(
        &mut self,
        token: Token,
        down: &mut Downstream,
        handed_over: bool,
    ) -> Fate {
        let timeout = down.listener.spec.filters_timeout.filter(|_| !down.listener.spec.filters.is_empty());
        down.deadline = timeout.map_or(Millis::NEVER, |limit| self.now().after(limit));
        down.state = DownstreamState::Inspect(Box::new(Inspection { handed_over, ..Inspection::default() }));
        self.inspect(token, down)
    }

    /// Runs filters on the bytes that are there, as far as they get.
    pub(crate) fn inspect(&mut self, token: Token, down: &mut Downstream) -> Fate {
        loop {
            match self.run_filters(down) {
                Step::Done => return self.inspected(token, down),
                Step::Close => return Fate::Close(CloseReason::Local),
                Step::More(_) if !down.io.readable() => return Fate::Keep,
                Step::More(_) => {}
            }
            let Some(buffers) = &mut self.buffers else { return Fate::Close(CloseReason::Internal) };
            match down.io.read_behind(&mut down.held, buffers) {
                Read::Data(_) => {}
                Read::Blocked => return Fate::Keep,
                Read::End | Read::Failed(_) => {
                    down.listener.stats.filter_remote_close.inc();
                    return Fate::Close(CloseReason::Remote);
                }
            }
        }
    }

    fn run_filters(&mut self, down: &mut Downstream) -> Step {
        let Downstream { state, held, info, listener, io, .. } = down;
        let DownstreamState::Inspect(inspection) = state else { return Step::Close };
        if held.len() < inspection.need {
            return Step::More(inspection.need);
        }
        while let Some(filter) = listener.spec.filters.get(inspection.next) {
            let port = info.pipe.is_none().then(|| info.local.port());
            let passes_by = filter.disabled.as_ref().is_some_and(|disabled| disabled.takes(port));
            let step = match &filter.kind {
                _ if passes_by => Step::Done,
                ListenerFilterKind::TlsInspector(bounds) => {
                    inspection.look_for_tls(held, *bounds, &self.inspectors)
                }
                ListenerFilterKind::HttpInspector => inspection.look_for_http(held, &self.inspectors),
                ListenerFilterKind::OriginalDestination => {
                    if let Some(real) = original_destination(io.fd(), info.local) {
                        inspection.redirect(info, real);
                    }
                    Step::Done
                }
                ListenerFilterKind::ProxyProtocol(rules) => {
                    let stats = listener.proxy_stats.get(&inspection.next);
                    inspection.take_proxy_header(held, info, rules, stats)
                }
            };
            match step {
                Step::Done => {
                    inspection.next += 1;
                    inspection.need = 0;
                }
                Step::More(need) => {
                    inspection.need = need;
                    return step;
                }
                Step::Close => return step,
            }
        }
        Step::Done
    }

    /// All filters are through: the connection belongs here, or to the listener of the address it was going to.
    fn inspected(&mut self, token: Token, down: &mut Downstream) -> Fate {
        if let Some(other) = self.rightful_listener(down) {
            down.listener.stats.pre_cx_active.sub(1);
            other.stats.pre_cx_active.add(1);
            down.listener = other;
            return self.begin_inspection(token, down, true);
        }
        self.choose_chain(token, down)
    }

    fn rightful_listener(&self, down: &Downstream) -> Option<Rc<ListenerRuntime>> {
        let DownstreamState::Inspect(inspection) = &down.state else { return None };
        let asks = down.listener.spec.use_original_dst && inspection.redirected && !inspection.handed_over;
        let found = self.destinations.find(down.info.local).filter(|_| asks)?;
        (!Rc::ptr_eq(found, &down.listener)).then(|| Rc::clone(found))
    }
}

impl Inspection {
    fn look_for_tls(&mut self, held: &[u8], bounds: TlsInspector, stats: &InspectorStats) -> Step {
        use tls_hello::Peek;
        match tls_hello::peek(held, bounds.max_hello) {
            Peek::Incomplete(need) => return Step::More(need),
            Peek::TooLong => {
                stats.hello_too_large.inc();
                return Step::Close;
            }
            Peek::Malformed if bounds.close_on_errors => {
                stats.tls_not_found.inc();
                return Step::Close;
            }
            Peek::NotTls | Peek::Malformed => stats.tls_not_found.inc(),
            Peek::Hello(hello) => {
                stats.tls_found.inc();
                if hello.server_name.is_some() { stats.sni_found } else { stats.sni_not_found }.inc();
                if hello.alpn.is_empty() { stats.alpn_not_found } else { stats.alpn_found }.inc();
                self.hello = Some(hello);
            }
        }
        Step::Done
    }

    fn look_for_http(&mut self, held: &[u8], stats: &InspectorStats) -> Step {
        if self.hello.is_some() {
            return Step::Done;
        }
        let (found, counter): (Option<&'static [u8]>, _) = match self.sniffer.look(held) {
            Sniffed::Incomplete => return Step::More(held.len() + 1),
            Sniffed::NotHttp => (None, stats.http_not_found),
            Sniffed::Http10 => (Some(b"http/1.0"), stats.http10_found),
            Sniffed::Http11 => (Some(b"http/1.1"), stats.http11_found),
            Sniffed::Http2 => (Some(b"h2c"), stats.http2_found),
        };
        counter.inc();
        self.http = found;
        Step::Done
    }

    /// The connection was going there.
    fn redirect(&mut self, info: &mut Rc<ConnectionInfo>, real: SocketAddr) {
        if let Some(info) = Rc::get_mut(info) {
            info.local = real;
            info.pipe = None;
            self.redirected = true;
        }
    }

    fn take_proxy_header(
        &mut self,
        held: &mut Vec<u8>,
        info: &mut Rc<ConnectionInfo>,
        rules: &ProxyProtocol,
        stats: Option<&ProxyProtocolStats>,
    ) -> Step {
        use proxy_protocol::Peek;
        let Some(stats) = stats else { return Step::Close };
        let known = |version| match version {
            Version::V1 => !rules.no_v1,
            Version::V2 => !rules.no_v2,
        };
        match proxy_protocol::peek(held) {
            Peek::Incomplete if held.is_empty() => Step::More(1),
            // A version that is not known here is no header where there may be none.
            Peek::Incomplete if rules.optional && !could_be_known(held, rules) => absent(rules, stats),
            Peek::Incomplete => Step::More(held.len() + 1),
            Peek::Absent => absent(rules, stats),
            Peek::Malformed(version) | Peek::Header(Header { version, .. }, _) if !known(version) => {
                if rules.optional {
                    return absent(rules, stats);
                }
                stats.of(version).found.inc();
                stats.of(version).disallowed.inc();
                Step::Close
            }
            Peek::Malformed(version) => {
                stats.of(version).error.inc();
                stats.legacy_error.inc();
                Step::Close
            }
            Peek::Header(header, taken) => {
                stats.of(header.version).found.inc();
                self.note(info, &header, rules, held);
                held.drain(..taken);
                Step::Done
            }
        }
    }

    fn note(&mut self, info: &mut Rc<ConnectionInfo>, header: &Header, rules: &ProxyProtocol, held: &[u8]) {
        let Some(ends) = header.addresses else { return };
        self.redirect(info, ends.destination);
        let Some(info) = Rc::get_mut(info) else { return };
        info.remote = ends.source;
        let passed = header.fields.iter().filter(|(kind, _)| rules.passed.contains(*kind));
        info.proxy_fields =
            passed.map(|(kind, at)| (*kind, held.get(at.clone()).unwrap_or_default().into())).collect();
    }
}

/// May these first bytes become a header of a version that is known?
fn could_be_known(held: &[u8], rules: &ProxyProtocol) -> bool {
    match held.first() {
        Some(b'P') => !rules.no_v1,
        _ => !rules.no_v2,
    }
}

fn absent(rules: &ProxyProtocol, stats: &ProxyProtocolStats) -> Step {
    if rules.optional {
        stats.not_found_allowed.inc();
        return Step::Done;
    }
    stats.not_found_disallowed.inc();
    stats.legacy_error.inc();
    Step::Close
}
