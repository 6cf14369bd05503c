//! `google.protobuf.Struct` on the wire: as much as Istio's peer metadata needs, strings and structs of strings.

use crate::util::{Content, next_field};

/// A field of a struct.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Struct(Vec<(String, Value)>),
}

/// Deepest nesting that is read.
const MAX_DEPTH: u32 = 4;

/// Reads a serialized Struct. Values of other kinds are left out; `None` when the bytes are broken.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<(String, Value)>> {
    fields(bytes, MAX_DEPTH)
}

fn fields(mut bytes: &[u8], depth: u32) -> Option<Vec<(String, Value)>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        if let (1, Content::Bytes(entry)) = next_field(&mut bytes)? {
            out.extend(map_entry(entry, depth)?);
        }
    }
    Some(out)
}

fn map_entry(mut entry: &[u8], depth: u32) -> Option<Option<(String, Value)>> {
    let (mut key, mut value) = (String::new(), None);
    while !entry.is_empty() {
        match next_field(&mut entry)? {
            (1, Content::Bytes(content)) => key = String::from_utf8(content.to_vec()).ok()?,
            (2, Content::Bytes(content)) => value = one(content, depth)?,
            _ => {}
        }
    }
    Some(value.map(|value| (key, value)))
}

fn one(mut bytes: &[u8], depth: u32) -> Option<Option<Value>> {
    let mut value = None;
    while !bytes.is_empty() {
        match next_field(&mut bytes)? {
            (3, Content::Bytes(content)) => {
                value = Some(Value::Text(String::from_utf8(content.to_vec()).ok()?))
            }
            (5, Content::Bytes(content)) if depth > 0 => {
                value = Some(Value::Struct(fields(content, depth - 1)?))
            }
            _ => {}
        }
    }
    Some(value)
}

/// Serializes a Struct.
pub(crate) fn encode(fields: &[(String, Value)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in fields {
        let value = match value {
            Value::Text(text) => delimited(3, text.as_bytes()),
            Value::Struct(fields) => delimited(5, &encode(fields)),
        };
        let entry = [delimited(1, key.as_bytes()), delimited(2, &value)].concat();
        out.extend_from_slice(&delimited(1, &entry));
    }
    out
}

fn delimited(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut len = content.len();
    while len >= 0x80 {
        out.push(u8::try_from(len & 0x7f).unwrap_or_default() | 0x80);
        len >>= 7;
    }
    out.push(u8::try_from(len).unwrap_or_default());
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let fields = vec![
            ("NAME".to_owned(), Value::Text("x".repeat(300))),
            ("LABELS".to_owned(), Value::Struct(vec![("app".to_owned(), Value::Text("shop".to_owned()))])),
        ];
        let bytes = encode(&fields);
        assert_eq!(decode(&bytes), Some(fields));
        for end in 1..bytes.len() {
            let _ = decode(&bytes[..end]);
        }
        assert_eq!(decode(&[0x0a, 0xff]), None);
    }
}
