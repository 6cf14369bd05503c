//! Rendering of JSON log lines.

use super::{JsonObject, JsonValue};
use crate::template::{Placeholder, Template, Values};

pub(super) fn object(object: &JsonObject, values: &impl Values, omit_empty: bool, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    for (key, item) in &*object.0 {
        let start = out.len();
        if !first {
            out.push(b',');
        }
        string(key.as_bytes(), out);
        out.push(b':');
        if value(item, values, omit_empty, out) {
            first = false;
        } else {
            out.truncate(start);
        }
    }
    out.push(b'}');
}

/// Appends a value; `false` when it is missing and to be left out.
fn value(item: &JsonValue, values: &impl Values, omit_empty: bool, out: &mut Vec<u8>) -> bool {
    match item {
        JsonValue::Value(value) => return placeholder(value, values, omit_empty, out),
        JsonValue::Text(template) => text(template, values, omit_empty, out),
        JsonValue::Literal(literal) => out.extend_from_slice(literal.as_bytes()),
        JsonValue::Object(inner) => object(inner, values, omit_empty, out),
        JsonValue::List(items) => list(items, values, omit_empty, out),
    }
    true
}

fn placeholder(placeholder: &Placeholder, values: &impl Values, omit_empty: bool, out: &mut Vec<u8>) -> bool {
    let mut raw = Vec::new();
    match placeholder.render(values, &mut raw) {
        true if placeholder.command.is_number() => out.extend_from_slice(&raw),
        true => string(&raw, out),
        false if omit_empty => return false,
        false => out.extend_from_slice(b"null"),
    }
    true
}

fn text(template: &Template, values: &impl Values, omit_empty: bool, out: &mut Vec<u8>) {
    let mut raw = Vec::new();
    template.render(values, if omit_empty { "" } else { "-" }, &mut raw);
    string(&raw, out);
}

fn list(items: &[JsonValue], values: &impl Values, omit_empty: bool, out: &mut Vec<u8>) {
    out.push(b'[');
    let mut first = true;
    for item in items {
        let start = out.len();
        if !first {
            out.push(b',');
        }
        if value(item, values, omit_empty, out) {
            first = false;
        } else {
            out.truncate(start);
        }
    }
    out.push(b']');
}

/// A JSON string. Of a text that is not UTF-8 each byte is a character (ISO 8859-1), as in Envoy's logs.
fn string(raw: &[u8], out: &mut Vec<u8>) {
    let foreign = std::str::from_utf8(raw).is_err();
    out.push(b'"');
    for byte in raw {
        match byte {
            b'"' => out.extend_from_slice(br#"\""#),
            b'\\' => out.extend_from_slice(br"\\"),
            b'\n' => out.extend_from_slice(br"\n"),
            b'\r' => out.extend_from_slice(br"\r"),
            b'\t' => out.extend_from_slice(br"\t"),
            0..0x20 => escaped(*byte, out),
            0x80.. if foreign => escaped(*byte, out),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}

fn escaped(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
    out.extend_from_slice(b"\\u00");
    out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
}
