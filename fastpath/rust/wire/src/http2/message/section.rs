//! The fields of one block, as they come.

use super::pseudo::Pseudo;
use super::{request, response, trailers};
use crate::http1::fields::is_framing_in_disguise;
use crate::http1::{KnownHeader, Span, chars, scan};
use crate::http2::{FieldSink, Head, StreamFault};

/// What a field block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http2) enum Use {
    Request {
        allow_connect: bool,
    },
    Response,
    Trailers,
    /// It belongs to a stream that takes no fields; it is decoded for the tables' sake.
    Nothing,
}

/// What became of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http2) enum Verdict {
    Valid,
    TooLarge,
    Malformed(StreamFault),
}

/// What a section may cost.
#[derive(Clone, Copy, Debug)]
pub(in crate::http2) struct Limits {
    /// Names and values, decoded.
    pub(in crate::http2) bytes: usize,
    /// Fields, pseudo-fields not among them.
    pub(in crate::http2) fields: usize,
}

/// Collects the fields of one block into a [`Head`].
pub(in crate::http2) struct Section<'h> {
    head: &'h mut Head,
    for_what: Use,
    limits: Limits,
    bytes: usize,
    fields: usize,
    pseudo: Pseudo,
    fault: Option<StreamFault>,
}

impl<'h> Section<'h> {
    pub(in crate::http2) fn new(head: &'h mut Head, for_what: Use, limits: Limits) -> Self {
        head.begin();
        Self { head, for_what, limits, bytes: 0, fields: 0, pseudo: Pseudo::default(), fault: None }
    }

    /// Judges the whole. After anything but `Valid` the head is empty.
    pub(in crate::http2) fn finish(self) -> Verdict {
        let is_large = self.bytes > self.limits.bytes || self.fields > self.limits.fields;
        let checked = match (self.fault, self.for_what) {
            // Over the limits, what is missing proves nothing.
            _ if is_large => Ok(()),
            (Some(fault), _) => Err(fault),
            (None, Use::Request { allow_connect }) => request::accept(self.head, &self.pseudo, allow_connect),
            (None, Use::Response) => response::accept(self.head, &self.pseudo),
            (None, Use::Trailers | Use::Nothing) => Ok(()),
        };
        if is_large || checked.is_err() {
            self.head.clear();
        }
        match checked {
            Err(fault) => Verdict::Malformed(fault),
            Ok(()) if is_large => Verdict::TooLarge,
            Ok(()) => Verdict::Valid,
        }
    }

    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), StreamFault> {
        if !is_value(value) {
            return Err(StreamFault::InvalidFieldValue);
        }
        if self.for_what == Use::Trailers {
            return trailers::take(self.head, name, value);
        }
        if name.first() == Some(&b':') {
            // All of them come first (RFC 9113 8.3).
            if self.fields > 0 {
                return Err(StreamFault::InvalidPseudoField);
            }
            let value = store(&mut self.head.bytes, value);
            return self.pseudo.set(name, value);
        }
        self.ordinary(name, value)
    }

    fn ordinary(&mut self, name: &[u8], value: &[u8]) -> Result<(), StreamFault> {
        let id = name_id(name)?;
        check_connection_specific(id, value)?;
        let Head { bytes, headers, crumbs, .. } = &mut *self.head;
        if id == Some(KnownHeader::Cookie) && headers.contains(KnownHeader::Cookie) {
            crumbs.push(store(bytes, value));
            return Ok(());
        }
        headers.push(store(bytes, name), store(bytes, value), id);
        Ok(())
    }
}

impl FieldSink for Section<'_> {
    #[inline]
    fn field(&mut self, name: &[u8], value: &[u8]) {
        self.bytes = self.bytes.saturating_add(name.len() + value.len());
        let is_pseudo = name.first() == Some(&b':');
        if !is_pseudo {
            self.fields = self.fields.saturating_add(1);
        }
        let is_large = self.bytes > self.limits.bytes || self.fields > self.limits.fields;
        if is_large || self.fault.is_some() || self.for_what == Use::Nothing {
            return;
        }
        self.fault = self.take(name, value).err();
    }
}

/// What the name is. Names are tokens in lower case (RFC 9113 8.2.1), and none that frames a message for those behind CGI.
#[inline]
pub(super) fn name_id(name: &[u8]) -> Result<Option<KnownHeader>, StreamFault> {
    match KnownHeader::from_name(name) {
        Some(id) if id.name().as_bytes() == name => Ok(Some(id)),
        None if is_framing_in_disguise(name) => Err(StreamFault::ConnectionSpecificField),
        None if !name.is_empty() && name.iter().all(|byte| chars::is_lower_token(*byte)) => Ok(None),
        _ => Err(StreamFault::InvalidFieldName),
    }
}

/// RFC 9113 8.2.2: what concerns one HTTP/1 connection has no place here, but for `te: trailers`.
#[inline]
pub(super) fn check_connection_specific(id: Option<KnownHeader>, value: &[u8]) -> Result<(), StreamFault> {
    match id {
        Some(KnownHeader::Te) if value.eq_ignore_ascii_case(b"trailers") => Ok(()),
        Some(KnownHeader::Te) => Err(StreamFault::InvalidTe),
        Some(id) if id.is_hop_by_hop() => Err(StreamFault::ConnectionSpecificField),
        _ => Ok(()),
    }
}

/// No control bytes, and no white space at either end (RFC 9113 8.2.1).
#[inline]
fn is_value(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !is_blank(value.first()) && !is_blank(value.last()) && scan::value_end(value, 0) == value.len()
}

#[inline]
fn store(bytes: &mut Vec<u8>, text: &[u8]) -> Span {
    let start = bytes.len();
    bytes.extend_from_slice(text);
    Span::between(start, bytes.len())
}
