//! Why bytes were refused.

use thiserror::Error;

/// What was wrong with a peer's message. After any of these the connection cannot be read further: close it.
///
/// `at` counts bytes from the start of the slice that was parsed. From a server every one of these is a 502; from a
/// client it is [`DecodeError::status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    #[error("byte {at}: not a method (a token and one space)")]
    InvalidMethod { at: usize },
    #[error("method is not one of the registered ones")]
    UnknownMethod,
    #[error("byte {at}: not allowed in a request target")]
    InvalidTarget { at: usize },
    #[error("request target's scheme is neither http nor https")]
    InvalidScheme,
    #[error("byte {at}: not an HTTP version")]
    InvalidVersion { at: usize },
    #[error("HTTP version is neither 1.0 nor 1.1")]
    UnsupportedVersion,
    #[error("byte {at}: not a status line")]
    InvalidStatusLine { at: usize },
    #[error("byte {at}: a line must end in CR LF, and neither may stand alone")]
    InvalidLineEnding { at: usize },
    #[error("byte {at}: not allowed in a field name")]
    InvalidFieldName { at: usize },
    #[error("byte {at}: white space before the colon of a field")]
    SpaceBeforeColon { at: usize },
    #[error("byte {at}: a field starts with white space (obsolete line folding)")]
    ObsoleteFold { at: usize },
    #[error("byte {at}: not allowed in a field value")]
    InvalidFieldValue { at: usize },
    #[error("request line is longer than a head may be ({limit} bytes)")]
    RequestLineTooLong { limit: u32 },
    #[error("head is longer than {limit} bytes")]
    HeadTooLarge { limit: u32 },
    #[error("head has more than {limit} fields")]
    TooManyFields { limit: u16 },
    #[error("HTTP/1.1 request without Host")]
    MissingHost,
    #[error("more than one Host")]
    DuplicateHost,
    #[error("Host or authority is not host[:port]")]
    InvalidHost,
    #[error("Content-Length is not one decimal number below 2^63")]
    InvalidContentLength,
    #[error("more than one Content-Length")]
    DuplicateContentLength,
    #[error("both Content-Length and Transfer-Encoding")]
    LengthWithTransferEncoding,
    #[error("Transfer-Encoding is not a list of codings")]
    InvalidTransferEncoding,
    #[error("Transfer-Encoding is not exactly `chunked`")]
    UnsupportedTransferEncoding,
    #[error("Transfer-Encoding in an HTTP/1.0 message")]
    TransferEncodingInHttp10,
    #[error("Content-Length in a CONNECT request")]
    LengthNotAllowed,
    #[error("Transfer-Encoding in a CONNECT request")]
    TransferEncodingNotAllowed,
    #[error("Connection is not a list of tokens, or names more than {limit} fields")]
    InvalidConnection { limit: usize },
    #[error("Expect is not 100-continue")]
    UnknownExpectation,
    #[error("byte {at}: not a chunk size (hexadecimal digits, then CR LF or an extension)")]
    InvalidChunkSize { at: usize },
    #[error("chunk size does not fit 63 bits")]
    ChunkTooLarge,
    #[error("byte {at}: not allowed in a chunk extension")]
    InvalidChunkExtension { at: usize },
    #[error("byte {at}: a chunk's payload must be followed by CR LF")]
    InvalidChunkEnd { at: usize },
    #[error("chunk framing exceeds its payload by more than {limit} bytes")]
    ChunkOverhead { limit: u32 },
    #[error("trailer section is longer than {limit} bytes")]
    TrailersTooLarge { limit: u32 },
    #[error("the connection ended before the body did")]
    Truncated,
}

impl DecodeError {
    /// The status that a server answers with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::RequestLineTooLong { .. } => 414,
            Self::UnknownExpectation => 417,
            Self::HeadTooLarge { .. } | Self::TooManyFields { .. } | Self::TrailersTooLarge { .. } => 431,
            Self::UnsupportedTransferEncoding => 501,
            Self::UnsupportedVersion => 505,
            _ => 400,
        }
    }

    /// The response code detail for the access log: Envoy's name for the same fault, where it has one.
    #[must_use]
    pub const fn details(self) -> &'static str {
        match self {
            Self::RequestLineTooLong { .. } | Self::HeadTooLarge { .. } | Self::TrailersTooLarge { .. } => {
                "http1.headers_too_large"
            }
            Self::TooManyFields { .. } => "http1.too_many_headers",
            Self::InvalidFieldName { .. } | Self::InvalidFieldValue { .. } => "http1.invalid_characters",
            Self::InvalidTarget { .. } => "http1.invalid_url",
            Self::InvalidScheme => "http1.invalid_scheme",
            Self::InvalidHost | Self::MissingHost | Self::DuplicateHost => "http1.invalid_host",
            Self::InvalidContentLength | Self::DuplicateContentLength => "http1.invalid_content_length",
            Self::LengthWithTransferEncoding => "http1.content_length_and_chunked_not_allowed",
            Self::InvalidTransferEncoding | Self::UnsupportedTransferEncoding => {
                "http1.invalid_transfer_encoding"
            }
            Self::TransferEncodingInHttp10 | Self::TransferEncodingNotAllowed => {
                "http1.transfer_encoding_not_allowed"
            }
            Self::LengthNotAllowed => "http1.content_length_not_allowed",
            Self::InvalidConnection { .. } => "http1.connection_header_rejected",
            _ => "http1.codec_error",
        }
    }
}
