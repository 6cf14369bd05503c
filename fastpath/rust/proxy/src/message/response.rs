//! A response on its way back.

use std::borrow::Cow;
use std::ops::Range;

use meshloom_model::header_case::PreserveCase;
use meshloom_wire::http1::{BodyLength, Headers, ResponseHead, reason_phrase};
use meshloom_wire::http2::Head;

use super::{Fields, Protocol, request::framing_bytes};

/// The head of a response: as the upstream sent it, or made here.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) fields: Fields,
    pub(crate) status: u16,
    pub(crate) version: Protocol,
    pub(crate) body: BodyLength,
    /// What Content-Length said, which a response to HEAD passes on.
    pub(crate) announced: Option<u64>,
    pub(crate) head_len: usize,
    /// The protocol that the upstream switches to.
    pub(crate) upgrade: Option<Range<usize>>,
    /// Names of its fields go on as they came.
    pub(crate) preserve: Option<PreserveCase>,
    reason: Range<usize>,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            fields: Fields::default(),
            status: 0,
            version: Protocol::Http11,
            body: BodyLength::None,
            announced: None,
            head_len: 0,
            upgrade: None,
            preserve: None,
            reason: 0..0,
        }
    }
}

impl Response {
    /// Takes over a head that was parsed from `bytes`, and with `preserve` how it was spelled.
    pub(crate) fn load(
        &mut self,
        head: &ResponseHead,
        bytes: &[u8],
        parsed: &mut Headers,
        preserve: Option<PreserveCase>,
    ) {
        self.fields.load(bytes, parsed);
        self.status = head.status;
        self.version = head.version.into();
        self.body = head.body;
        self.announced = head.content_length;
        self.head_len = head.len;
        self.upgrade = head.upgrade.map(|span| span.range());
        self.preserve = preserve;
        self.reason = head.reason.range();
    }

    /// Takes over a head that came over HTTP/2; `end` when nothing follows.
    pub(crate) fn load_http2(&mut self, head: &mut Head, end: bool) {
        self.fields.load(&head.bytes, &mut head.headers);
        self.status = head.status;
        self.version = Protocol::Http2;
        self.announced = head.content_length;
        self.body = match (end, head.content_length) {
            (true, _) => BodyLength::None,
            (false, Some(length)) => BodyLength::Length(length),
            (false, None) => BodyLength::Chunked,
        };
        self.head_len = head.bytes.len();
        self.upgrade = None;
        self.preserve = None;
    }

    /// Begins a response of our own.
    pub(crate) fn make(&mut self, status: u16, body: BodyLength) {
        self.fields.clear();
        self.status = status;
        self.version = Protocol::Http11;
        self.body = body;
        self.announced = None;
        self.head_len = 0;
        self.upgrade = None;
        self.preserve = None;
    }

    /// What its status is called.
    pub(crate) fn reason(&self) -> &[u8] {
        let received = match self.preserve {
            Some(PreserveCase { reason_phrase: true, .. }) => self.fields.slice(&self.reason).trim_ascii(),
            _ => b"",
        };
        if received.is_empty() { reason_phrase(self.status).as_bytes() } else { received }
    }

    /// Turns an agreement into the answer 101 that it means.
    pub(crate) fn switch_to(&mut self, protocol: &[u8]) {
        self.status = 101;
        self.upgrade = Some(self.fields.store(protocol));
    }

    /// The protocol that the upstream switches to.
    pub(crate) fn upgrade_protocol(&self) -> Option<&[u8]> {
        self.upgrade.as_ref().map(|range| self.fields.slice(range))
    }

    /// What its fields take as names and values, `:status` included.
    pub(crate) fn headers_bytes(&self) -> u64 {
        const STATUS: u64 = ":status200".len() as u64;
        let framing = match self.announced {
            Some(length) => BodyLength::Length(length),
            None => self.body,
        };
        STATUS + self.fields.forwarded_bytes() + framing_bytes(framing)
    }

    /// A header's value; `:status` counts as one.
    pub(crate) fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match (name, self.announced) {
            (":status", _) => Some(Cow::Owned(self.status.to_string().into_bytes())),
            ("content-length", Some(length)) => Some(Cow::Owned(length.to_string().into_bytes())),
            _ => self.fields.value(name),
        }
    }
}
