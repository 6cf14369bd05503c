//! HPACK (RFC 7541): field sections to bytes and back.

mod decode;
mod dynamic_table;
mod encode;
mod huffman;
mod huffman_code;
mod integer;
mod static_table;

pub use decode::{Decoder, FieldSink, HpackError};
pub use encode::Encoder;
