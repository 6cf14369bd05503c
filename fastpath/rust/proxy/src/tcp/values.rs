//! What the format language's commands mean for a TCP connection, and lines of its logs.

use std::time::{Duration, Instant};

use meshloom_model::access_log::LogFilter;
use meshloom_model::template::{Command, TimeFormat, Values};
use meshloom_model::{Address, ResponseFlags};

use super::TcpSession;
use crate::downstream::{ConnectionInfo, Downstream, DownstreamState};
use crate::engine::Engine;
use crate::exchange::values::{address, downstream_tls, failure, local_address, number, text};
use crate::listener::LogTarget;
use crate::reactor::Clock;
use crate::telemetry::LocalWorkload;
use crate::util::Rng;

impl Engine {
    /// A line in the logs of the TCP proxy.
    pub(super) fn log_tcp(&mut self, session: &TcpSession, info: &ConnectionInfo) {
        self.log_values(&session.chain.logs, info, Some(session));
    }

    /// A line in the logs of the listener, at the end of a connection.
    pub(crate) fn log_connection(&mut self, down: &Downstream, state: &DownstreamState) {
        let session = match state {
            DownstreamState::Tcp(session) => Some(&**session),
            _ => None,
        };
        self.log_values(&down.listener.logs, &down.info, session);
    }

    fn log_values(&mut self, targets: &[LogTarget], info: &ConnectionInfo, session: Option<&TcpSession>) {
        let Self { logs, clock, local, rng, .. } = self;
        let values = ConnectionValues { session, info, clock, local };
        for target in targets {
            if target.log.filter.as_ref().is_none_or(|filter| values.pass(filter, rng)) {
                logs.append(target.sink, clock.millis(), |out| target.log.format.render(&values, out));
            }
        }
    }
}

fn ms_since(from: Instant, clock: &Clock) -> u64 {
    u64::try_from(clock.instant().saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
}

fn time(format: &TimeFormat, at: Duration, out: &mut Vec<u8>) -> bool {
    format.write(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX), out);
    true
}

/// The format language for connections, whatever is spoken on them.
struct ConnectionValues<'s> {
    session: Option<&'s TcpSession>,
    info: &'s ConnectionInfo,
    clock: &'s Clock,
    local: &'s LocalWorkload,
}

impl ConnectionValues<'_> {
    fn flags(&self) -> ResponseFlags {
        self.session.map_or(ResponseFlags::NONE, |session| session.flags)
    }

    /// Is the connection logged?
    fn pass(&self, filter: &LogFilter, rng: &mut Rng) -> bool {
        match filter {
            LogFilter::DurationMs(test) => test.matches(ms_since(self.info.accepted, self.clock)),
            LogFilter::Flags(wanted) if wanted.is_empty() => !self.flags().is_empty(),
            LogFilter::Flags(wanted) => self.flags().intersects(*wanted),
            LogFilter::Sample { millionths, .. } => rng.hits(*millionths),
            LogFilter::And(all) => all.iter().all(|filter| self.pass(filter, rng)),
            LogFilter::Or(any) => any.iter().any(|filter| self.pass(filter, rng)),
            // Refused for connections when it is compiled: there is no request.
            LogFilter::Status(_) | LogFilter::Header(_) | LogFilter::NotHealthCheck => false,
        }
    }

    /// What is known of the upstream; `None` for commands about something else.
    fn upstream(&self, command: &Command, out: &mut Vec<u8>) -> Option<bool> {
        let session = self.session?;
        Some(match command {
            Command::UpstreamWireBytesSent => number(Some(session.received), out),
            Command::UpstreamWireBytesReceived => number(Some(session.sent), out),
            Command::UpstreamHost(part) | Command::UpstreamRemoteAddress(part) => match &session.host {
                Some(host) => {
                    let place = host.place();
                    match &place.address {
                        Address::Ip(ip) => address(Some(*ip), *part, out),
                        Address::Unix(_) => text(Some(place.text.as_bytes()), out),
                    }
                }
                None => false,
            },
            Command::UpstreamLocalAddress(part) => address(session.upstream_local, *part, out),
            Command::UpstreamTransportFailureReason => failure(session.failure.as_deref(), out),
            Command::UpstreamTls(field) => {
                session.upstream_tls.as_ref().is_some_and(|tls| tls.write(field, out))
            }
            Command::UpstreamCluster | Command::UpstreamClusterRaw => {
                text(session.cluster_name.as_deref().map(str::as_bytes), out)
            }
            Command::UpstreamConnectionId => number(session.upstream_id, out),
            Command::UpstreamRequestAttemptCount => number(Some(session.attempts.into()), out),
            Command::StreamId => text(Some(&session.stream_id), out),
            _ => return None,
        })
    }
}

impl Values for ConnectionValues<'_> {
    fn write(&self, command: &Command, out: &mut Vec<u8>) -> bool {
        if let Some(written) = self.upstream(command, out) {
            return written;
        }
        let info = self.info;
        match command {
            Command::StartTime(format) => time(format, self.clock.wall_at(info.accepted), out),
            Command::EmitTime(format) => time(format, self.clock.wall(), out),
            Command::ResponseCode | Command::RequestHeadersBytes | Command::ResponseHeadersBytes => {
                number(Some(0), out)
            }
            Command::BytesReceived | Command::DownstreamWireBytesReceived => {
                number(Some(self.session.map_or(0, |session| session.received)), out)
            }
            Command::BytesSent | Command::DownstreamWireBytesSent => {
                number(Some(self.session.map_or(0, |session| session.sent)), out)
            }
            Command::DownstreamTransportFailureReason => failure(info.tls_failure.borrow().as_deref(), out),
            Command::DownstreamTls(field) => downstream_tls(info, field, out),
            Command::Environment(name) => {
                text(self.local.environment.get(&**name).map(|value| value.as_bytes()), out)
            }
            Command::Duration => number(Some(ms_since(info.accepted, self.clock)), out),
            Command::ConnectionId => number(Some(info.id), out),
            Command::ResponseFlags { long } => {
                self.flags().write(*long, out);
                !self.flags().is_empty()
            }
            Command::DownstreamRemoteAddress(part) => address(Some(info.remote), *part, out),
            Command::DownstreamDirectRemoteAddress(part) => address(Some(info.direct), *part, out),
            Command::DownstreamLocalAddress(part) => local_address(info, *part, out),
            Command::RequestedServerName => {
                text(info.server_name.borrow().as_deref().map(str::as_bytes), out)
            }
            Command::FilterChainName => text(Some(info.chain_name.borrow().as_bytes()), out),
            Command::Hostname => text(Some(self.local.hostname.as_bytes()), out),
            // Not what is missing: there is a body, and it is empty.
            Command::LocalReplyBody => true,
            _ => false,
        }
    }
}
