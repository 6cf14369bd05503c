//! A health check over HTTP/2: gRPC's, or an ordinary request.

use meshloom_model::health::{GrpcProbe, HttpProbe, Probe};
use meshloom_wire::http2::{Config, Connection, Event, Head, Role, StreamId};

use super::reply::{Answer, Reply};
use super::talk::{Asked, header_lines};
use crate::exchange::grpc_timeout;

/// Bytes of a gRPC answer that are looked at: a HealthCheckResponse has seven.
const GRPC_BODY: usize = 64;

#[derive(Default)]
pub(super) struct Http2Talk {
    /// `None` until the first check of the connection.
    connection: Option<Connection>,
    head: Head,
    held: Vec<u8>,
    stream: StreamId,
    reply: Option<Reply>,
    /// What came was not HTTP/2.
    broken: bool,
}

impl Http2Talk {
    pub(super) fn ask(&mut self, probe: &Probe, asked: &Asked<'_>, out: &mut Vec<u8>) -> Option<Answer> {
        self.reply = None;
        let connection =
            self.connection.get_or_insert_with(|| Connection::new(Role::Client, Config::default(), out));
        let Some(stream) = connection.open() else { return Some(Answer::Broken) };
        self.stream = stream;
        let length = match probe {
            Probe::Http(probe) => probe.send.len().to_string(),
            Probe::Grpc(_) | Probe::Tcp(_) => String::new(),
        };
        let timeout = grpc_timeout(asked.timeout);
        let (fields, body) = match probe {
            Probe::Http(probe) => (http_fields(probe, asked, &length), probe.send.to_vec()),
            Probe::Grpc(probe) => (grpc_fields(probe, asked, &timeout), grpc_request(&probe.service)),
            Probe::Tcp(_) => return Some(Answer::Broken),
        };
        let bare = body.is_empty();
        connection.send_head(stream, fields.iter().map(|(name, value)| (name.as_bytes(), *value)), bare, out);
        if !bare && connection.send_data(stream, &body, true, out) < body.len() {
            return Some(Answer::Broken);
        }
        None
    }

    pub(super) fn hear(&mut self, probe: &Probe, data: &[u8], out: &mut Vec<u8>) -> Option<Answer> {
        self.held.extend_from_slice(data);
        let (mut at, mut answer) = (0, None);
        loop {
            let connection = self.connection.as_mut()?;
            let event = match connection.next(&self.held, &mut at, &mut self.head, out) {
                Ok(Event::NeedMore) => break,
                Ok(event) => event,
                Err(_) => {
                    self.broken = true;
                    answer = answer.or(Some(Answer::Broken));
                    break;
                }
            };
            // What stands behind the answer is read, too: it may be a GOAWAY, after which nothing can be asked here.
            let said = self.take(probe, event, out);
            answer = answer.or(said);
        }
        self.held.drain(..at.min(self.held.len()));
        if let Some(connection) = &mut self.connection {
            connection.note_unsent(0);
        }
        answer
    }

    fn take(&mut self, probe: &Probe, event: Event, out: &mut Vec<u8>) -> Option<Answer> {
        match event {
            Event::Head { stream, end } if stream == self.stream => {
                if self.head.status >= 200 {
                    self.reply = Some(Reply::load(self.head.status, &self.head.headers, &self.head.bytes));
                }
                end.then(|| self.judge(probe))
            }
            Event::Data { stream, range, end } => {
                let data = self.held.get(range).unwrap_or_default();
                if let Some(connection) = &mut self.connection {
                    connection.consumed(stream, data.len(), out);
                }
                if stream != self.stream {
                    return None;
                }
                let limit = match probe {
                    Probe::Http(probe) => probe.response_buffer,
                    Probe::Grpc(_) | Probe::Tcp(_) => GRPC_BODY,
                };
                if let Some(reply) = &mut self.reply {
                    reply.take_body(data, limit);
                }
                end.then(|| self.judge(probe))
            }
            Event::Trailers { stream } if stream == self.stream => {
                if let Some(reply) = &mut self.reply {
                    reply.take_trailers(&self.head.bytes);
                }
                Some(self.judge(probe))
            }
            Event::Reset { stream, .. } if stream == self.stream => Some(Answer::Broken),
            Event::Goaway { last, .. } if last < self.stream && self.reply.is_none() => Some(Answer::Broken),
            _ => None,
        }
    }

    fn judge(&self, probe: &Probe) -> Answer {
        match (&self.reply, probe) {
            (Some(reply), Probe::Http(probe)) => reply.judge(probe),
            (Some(reply), Probe::Grpc(_)) => reply.judge_grpc(),
            _ => Answer::Broken,
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.reply.as_ref().map_or(0, |reply| reply.status)
    }

    pub(super) fn is_reusable(&self) -> bool {
        !self.broken
            && self.connection.as_ref().is_some_and(|connection| {
                connection.active_streams() == 0 && connection.can_open() && !connection.is_draining()
            })
    }
}

type Fields<'a> = Vec<(&'a str, &'a [u8])>;

fn pseudo<'a>(method: &'a str, path: &'a str, asked: &Asked<'a>) -> Fields<'a> {
    let scheme: &[u8] = if asked.tls { b"https" } else { b"http" };
    vec![
        (":method", method.as_bytes()),
        (":scheme", scheme),
        (":authority", asked.authority.as_bytes()),
        (":path", path.as_bytes()),
    ]
}

fn http_fields<'a>(probe: &'a HttpProbe, asked: &Asked<'a>, length: &'a str) -> Fields<'a> {
    let mut fields = pseudo(&probe.method, &probe.path, asked);
    let mut own: Fields<'a> = vec![("user-agent", b"Envoy/HC")];
    if !probe.send.is_empty() {
        own.push(("content-length", length.as_bytes()));
    }
    fields.extend(header_lines(&own, &probe.add, &probe.remove));
    fields
}

fn grpc_fields<'a>(probe: &'a GrpcProbe, asked: &Asked<'a>, timeout: &'a str) -> Fields<'a> {
    let mut fields = pseudo("POST", "/grpc.health.v1.Health/Check", asked);
    let own: [(&str, &[u8]); 4] = [
        ("content-type", b"application/grpc"),
        ("te", b"trailers"),
        ("user-agent", b"Envoy/HC"),
        ("grpc-timeout", timeout.as_bytes()),
    ];
    fields.extend(header_lines(&own, &probe.metadata, &[]));
    fields
}

/// A HealthCheckRequest in its frame.
fn grpc_request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut len = service.len();
        while len >= 0x80 {
            message.push((len & 0x7f) as u8 | 0x80);
            len >>= 7;
        }
        message.push(len as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], length.as_slice(), &message].concat()
}
