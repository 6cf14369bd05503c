//! What an answer says of the endpoint, whichever version of HTTP brought it.

use meshloom_model::health::HttpProbe;
use meshloom_wire::http1::{Headers, KnownHeader as H};

use crate::message::is_grpc;
use crate::util::{Content, next_field};

/// What an answer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Good {
        degraded: bool,
    },
    /// Bad, but one alone proves nothing.
    Doubtful,
    /// By its own word the endpoint is not healthy. `leaves` where it asks not to count among the endpoints meanwhile.
    Wrong {
        leaves: bool,
    },
    /// Another service answers.
    Stranger,
    /// None: the connection ended, or what came is no answer.
    Broken,
}

/// What of a response matters.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    degraded: bool,
    /// It asks to be taken out at once.
    leaves: bool,
    service: Option<Vec<u8>>,
    is_grpc: bool,
    /// From the trailers: a call that ends with its head has no answer in it.
    grpc_status: Option<Vec<u8>>,
    /// The beginning of the body.
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn load(status: u16, headers: &Headers, bytes: &[u8]) -> Self {
        Self {
            status,
            degraded: headers.contains(H::XEnvoyDegraded),
            service: headers.value(H::XEnvoyUpstreamHealthcheckedCluster, bytes).map(<[u8]>::to_vec),
            leaves: headers.contains(H::XEnvoyImmediateHealthCheckFail),
            is_grpc: headers.value(H::ContentType, bytes).is_some_and(is_grpc),
            grpc_status: None,
            body: Vec::new(),
        }
    }

    /// Takes a gRPC status that came behind the body.
    pub(super) fn take_trailers(&mut self, section: &[u8]) {
        let lines = section.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        for line in lines {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = line.split_at(colon);
            if name.eq_ignore_ascii_case(b"grpc-status") {
                self.grpc_status = Some(value.get(1..).unwrap_or_default().trim_ascii().to_vec());
            }
        }
    }

    /// Keeps as much of the body as is looked at.
    pub(super) fn take_body(&mut self, data: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.body.len());
        self.body.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
    }

    pub(super) fn judge(&self, probe: &HttpProbe) -> Answer {
        let within =
            |ranges: &[std::ops::Range<u16>]| ranges.iter().any(|range| range.contains(&self.status));
        if !within(&probe.expected) {
            return match within(&probe.retriable) {
                true => Answer::Doubtful,
                false => Answer::Wrong { leaves: self.leaves },
            };
        }
        if !contains_all(&self.body, &probe.receive) {
            return Answer::Wrong { leaves: self.leaves };
        }
        let service = self.service.as_deref().unwrap_or_default();
        match probe.service.as_ref().is_none_or(|want| want.matches(service)) {
            true => Answer::Good { degraded: self.degraded },
            false => Answer::Stranger,
        }
    }

    /// grpc.health.v1: SERVING with status OK is the one good answer.
    pub(super) fn judge_grpc(&self) -> Answer {
        let ok = self.status == 200 && self.is_grpc && self.grpc_status.as_deref() == Some(b"0");
        match ok && is_serving(&self.body) {
            true => Answer::Good { degraded: false },
            false => Answer::Wrong { leaves: false },
        }
    }
}

/// Are all of these bytes there, one behind the other, with anything between?
pub(super) fn contains_all(data: &[u8], wanted: &[Box<[u8]>]) -> bool {
    let mut rest = data;
    wanted.iter().all(|want| {
        let found = rest.windows(want.len().max(1)).position(|window| window == &**want);
        match found {
            Some(at) => {
                rest = rest.get(at + want.len()..).unwrap_or_default();
                true
            }
            None => false,
        }
    })
}

/// A message of one frame, uncompressed, whose field `status` is SERVING.
fn is_serving(body: &[u8]) -> bool {
    let Some((prefix, message)) = body.split_at_checked(5) else { return false };
    let length =
        prefix.get(1..).map(|bytes| bytes.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte)));
    prefix.first() == Some(&0) && length == Some(message.len()) && status_of(message) == Some(SERVING)
}

const SERVING: u64 = 1;

/// Field 1 of a HealthCheckResponse, the last one that is there (protobuf, "Last One Wins"); fields that it does not have
/// yet are passed over. `None` where the bytes are no such message.
fn status_of(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        if let (1, Content::Number(number)) = next_field(&mut message)? {
            status = number;
        }
    }
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(parts: &[&[u8]]) -> Vec<Box<[u8]>> {
        parts.iter().map(|part| (*part).into()).collect()
    }

    #[test]
    fn wanted_bytes_must_come_in_their_order() {
        assert!(contains_all(b"abcdef", &boxed(&[b"ab", b"ef"])));
        assert!(!contains_all(b"abcdef", &boxed(&[b"ef", b"ab"])));
        assert!(!contains_all(b"aba", &boxed(&[b"ab", b"ba"])));
        assert!(contains_all(b"", &[]));
    }

    #[test]
    fn only_serving_is_serving() {
        assert!(is_serving(&[0, 0, 0, 0, 2, 8, 1]));
        // With fields of a later version, and a status said twice.
        assert!(is_serving(&[0, 0, 0, 0, 10, 8, 2, 18, 1, b'x', 24, 0x81, 1, 8, 1]));
        for bad in [
            &[][..],
            &[0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 8, 2],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 3, 8, 1],
            &[0, 0, 0, 0, 4, 8, 1, 8, 2],
            &[0, 0, 0, 0, 4, 8, 1, 18, 9],
            &[0, 0, 0, 0, 3, 8, 1, 8],
        ] {
            assert!(!is_serving(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_status_in_trailers_counts() {
        let body = vec![0, 0, 0, 0, 2, 8, 1];
        let mut reply = Reply { status: 200, is_grpc: true, body, ..Reply::default() };
        assert_eq!(reply.judge_grpc(), Answer::Wrong { leaves: false });
        reply.take_trailers(b"grpc-message: x\r\ngrpc-status: 0\r\n");
        assert_eq!(reply.judge_grpc(), Answer::Good { degraded: false });
    }
}
