//! HTTP/1.1 (RFC 9110, RFC 9112) for a proxy: both roles, strict, and without allocation per request.
//!
//! # Why strict
//!
//! A proxy stands between two other parsers. Every freedom that one of them takes and the other does not (a lone LF
//! as a line end, a second Content-Length, a space before the colon) lets an attacker put a second request where the
//! other side sees a body. So a head has exactly one reading here or it is refused, and what goes out is written
//! anew from what was understood, never copied as framing. Where RFC 9112 lets a recipient be lenient, this codec is
//! not, but for one thing: a single empty line before a request line is skipped (RFC 9112 2.2).
//!
//! # How it is used
//!
//! ```text
//!             read buffer                        what the engine gets
//!   ┌────────────────────────────┐
//!   │ POST /a?b HTTP/1.1\r\n      │ RequestParser::parse ─► RequestHead (Copy) + Headers (spans into the buffer)
//!   │ Host: shop\r\n ... \r\n\r\n  │
//!   ├────────────────────────────┤
//!   │ 5\r\nhello\r\n0\r\n\r\n      │ BodyDecoder::next ────► Data(range), Trailers(range), End
//!   ├────────────────────────────┤
//!   │ GET /next HTTP/1.1\r\n ...  │ (pipelined: the next head starts where `End` left the cursor)
//!   └────────────────────────────┘
//! ```
//!
//! * A head is parsed from one contiguous slice that starts at its first byte. `Ok(None)` asks for more bytes behind
//!   the same ones; the parser goes on at the line where it stopped.
//! * Header fields are [`Span`]s into that slice. [`Headers`] is storage of the caller's, reused for each message.
//!   Names that a proxy cares about carry a [`KnownHeader`], so finding them is an array access.
//! * Bodies are ranges of payload in the caller's buffer. Chunk framing is consumed, never forwarded.
//! * However the input is cut, the results are the same.
//! * Every length that the peer controls has a named limit in [`Limits`].
//! * [`DecodeError`] says what was wrong and where, which status answers it, and the detail for the access log.
//! * [`HeadWriter`], [`ChunkHead`] write the other direction.
//!
//! # What the caller still owes
//!
//! Close the connection after any error; never send bytes upstream before the head was accepted; treat bytes that
//! arrive on an idle upstream connection as a reason to close it; answer what the codec only reports
//! ([`RequestHead::expect_continue`], [`RequestHead::upgrade`], HTTP/1.0).

mod body;
pub(crate) mod chars;
mod chunked;
mod connection;
mod encode;
mod error;
pub(crate) mod fields;
pub(crate) mod framing;
mod headers;
pub(crate) mod host;
mod known;
mod limits;
mod method;
mod progress;
mod reason;
mod request;
mod request_line;
mod response;
pub(crate) mod scan;
mod span;
mod status_line;
mod target;
mod trailers;
mod version;
mod window;

pub use body::{BodyDecoder, BodyEvent};
pub use encode::{CHUNK_END, ChunkHead, HeadWriter, InvalidField, LAST_CHUNK, LAST_CHUNK_HEAD};
pub use error::DecodeError;
pub use framing::BodyLength;
pub use headers::{Header, Headers, Scope};
pub use host::is_valid as is_authority;
pub use known::KnownHeader;
pub use limits::Limits;
pub use method::Method;
pub use reason::reason_phrase;
pub use request::{RequestHead, RequestParser};
pub use response::{ResponseHead, ResponseKind, ResponseParser};
pub use span::Span;
pub use target::{Target, TargetForm};
pub use trailers::TrailerFields;
pub use version::Version;
