//! Drives the codec over a whole connection, as an engine would, and records what came of it.
//!
//! Shared by the tests of this crate, by the comparison with other implementations, and by the fuzz targets.

use meshloom_wire::http1::{
    BodyDecoder, BodyEvent, BodyLength, DecodeError, Headers, Limits, Method, RequestHead, RequestParser,
    ResponseHead, ResponseKind, ResponseParser, TrailerFields, Version,
};

pub(crate) type Field = (Vec<u8>, Vec<u8>);

/// What a connection's bytes said, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Request(Request),
    Response(Response),
    /// Payload; neighbours are joined, since how they are cut says nothing.
    Data(Vec<u8>),
    Trailers(Vec<Field>),
    End,
    /// What follows is not HTTP/1 for us: CONNECT, 101, or a message that closes the connection.
    Stop,
    Fault(DecodeError),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) authority: Option<Vec<u8>>,
    pub(crate) version: Version,
    pub(crate) fields: Vec<Field>,
    pub(crate) body: BodyLength,
    pub(crate) keep_alive: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) reason: Vec<u8>,
    pub(crate) version: Version,
    pub(crate) fields: Vec<Field>,
    pub(crate) body: BodyLength,
    pub(crate) keep_alive: bool,
}

/// Which side of the connection the codec plays.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    Server(RequestParser),
    /// The responses are all to requests with this method.
    Client(ResponseParser, Method),
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Head,
    Body { decoder: BodyDecoder, keep_alive: bool, interim: bool },
    Over,
}

pub(crate) struct Session {
    role: Role,
    stage: Stage,
    limits: Limits,
    headers: Headers,
    /// What has arrived and is not used up.
    input: Vec<u8>,
    pub(crate) events: Vec<Event>,
}

impl Session {
    pub(crate) fn new(role: Role, limits: Limits) -> Self {
        let stage = Stage::Head;
        Self { role, stage, limits, headers: Headers::new(), input: Vec::new(), events: Vec::new() }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        loop {
            let progress = match self.stage {
                Stage::Head => self.head(),
                Stage::Body { .. } => self.body(),
                Stage::Over => Ok(false),
            };
            match progress {
                Ok(true) => {}
                Ok(false) => return,
                Err(fault) => self.fail(fault),
            }
        }
    }

    /// The peer closed its side.
    pub(crate) fn finish(&mut self) {
        match &mut self.stage {
            Stage::Head if !self.input.is_empty() => self.fail(DecodeError::Truncated),
            Stage::Body { decoder, .. } => match decoder.end_of_input() {
                Ok(()) => self.events.push(Event::End),
                Err(fault) => self.fail(fault),
            },
            Stage::Head | Stage::Over => {}
        }
        self.stage = Stage::Over;
    }

    fn fail(&mut self, fault: DecodeError) {
        self.events.push(Event::Fault(fault));
        self.stage = Stage::Over;
    }

    fn head(&mut self) -> Result<bool, DecodeError> {
        match &mut self.role {
            Role::Server(parser) => {
                let Some(head) = parser.parse(&self.input, &mut self.headers, &self.limits)? else {
                    return Ok(false);
                };
                self.accept_request(head);
            }
            Role::Client(parser, method) => {
                let parsed = parser.parse(&self.input, *method, &mut self.headers, &self.limits)?;
                let Some(head) = parsed else { return Ok(false) };
                self.accept_response(head);
            }
        }
        Ok(true)
    }

    fn accept_request(&mut self, head: RequestHead) {
        let request = Request {
            method: head.method_span.of(&self.input).to_vec(),
            target: head.target.raw.of(&self.input).to_vec(),
            authority: head.authority.map(|span| span.of(&self.input).to_vec()),
            version: head.version,
            fields: self.fields(),
            body: head.body,
            keep_alive: head.keep_alive,
        };
        self.events.push(Event::Request(request));
        let keep_alive = head.keep_alive && head.method != Method::Connect;
        self.begin_body(
            head.len,
            Stage::Body { decoder: BodyDecoder::new(head.body), keep_alive, interim: false },
        );
    }

    fn accept_response(&mut self, head: ResponseHead) {
        let response = Response {
            status: head.status,
            reason: head.reason.of(&self.input).to_vec(),
            version: head.version,
            fields: self.fields(),
            body: head.body,
            keep_alive: head.keep_alive,
        };
        self.events.push(Event::Response(response));
        let interim = head.kind == ResponseKind::Interim;
        let keep_alive = head.keep_alive && head.kind != ResponseKind::SwitchProtocols;
        self.begin_body(head.len, Stage::Body { decoder: BodyDecoder::new(head.body), keep_alive, interim });
    }

    fn begin_body(&mut self, used: usize, stage: Stage) {
        self.input.drain(..used);
        self.stage = stage;
    }

    fn body(&mut self) -> Result<bool, DecodeError> {
        let Stage::Body { decoder, keep_alive, interim } = &mut self.stage else { return Ok(false) };
        let mut at = 0;
        let event = decoder.next(&self.input, &mut at, &self.limits)?;
        match event {
            BodyEvent::Data(range) => {
                let payload = self.input.get(range).unwrap_or_default();
                match self.events.last_mut() {
                    Some(Event::Data(joined)) => joined.extend_from_slice(payload),
                    _ => self.events.push(Event::Data(payload.to_vec())),
                }
            }
            BodyEvent::Trailers(range) => {
                let section = self.input.get(range).unwrap_or_default();
                let fields = TrailerFields::new(section).map(|(name, value)| (name.to_vec(), value.to_vec()));
                self.events.push(Event::Trailers(fields.collect()));
            }
            BodyEvent::NeedMore => {
                self.input.drain(..at);
                return Ok(false);
            }
            BodyEvent::End => {
                let goes_on = *keep_alive || *interim;
                if !*interim {
                    self.events.push(Event::End);
                }
                self.stage = if goes_on { Stage::Head } else { Stage::Over };
                if !goes_on {
                    self.events.push(Event::Stop);
                }
            }
        }
        self.input.drain(..at);
        Ok(true)
    }

    fn fields(&self) -> Vec<Field> {
        let own = |field: &meshloom_wire::http1::Header| {
            (field.name.of(&self.input).to_ascii_lowercase(), field.value.of(&self.input).to_vec())
        };
        self.headers.iter().map(own).collect()
    }
}
