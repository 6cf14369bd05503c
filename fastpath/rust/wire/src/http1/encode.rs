//! Writing heads and chunk framing.

use thiserror::Error;

use super::{BodyLength, Version, chars, reason_phrase, scan};

/// Ends the payload of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// Ends a chunked body that has no trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// Ends the chunks of a body; trailer fields and an empty line follow.
pub const LAST_CHUNK_HEAD: &[u8] = b"0\r\n";

/// A name or a value that cannot stand in a head without changing what the head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidField {
    #[error("field name is not a token")]
    Name,
    #[error("field value has a control character at byte {at}")]
    Value { at: usize },
}

/// Appends one head, or the trailer section of a body, to a buffer.
///
/// What it writes is well-formed by construction: [`HeadWriter::field`] checks, and [`HeadWriter::copy`] is for names
/// and values that a parser of this crate accepted. Framing fields come from [`HeadWriter::framing`] alone.
#[derive(Debug)]
pub struct HeadWriter<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> HeadWriter<'o> {
    /// `method` is taken from a parsed head. `target` may also be what a rewrite made of one: a byte that may not stand in
    /// a target is percent-encoded, since a space would end it early and make the rest something else.
    pub fn request(out: &'o mut Vec<u8>, method: &[u8], target: &[u8], version: Version) -> Self {
        out.extend_from_slice(method);
        out.push(b' ');
        push_target(out, target);
        out.push(b' ');
        out.extend_from_slice(version.as_str().as_bytes());
        out.extend_from_slice(b"\r\n");
        Self { out }
    }

    /// The reason phrase is the registered one: an upstream's own is not worth a byte, and HTTP/2 has none.
    pub fn response(out: &'o mut Vec<u8>, version: Version, status: u16) -> Self {
        Self::response_with_reason(out, version, status, reason_phrase(status).as_bytes())
    }

    /// As [`HeadWriter::response`], with a reason phrase that a parser of this crate accepted.
    pub fn response_with_reason(out: &'o mut Vec<u8>, version: Version, status: u16, reason: &[u8]) -> Self {
        out.extend_from_slice(version.as_str().as_bytes());
        out.push(b' ');
        push_decimal(out, u64::from(status));
        out.push(b' ');
        out.extend_from_slice(reason);
        out.extend_from_slice(b"\r\n");
        Self { out }
    }

    /// Trailer fields, after [`LAST_CHUNK_HEAD`].
    pub fn trailers(out: &'o mut Vec<u8>) -> Self {
        Self { out }
    }

    /// A field that was parsed by this crate, or whose bytes are constants.
    #[inline]
    pub fn copy(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        self.out.reserve(name.len() + value.len() + 4);
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// As [`HeadWriter::copy`], with the name in lower case, as Envoy sends it.
    #[inline]
    pub fn copy_lowercase(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        let start = self.out.len();
        self.copy(name, value);
        if let Some(written) = self.out.get_mut(start..start + name.len()) {
            written.make_ascii_lowercase();
        }
        self
    }

    /// A field from anywhere else: configuration, certificates, formatted values. Writes nothing on error.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<&mut Self, InvalidField> {
        if name.is_empty() || !name.iter().all(|byte| chars::is_token(*byte)) {
            return Err(InvalidField::Name);
        }
        match scan::value_end(value, 0) {
            end if end == value.len() => Ok(self.copy(name, value)),
            at => Err(InvalidField::Value { at }),
        }
    }

    /// A field with a number.
    pub fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        push_decimal(self.out, value);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// The field that says where the body ends; none for `None` and `UntilClose`. For a response to HEAD, or a 304, pass
    /// on the length that the upstream announced.
    pub fn framing(&mut self, body: BodyLength) -> &mut Self {
        match body {
            BodyLength::Length(length) => self.number("content-length", length),
            BodyLength::Chunked => self.copy(b"transfer-encoding", b"chunked"),
            BodyLength::None | BodyLength::UntilClose => self,
        }
    }

    /// The empty line.
    pub fn end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// The line before a chunk's payload, on the stack, for a gathering write: head, payload, [`CHUNK_END`].
#[derive(Clone, Copy, Debug)]
pub struct ChunkHead {
    bytes: [u8; Self::CAPACITY],
    start: u8,
}

impl ChunkHead {
    const CAPACITY: usize = 18;

    /// `len` must not be zero: that would end the body.
    #[must_use]
    pub fn new(len: usize) -> Self {
        debug_assert!(len > 0, "an empty chunk ends the body");
        let mut bytes = [b'\n'; Self::CAPACITY];
        let mut left = len as u64;
        let mut start = Self::CAPACITY;
        for (index, slot) in bytes.iter_mut().enumerate().rev().skip(1) {
            *slot = match index {
                16 => b'\r',
                _ => hex_digit(left & 0xf),
            };
            start = index;
            if index < 16 {
                left >>= 4;
                if left == 0 {
                    break;
                }
            }
        }
        Self { bytes, start: start as u8 }
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(usize::from(self.start)..).unwrap_or_default()
    }
}

fn push_target(out: &mut Vec<u8>, target: &[u8]) {
    if scan::target_end(target, 0) == target.len() {
        return out.extend_from_slice(target);
    }
    for byte in target.iter().copied() {
        match chars::is_target(byte) {
            true => out.push(byte),
            false => out.extend([b'%', upper_hex(byte >> 4), upper_hex(byte & 0xf)]),
        }
    }
}

/// Percent escapes are written in upper case (RFC 3986 2.1).
const fn upper_hex(nibble: u8) -> u8 {
    hex_digit(nibble as u64).to_ascii_uppercase()
}

const fn hex_digit(nibble: u64) -> u8 {
    match nibble as u8 {
        digit @ 0..=9 => b'0' + digit,
        letter => b'a' + letter - 10,
    }
}

fn push_decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    for (index, slot) in digits.iter_mut().enumerate().rev() {
        *slot = b'0' + (value % 10) as u8;
        start = index;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}
