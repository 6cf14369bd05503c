//! A health check over HTTP/1.

use meshloom_model::health::HttpProbe;
use meshloom_wire::http1::{BodyDecoder, BodyEvent, Headers, Limits, Method, ResponseKind, ResponseParser};

use super::reply::{Answer, Reply};
use super::talk::{Asked, header_lines};
use crate::codec::Spelling;

/// Interim responses to one check.
const MAX_INTERIM: u32 = 10;
/// Bytes of a response that is thrown away behind what is looked at.
const MAX_BODY: u64 = 16 * 1024 * 1024;

#[derive(Default)]
pub(super) struct Http1Talk {
    parser: ResponseParser,
    headers: Headers,
    held: Vec<u8>,
    reading: Option<(Reply, BodyDecoder)>,
    keep_alive: bool,
    interim: u32,
    body: u64,
}

impl Http1Talk {
    pub(super) fn ask(&mut self, probe: &HttpProbe, asked: &Asked<'_>, out: &mut Vec<u8>) {
        self.parser.restart();
        self.held.clear();
        (self.reading, self.keep_alive, self.interim, self.body) = (None, false, 0, 0);
        let length = probe.send.len().to_string();
        let mut own = vec![("host", asked.authority.as_bytes()), ("user-agent", b"Envoy/HC".as_slice())];
        if announces_length(probe) {
            own.push(("content-length", length.as_bytes()));
        }
        let start = out.len();
        out.extend_from_slice(format!("{} {} HTTP/1.1\r\n", probe.method, probe.path).as_bytes());
        for (name, value) in header_lines(&own, &probe.add, &probe.remove) {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        Spelling::written(asked.case).apply(out.get_mut(start..).unwrap_or_default());
        out.extend_from_slice(&probe.send);
    }

    pub(super) fn hear(&mut self, probe: &HttpProbe, data: &[u8]) -> Option<Answer> {
        self.held.extend_from_slice(data);
        if self.reading.is_none() {
            match self.head(probe) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(answer) => return Some(answer),
            }
        }
        self.body(probe)
    }

    /// Reads the head; true once it is there.
    fn head(&mut self, probe: &HttpProbe) -> Result<bool, Answer> {
        let method = Method::from_bytes(probe.method.as_bytes());
        loop {
            let parsed = self.parser.parse(&self.held, method, &mut self.headers, &Limits::default());
            let Some(head) = parsed.map_err(|_| Answer::Broken)? else { return Ok(false) };
            match head.kind {
                ResponseKind::Interim if self.interim < MAX_INTERIM => self.interim += 1,
                ResponseKind::Interim | ResponseKind::SwitchProtocols => return Err(Answer::Broken),
                ResponseKind::Final => {
                    let bytes = self.held.get(..head.len).unwrap_or_default();
                    let reply = Reply::load(head.status, &self.headers, bytes);
                    self.keep_alive = head.keep_alive;
                    self.reading = Some((reply, BodyDecoder::new(head.body)));
                    self.held.drain(..head.len);
                    return Ok(true);
                }
            }
            self.held.drain(..head.len);
            self.parser.restart();
        }
    }

    fn body(&mut self, probe: &HttpProbe) -> Option<Answer> {
        let (reply, decoder) = self.reading.as_mut()?;
        let mut at = 0;
        let answer = loop {
            match decoder.next(&self.held, &mut at, &Limits::default()) {
                Ok(BodyEvent::Data(range)) => {
                    self.body += range.len() as u64;
                    if self.body > MAX_BODY {
                        break Some(Answer::Broken);
                    }
                    reply.take_body(self.held.get(range).unwrap_or_default(), probe.response_buffer);
                }
                Ok(BodyEvent::Trailers(_)) => {}
                Ok(BodyEvent::NeedMore) => break None,
                Ok(BodyEvent::End) => break Some(reply.judge(probe)),
                Err(_) => break Some(Answer::Broken),
            }
        };
        self.held.drain(..at.min(self.held.len()));
        answer
    }

    /// A body may end with its connection.
    pub(super) fn end(&mut self, probe: &HttpProbe) -> Answer {
        self.keep_alive = false;
        match &mut self.reading {
            Some((reply, decoder)) => decoder.end_of_input().map_or(Answer::Broken, |()| reply.judge(probe)),
            None => Answer::Broken,
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.reading.as_ref().map_or(0, |(reply, _)| reply.status)
    }

    pub(super) fn is_reusable(&self) -> bool {
        self.keep_alive && self.held.is_empty()
    }
}

/// Of methods that usually have a body an empty one is told, too (RFC 9110 8.6).
fn announces_length(probe: &HttpProbe) -> bool {
    !probe.send.is_empty() || !matches!(&*probe.method, "GET" | "HEAD" | "DELETE" | "TRACE")
}
