//! Header fields: those that were received, as spans, and the changes made to them.

use std::borrow::Cow;
use std::ops::Range;

use meshloom_wire::http1::{Header, Headers, KnownHeader, Scope};

#[derive(Clone, Debug)]
struct Added {
    name: Range<usize>,
    value: Range<usize>,
    id: Option<KnownHeader>,
}

/// The fields of one head. Its storage is reused from message to message, so filling it allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// The head as it was received, then everything that was added.
    bytes: Vec<u8>,
    received: Headers,
    /// Per received field: it was taken away.
    removed: Vec<bool>,
    added: Vec<Added>,
    /// Known names whose fields are not simply what was received.
    changed: u128,
}

/// Fields that Envoy joins into one value as it reads them. Of all others each line stands for itself.
const JOINED: u128 = set(&[
    KnownHeader::Accept,
    KnownHeader::AcceptEncoding,
    KnownHeader::AccessControlRequestHeaders,
    KnownHeader::AccessControlRequestMethod,
    KnownHeader::Authorization,
    KnownHeader::CacheControl,
    KnownHeader::ContentEncoding,
    KnownHeader::ContentType,
    KnownHeader::GrpcAcceptEncoding,
    KnownHeader::GrpcTimeout,
    KnownHeader::IfMatch,
    KnownHeader::IfModifiedSince,
    KnownHeader::IfNoneMatch,
    KnownHeader::IfRange,
    KnownHeader::IfUnmodifiedSince,
    KnownHeader::Origin,
    KnownHeader::Pragma,
    KnownHeader::Referer,
    KnownHeader::UserAgent,
    KnownHeader::Via,
    KnownHeader::XClientTraceId,
    KnownHeader::XEnvoyAttemptCount,
    KnownHeader::XEnvoyDecoratorOperation,
    KnownHeader::XEnvoyDownstreamServiceCluster,
    KnownHeader::XEnvoyDownstreamServiceNode,
    KnownHeader::XEnvoyExternalAddress,
    KnownHeader::XEnvoyIsTimeoutRetry,
    KnownHeader::XEnvoyOriginalHost,
    KnownHeader::XEnvoyOriginalPath,
    KnownHeader::XForwardedClientCert,
    KnownHeader::XForwardedFor,
    KnownHeader::XForwardedHost,
    KnownHeader::XForwardedPort,
    KnownHeader::XForwardedProto,
    KnownHeader::XRequestId,
]);

const fn bit(id: KnownHeader) -> u128 {
    1 << id as u8
}

const fn set(mut ids: &[KnownHeader]) -> u128 {
    let mut bits = 0;
    while let [id, rest @ ..] = ids {
        bits |= bit(*id);
        ids = rest;
    }
    bits
}

impl Fields {
    /// Forgets everything; keeps the storage.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.received.clear();
        self.removed.clear();
        self.added.clear();
        self.changed = 0;
    }

    /// Takes over a parsed head: a copy of its bytes, and its fields by swapping storage with the parser.
    pub(crate) fn load(&mut self, head: &[u8], parsed: &mut Headers) {
        self.clear();
        self.bytes.extend_from_slice(head);
        std::mem::swap(&mut self.received, parsed);
        self.removed.resize(self.received.len(), false);
    }

    /// Puts text behind the head, to be pointed at.
    pub(crate) fn store(&mut self, text: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text);
        start..self.bytes.len()
    }

    pub(crate) fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    /// The value of the first field of this name.
    #[inline]
    pub(crate) fn get(&self, id: KnownHeader) -> Option<&[u8]> {
        if self.changed & bit(id) == 0 {
            return self.received.value(id, &self.bytes);
        }
        self.live_received()
            .find(|field| field.id == Some(id))
            .map(|field| field.value.of(&self.bytes))
            .or_else(|| {
                self.added.iter().find(|field| field.id == Some(id)).map(|field| self.slice(&field.value))
            })
    }

    #[inline]
    pub(crate) fn contains(&self, id: KnownHeader) -> bool {
        if self.changed & bit(id) == 0 { self.received.contains(id) } else { self.get(id).is_some() }
    }

    /// The value of a lower-case name: the first line's, or all of them where lines of this name are joined.
    pub(crate) fn value<'f>(&'f self, name: &str) -> Option<Cow<'f, [u8]>> {
        if Self::joins(name) { self.joined(name) } else { self.values(name).next().map(Cow::Borrowed) }
    }

    /// Are several lines of this lower-case name one value?
    pub(crate) fn joins(name: &str) -> bool {
        KnownHeader::from_name(name.as_bytes()).is_some_and(|id| JOINED & bit(id) != 0)
    }

    /// The values of all fields of a lower-case name, joined by commas; empty ones add nothing.
    pub(crate) fn joined<'f>(&'f self, name: &str) -> Option<Cow<'f, [u8]>> {
        if let Some(id) = KnownHeader::from_name(name.as_bytes()) {
            if self.changed & bit(id) == 0 && !self.received.is_repeated(id) {
                return self.received.value(id, &self.bytes).map(Cow::Borrowed);
            }
        }
        let mut joined: Option<Cow<'_, [u8]>> = None;
        for value in self.values(name) {
            match &mut joined {
                Some(_) if value.is_empty() => {}
                None => joined = Some(Cow::Borrowed(value)),
                Some(text) if text.is_empty() => *text = Cow::Borrowed(value),
                Some(text) => {
                    let text = text.to_mut();
                    text.push(b',');
                    text.extend_from_slice(value);
                }
            }
        }
        joined
    }

    /// One list of what came in several lines of a name, of a connection's own fields too.
    pub(crate) fn received_list(&self, id: KnownHeader) -> Option<Vec<u8>> {
        if !self.received.is_repeated(id) {
            return None;
        }
        let lines = self.received.iter().filter(|field| field.id == Some(id));
        let values: Vec<&[u8]> = lines.map(|field| field.value.of(&self.bytes)).collect();
        Some(values.join(&b", "[..]))
    }

    /// The values of all fields of a lower-case name, in order.
    pub(crate) fn values<'f, 'n>(&'f self, name: &'n str) -> impl Iterator<Item = &'f [u8]> + use<'f, 'n> {
        let id = KnownHeader::from_name(name.as_bytes());
        let is_it = move |field_id: Option<KnownHeader>, field_name: &[u8]| match id {
            Some(_) => field_id == id,
            None => field_id.is_none() && field_name.eq_ignore_ascii_case(name.as_bytes()),
        };
        let received = self
            .live_received()
            .filter(move |field| is_it(field.id, field.name.of(&self.bytes)))
            .map(|field| field.value.of(&self.bytes));
        let added = self
            .added
            .iter()
            .filter(move |field| is_it(field.id, self.slice(&field.name)))
            .map(|field| self.slice(&field.value));
        received.chain(added)
    }

    /// The names of all fields that were received, those for this connection and those taken away too.
    pub(crate) fn received_names(&self) -> impl Iterator<Item = &[u8]> {
        self.received.iter().map(|field| field.name.of(&self.bytes))
    }

    fn live_received(&self) -> impl Iterator<Item = &Header> {
        // Only what is forwarded counts as a header; Host and Content-Length are written anew by the encoder, but may
        // be asked for.
        self.received
            .iter()
            .zip(&self.removed)
            .filter(|(field, removed)| !**removed && field.scope != Scope::HopByHop)
            .map(|(field, _)| field)
    }

    /// Takes all fields of a known name away.
    #[inline]
    pub(crate) fn remove(&mut self, id: KnownHeader) {
        if self.contains(id) {
            self.take_away(Some(id), id.name().as_bytes());
        }
    }

    /// Takes all fields of a lower-case name away.
    pub(crate) fn remove_name(&mut self, name: &str) {
        self.take_away(KnownHeader::from_name(name.as_bytes()), name.as_bytes());
    }

    /// As [`Self::remove_name`], for a name that is seldom there.
    pub(crate) fn remove_unknown(&mut self, name: &str) {
        if self.values(name).next().is_some() {
            self.remove_name(name);
        }
    }

    fn take_away(&mut self, id: Option<KnownHeader>, name: &[u8]) {
        let Self { bytes, received, removed, added, changed } = self;
        for (field, removed) in received.iter().zip(removed.iter_mut()) {
            let same = match id {
                Some(_) => field.id == id,
                None => field.id.is_none() && field.name.of(bytes).eq_ignore_ascii_case(name),
            };
            *removed |= same;
        }
        added.retain(|field| match id {
            Some(_) => field.id != id,
            None => field.id.is_some() || bytes.get(field.name.clone()) != Some(name),
        });
        if let Some(id) = id {
            *changed |= bit(id);
        }
    }

    /// Replaces all fields of this name by one.
    #[inline]
    pub(crate) fn set(&mut self, id: KnownHeader, value: &[u8]) {
        self.remove(id);
        self.add(id, value);
    }

    /// Adds one more field.
    #[inline]
    pub(crate) fn add(&mut self, id: KnownHeader, value: &[u8]) {
        let name = self.store(id.name().as_bytes());
        let value = self.store(value);
        self.changed |= bit(id);
        self.added.push(Added { name, value, id: Some(id) });
    }

    /// Adds one more field with a number.
    pub(crate) fn add_number(&mut self, id: KnownHeader, value: u64) {
        let name = self.store(id.name().as_bytes());
        let start = self.bytes.len();
        crate::util::push_number(&mut self.bytes, value);
        self.changed |= bit(id);
        self.added.push(Added { name, value: start..self.bytes.len(), id: Some(id) });
    }

    /// Adds one more field of a lower-case name. The value must be one that may stand in a head.
    pub(crate) fn add_name(&mut self, name: &str, value: &[u8]) {
        let id = KnownHeader::from_name(name.as_bytes());
        let name = self.store(name.as_bytes());
        let value = self.store(value);
        if let Some(id) = id {
            self.changed |= bit(id);
        }
        self.added.push(Added { name, value, id });
    }

    /// Bytes of the names and values that are to be sent.
    pub(crate) fn forwarded_bytes(&self) -> u64 {
        self.forwarded().map(|(name, value)| (name.len() + value.len()) as u64).sum()
    }

    /// What is to be sent, in order: without hop-by-hop fields and those that the encoder writes itself.
    pub(crate) fn forwarded(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let received = self
            .received
            .iter()
            .zip(&self.removed)
            .filter(|(field, removed)| !**removed && field.scope == Scope::EndToEnd)
            .map(|(field, _)| (field.name.of(&self.bytes), field.value.of(&self.bytes)));
        let added = self.added.iter().map(|field| (self.slice(&field.name), self.slice(&field.value)));
        received.chain(added)
    }
}

#[cfg(test)]
impl Fields {
    /// Those of a request's head, as received.
    pub(crate) fn received(head: &str) -> Self {
        use meshloom_wire::http1::{Limits, RequestParser};
        let mut headers = Headers::new();
        RequestParser::new()
            .parse(head.as_bytes(), &mut headers, &Limits::default())
            .expect("valid")
            .expect("complete");
        let mut fields = Self::default();
        fields.load(head.as_bytes(), &mut headers);
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(fields: &Fields) -> Vec<String> {
        fields.forwarded().map(|(name, _)| String::from_utf8_lossy(name).to_ascii_lowercase()).collect()
    }

    #[test]
    fn several_lines_of_one_name_are_joined() {
        let fields = Fields::received("GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nAccept: c\r\n\r\n");
        assert_eq!(fields.joined("x-a").as_deref(), Some(&b"1,2"[..]));
        assert_eq!(fields.joined("accept").as_deref(), Some(&b"c"[..]));
        assert_eq!(fields.joined("x-b"), None);
    }

    #[test]
    fn set_replaces_every_line() {
        let mut fields =
            Fields::received("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: 1\r\nX-Request-Id: 2\r\n\r\n");
        fields.set(KnownHeader::XRequestId, b"3");
        assert_eq!(fields.get(KnownHeader::XRequestId), Some(&b"3"[..]));
        assert_eq!(names(&fields), ["x-request-id"]);
        fields.remove(KnownHeader::XRequestId);
        assert_eq!(fields.get(KnownHeader::XRequestId), None);
    }

    #[test]
    fn hop_by_hop_fields_are_not_forwarded() {
        let fields =
            Fields::received("GET / HTTP/1.1\r\nHost: a\r\nConnection: x-a\r\nX-A: 1\r\nX-B: 2\r\n\r\n");
        assert_eq!(names(&fields), ["x-b"]);
        assert_eq!(fields.joined("x-a"), None);
    }

    #[test]
    fn unknown_names_are_removed_in_any_case() {
        let mut fields = Fields::received("GET / HTTP/1.1\r\nHost: a\r\nX-Odd: 1\r\n\r\n");
        fields.add_name("x-odd", b"2");
        assert_eq!(fields.joined("x-odd").as_deref(), Some(&b"1,2"[..]));
        fields.remove_name("x-odd");
        assert_eq!(names(&fields), [""; 0]);
    }
}
