//! The protobuf wire format, as far as the walker needs it.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// One field as it stands in the bytes.
pub(crate) struct RawField<'b> {
    pub(crate) number: u32,
    /// The content, for a length-delimited field; empty for any other.
    pub(crate) content: &'b [u8],
}

/// The bytes are no protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Takes the next field off the front of `bytes`.
pub(crate) fn next<'b>(bytes: &mut &'b [u8]) -> Result<RawField<'b>, Malformed> {
    let (number, wire_type) = decode_key(bytes).map_err(|_| Malformed)?;
    if wire_type != WireType::LengthDelimited {
        skip_field(wire_type, number, bytes, DecodeContext::default()).map_err(|_| Malformed)?;
        return Ok(RawField { number, content: &[] });
    }
    let len = decode_varint(bytes).map_err(|_| Malformed)?;
    let len = usize::try_from(len).map_err(|_| Malformed)?;
    let (content, rest) = bytes.split_at_checked(len).ok_or(Malformed)?;
    *bytes = rest;
    Ok(RawField { number, content })
}
