//! Fields of protobuf messages that are too small for generated code.

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content<'b> {
    Number(u64),
    Bytes(&'b [u8]),
    /// 32 or 64 bits, which nobody here looks at.
    Fixed,
}

/// Takes the next field off the front: its number and its content. `None` where the bytes are no message.
pub(crate) fn next_field<'b>(bytes: &mut &'b [u8]) -> Option<(u64, Content<'b>)> {
    let key = varint(bytes)?;
    let content = match key & 7 {
        0 => Content::Number(varint(bytes)?),
        1 => {
            *bytes = bytes.get(8..)?;
            Content::Fixed
        }
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            let (content, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            Content::Bytes(content)
        }
        5 => {
            *bytes = bytes.get(4..)?;
            Content::Fixed
        }
        _ => return None,
    };
    (key >> 3 != 0).then_some((key >> 3, content))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut bytes: &[u8]) -> Option<Vec<(u64, Content<'_>)>> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            found.push(next_field(&mut bytes)?);
        }
        Some(found)
    }

    #[test]
    fn every_kind_of_field_is_read() {
        let message = b"\x08\xac\x02\x12\x02hi\x1d1234\x2112345678";
        let (number, text) = ((1, Content::Number(300)), (2, Content::Bytes(b"hi")));
        assert_eq!(all(message), Some(vec![number, text, (3, Content::Fixed), (4, Content::Fixed)]));
    }

    #[test]
    fn what_is_cut_short_or_no_field_is_refused() {
        for broken in [&b"\x08"[..], b"\x12\x03hi", b"\x1d123", b"\x21", b"\x00\x01", b"\x0b", &[0xff; 11]] {
            assert_eq!(all(broken), None, "{broken:?}");
        }
    }
}
