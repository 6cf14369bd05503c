//! What an answer says of the endpoint, whichever version of HTTP brought it.

use meshloom_model::health::{GrpcProbe, HttpProbe};
use meshloom_wire::http1::{Headers, KnownHeader as H};

/// What an answer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Good {
        degraded: bool,
    },
    /// Bad, but one alone proves nothing.
    Doubtful,
    /// By its own word the endpoint is not healthy.
    Wrong,
    /// None: the connection ended, or what came is no answer.
    Broken,
}

/// What of a response matters.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    degraded: bool,
    service: Option<Vec<u8>>,
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
            grpc_status: headers.value(H::GrpcStatus, bytes).map(<[u8]>::to_vec),
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
            return if within(&probe.retriable) { Answer::Doubtful } else { Answer::Wrong };
        }
        let service = self.service.as_deref().unwrap_or_default();
        let right = contains_all(&self.body, &probe.receive)
            && probe.service.as_ref().is_none_or(|want| want.matches(service));
        if right { Answer::Good { degraded: self.degraded } } else { Answer::Wrong }
    }

    /// grpc.health.v1: SERVING with status OK is the one good answer.
    pub(super) fn judge_grpc(&self, _probe: &GrpcProbe) -> Answer {
        let ok = self.status == 200 && self.grpc_status.as_deref() == Some(b"0");
        match ok && is_serving(&self.body) {
            true => Answer::Good { degraded: false },
            false => Answer::Wrong,
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

/// A message of one frame, uncompressed, whose field 1 is 1 (SERVING).
fn is_serving(body: &[u8]) -> bool {
    let Some((prefix, message)) = body.split_at_checked(5) else { return false };
    let length =
        prefix.get(1..).map(|bytes| bytes.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte)));
    prefix.first() == Some(&0) && length == Some(message.len()) && message == [0x08, 0x01]
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
        for bad in [
            &[][..],
            &[0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 8, 2],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 3, 8, 1],
        ] {
            assert!(!is_serving(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_status_in_trailers_counts() {
        let mut reply = Reply { status: 200, body: vec![0, 0, 0, 0, 2, 8, 1], ..Reply::default() };
        let probe = GrpcProbe { service: "".into(), authority: None, metadata: Box::default() };
        assert_eq!(reply.judge_grpc(&probe), Answer::Wrong);
        reply.take_trailers(b"grpc-message: x\r\ngrpc-status: 0\r\n");
        assert_eq!(reply.judge_grpc(&probe), Answer::Good { degraded: false });
    }
}
