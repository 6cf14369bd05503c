//! How long a stream may last: the route's word on it, and a gRPC client's, before the connection manager's.

use std::time::Duration;

use meshloom_model::route::{GrpcTimeout, RouteAction};
use meshloom_wire::http1::KnownHeader as H;

use super::Exchange;
use crate::engine::Engine;
use crate::reactor::Millis;

impl Engine {
    /// The route is known.
    pub(super) fn limit_life(&self, exchange: &mut Exchange) {
        let Some(route) = exchange.route.clone() else { return };
        let RouteAction::Forward(forward) = &route.action else { return };
        let Some(told) = forward.stream_duration else { return };
        if let Some(limit) = told.grpc.and_then(|rule| grant(exchange, rule)) {
            exchange.deadlines.life = self.now().after(limit);
            return exchange.tell_grpc_timeout(limit);
        }
        match told.limit.or(exchange.chain.manager.timeouts.max_stream) {
            Some(limit) if !limit.is_zero() => {
                exchange.deadlines.life = self.now().after(limit);
                exchange.tell_grpc_timeout(limit);
            }
            _ => exchange.deadlines.life = Millis::NEVER,
        }
    }
}

/// What a client that asks for a time gets; none where it does not ask, or not in a way that is understood.
fn grant(exchange: &Exchange, rule: GrpcTimeout) -> Option<Duration> {
    let asked = from_header(exchange.request.fields.get(H::GrpcTimeout)?)?;
    let capped = if rule.max.is_zero() { asked } else { asked.min(rule.max) };
    Some(capped.saturating_sub(rule.offset))
}

impl Exchange {
    /// The time for a gRPC call's response where the route lets calls say it; the second is false where it does not. One
    /// that says nothing asks for any time.
    pub(super) fn grpc_limit(&self, rule: Option<GrpcTimeout>) -> (Option<Duration>, bool) {
        let Some(rule) = rule.filter(|_| self.outcome.is_grpc) else { return (None, false) };
        let asked = self.request.fields.get(H::GrpcTimeout).and_then(from_header).unwrap_or_default();
        // No offset makes a call endless, which is what zero would mean.
        let asked = if rule.offset < asked { asked.saturating_sub(rule.offset) } else { asked };
        let limit = match (rule.max.is_zero(), asked.is_zero()) {
            (true, _) => asked,
            (false, true) => rule.max,
            (false, false) => asked.min(rule.max),
        };
        (Some(limit).filter(|limit| !limit.is_zero()), true)
    }

    /// Tells the upstream how long the call may take, whatever the client has said. Other requests are left as they are.
    pub(super) fn tell_grpc_timeout(&mut self, limit: Duration) {
        if !self.outcome.is_grpc {
            return;
        }
        self.request.fields.set(H::GrpcTimeout, grpc_timeout(limit).as_bytes());
    }
}

/// A time as `grpc-timeout` says it.
pub(crate) fn grpc_timeout(limit: Duration) -> String {
    to_header(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX))
}

/// At most eight digits and a unit, in whole milliseconds (gRPC over HTTP/2, "Timeout").
fn from_header(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let ms = match unit {
        b'H' => count * 3_600_000,
        b'M' => count * 60_000,
        b'S' => count * 1000,
        b'm' => count,
        b'u' => count.div_ceil(1000),
        b'n' => count.div_ceil(1_000_000),
        _ => return None,
    };
    Some(Duration::from_millis(ms))
}

/// The finest unit in which the number has at most eight digits.
fn to_header(ms: u64) -> String {
    const MOST: u64 = 99_999_999;
    let (count, unit) = match ms {
        0..=MOST => (ms, 'm'),
        _ if ms / 1000 <= MOST => (ms / 1000, 'S'),
        _ if ms / 60_000 <= MOST => (ms / 60_000, 'M'),
        _ => ((ms / 3_600_000).min(MOST), 'H'),
    };
    format!("{count}{unit}")
}

#[cfg(test)]
mod tests {
    use super::{Duration, from_header, to_header};

    #[test]
    fn times_of_clients_are_read_in_every_unit() {
        for (value, ms) in [
            (&b"100m"[..], 100),
            (b"2S", 2000),
            (b"3M", 180_000),
            (b"1H", 3_600_000),
            (b"1u", 1),
            (b"1001u", 2),
            (b"99999999n", 100),
            (b"0m", 0),
        ] {
            assert_eq!(from_header(value), Some(Duration::from_millis(ms)));
        }
        for value in [&b""[..], b"S", b"100", b"-1S", b"+1S", b"1.5S", b"100000000m", b"1x", b" 1S"] {
            assert_eq!(from_header(value), None);
        }
    }

    #[test]
    fn times_are_written_with_at_most_eight_digits() {
        assert_eq!(to_header(0), "0m");
        assert_eq!(to_header(99_999_999), "99999999m");
        assert_eq!(to_header(100_000_000), "100000S");
        assert_eq!(to_header(u64::MAX), "99999999H");
    }
}
