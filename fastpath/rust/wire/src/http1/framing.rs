//! How long the body is (RFC 9112 6.3).

use super::{DecodeError, Headers, KnownHeader, Version};

/// How a message's body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none, and none was announced.
    None,
    /// So many bytes; zero when the message says `Content-Length: 0`.
    Length(u64),
    Chunked,
    /// Everything up to the end of the connection. Responses only.
    UntilClose,
}

impl BodyLength {
    /// The same body's framing towards a peer of `version`: what HTTP/1.0 cannot say becomes a closed connection, and
    /// what need not close the connection becomes chunks.
    #[must_use]
    pub fn towards(self, version: Version) -> Self {
        match (self, version) {
            (Self::Chunked, Version::Http10) => Self::UntilClose,
            (Self::UntilClose, Version::Http11) => Self::Chunked,
            (same, _) => same,
        }
    }
}

/// What the two framing fields of a head say, before the rules of its role are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) content_length: Option<u64>,
    pub(crate) chunked: bool,
}

impl Declared {
    #[inline]
    pub(crate) fn read(buf: &[u8], headers: &Headers, version: Version) -> Result<Self, DecodeError> {
        let content_length = match headers.value(KnownHeader::ContentLength, buf) {
            None => None,
            Some(_) if headers.is_repeated(KnownHeader::ContentLength) => {
                return Err(DecodeError::DuplicateContentLength);
            }
            Some(value) => Some(decimal(value).ok_or(DecodeError::InvalidContentLength)?),
        };
        let chunked = headers.contains(KnownHeader::TransferEncoding);
        if chunked {
            check_transfer_encoding(buf, headers, version)?;
        }
        Ok(Self { content_length, chunked })
    }
}

/// Only `chunked`, once, is understood. Anything more would have to be decoded to find the end of the message.
fn check_transfer_encoding(buf: &[u8], headers: &Headers, version: Version) -> Result<(), DecodeError> {
    let value = headers.value(KnownHeader::TransferEncoding, buf).unwrap_or_default();
    if version == Version::Http10 {
        return Err(DecodeError::TransferEncodingInHttp10);
    }
    if !value.eq_ignore_ascii_case(b"chunked") {
        let is_list = !value.is_empty() && value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
        return Err(match is_list {
            true => DecodeError::UnsupportedTransferEncoding,
            false => DecodeError::InvalidTransferEncoding,
        });
    }
    if headers.is_repeated(KnownHeader::TransferEncoding) {
        return Err(DecodeError::UnsupportedTransferEncoding);
    }
    Ok(())
}

/// `1*DIGIT`, below 2^63 so that no peer can read it as a negative number.
pub(crate) fn decimal(value: &[u8]) -> Option<u64> {
    let sum = value.iter().try_fold(0u64, |sum, byte| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })?;
    (!value.is_empty() && sum <= i64::MAX as u64).then_some(sum)
}
