//! What is said on a health check's connection, by protocol.

use std::time::Duration;

use meshloom_model::header_case::HeaderCase;
use meshloom_model::headers::AppendAction;
use meshloom_model::health::{HealthCheck, Probe, ProbeHeader, TcpProbe};
use meshloom_model::matcher::HeaderName;

use super::http1::Http1Talk;
use super::http2::Http2Talk;
use super::reply::{Answer, contains_all};

/// Bytes that a TCP endpoint may send without saying what is waited for.
const MAX_TCP_BYTES: usize = 64 * 1024;

/// The state of a conversation; made anew with each connection.
pub(super) enum Talk {
    Http1(Box<Http1Talk>),
    Http2(Box<Http2Talk>),
    Tcp { received: Vec<u8> },
}

/// Who is asked, in the words of HTTP.
pub(super) struct Asked<'a> {
    pub(super) authority: &'a str,
    /// How long the answer may take.
    pub(super) timeout: Duration,
    pub(super) tls: bool,
    /// How names of fields are spelled in HTTP/1.
    pub(super) case: HeaderCase,
}

impl Talk {
    pub(super) fn new(spec: &HealthCheck) -> Self {
        match &spec.probe {
            Probe::Http(probe) if !probe.http2 => Self::Http1(Box::default()),
            Probe::Http(_) | Probe::Grpc(_) => Self::Http2(Box::default()),
            Probe::Tcp(_) => Self::Tcp { received: Vec::new() },
        }
    }

    /// Writes a check to `out`. An answer, where none is waited for.
    pub(super) fn ask(&mut self, spec: &HealthCheck, asked: &Asked<'_>, out: &mut Vec<u8>) -> Option<Answer> {
        match (self, &spec.probe) {
            (Self::Http1(talk), Probe::Http(probe)) => talk.ask(probe, asked, out),
            (Self::Http2(talk), probe) => return talk.ask(probe, asked, out),
            (Self::Tcp { received }, Probe::Tcp(TcpProbe { send, receive })) => {
                // Where nothing is waited for, that it connects is the answer, and nothing is said.
                if receive.is_empty() {
                    return Some(Answer::Good { degraded: false });
                }
                received.clear();
                out.extend_from_slice(send);
            }
            _ => return Some(Answer::Broken),
        }
        None
    }

    /// Takes what the endpoint says; `out` is what there is to say to that.
    pub(super) fn hear(&mut self, spec: &HealthCheck, data: &[u8], out: &mut Vec<u8>) -> Option<Answer> {
        match (self, &spec.probe) {
            (Self::Http1(talk), Probe::Http(probe)) => talk.hear(probe, data),
            (Self::Http2(talk), probe) => talk.hear(probe, data, out),
            (Self::Tcp { received }, Probe::Tcp(probe)) => {
                received.extend_from_slice(data);
                match contains_all(received, &probe.receive) {
                    true => Some(Answer::Good { degraded: false }),
                    false => (received.len() > MAX_TCP_BYTES).then_some(Answer::Broken),
                }
            }
            _ => Some(Answer::Broken),
        }
    }

    /// The endpoint has ended the connection.
    pub(super) fn end(&mut self, spec: &HealthCheck) -> Answer {
        match (self, &spec.probe) {
            (Self::Http1(talk), Probe::Http(probe)) => talk.end(probe),
            _ => Answer::Broken,
        }
    }

    /// The HTTP status of the last answer; zero where there was none, or another protocol's.
    pub(super) fn status(&self, spec: &HealthCheck) -> u16 {
        match (self, &spec.probe) {
            (Self::Http1(talk), _) => talk.status(),
            (Self::Http2(talk), Probe::Http(_)) => talk.status(),
            _ => 0,
        }
    }

    /// May the connection carry another check?
    pub(super) fn is_reusable(&self, spec: &HealthCheck) -> bool {
        match (self, &spec.probe) {
            (Self::Http1(talk), _) => talk.is_reusable(),
            (Self::Http2(talk), _) => talk.is_reusable(),
            // Where connecting is the check, each check connects.
            (Self::Tcp { .. }, Probe::Tcp(probe)) => !probe.receive.is_empty(),
            (Self::Tcp { .. }, _) => false,
        }
    }
}

/// The header lines of a probe: its own, changed as configured.
pub(super) fn header_lines<'a>(
    own: &[(&'a str, &'a [u8])],
    add: &'a [ProbeHeader],
    remove: &[HeaderName],
) -> Vec<(&'a str, &'a [u8])> {
    let mut lines = own.to_vec();
    lines.retain(|(name, _)| !remove.iter().any(|gone| gone.as_str() == *name));
    for header in add {
        let name = header.name.as_str();
        let there = lines.iter().any(|(other, _)| *other == name);
        match header.action {
            AppendAction::AddIfAbsent if there => continue,
            AppendAction::OverwriteIfExists if !there => continue,
            AppendAction::Overwrite | AppendAction::OverwriteIfExists => {
                lines.retain(|(other, _)| *other != name);
            }
            AppendAction::Append | AppendAction::AddIfAbsent => {}
        }
        lines.push((name, &header.value));
    }
    lines
}
