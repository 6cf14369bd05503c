use super::{Comparison, JsonObject, JsonValue, LogFormat};
use crate::template::{Command, Piece, Template, Values};

struct Known;

impl Values for Known {
    fn write(&self, command: &Command, out: &mut Vec<u8>) -> bool {
        match command {
            Command::ResponseCode => out.extend_from_slice(b"503"),
            Command::RouteName => out.extend_from_slice(b"a\"\n\x01\xff"),
            _ => return false,
        }
        true
    }
}

fn value(text: &str) -> JsonValue {
    match Template::parse(text).unwrap().pieces() {
        [Piece::Value(placeholder)] => JsonValue::Value(placeholder.clone()),
        _ => JsonValue::Text(Template::parse(text).unwrap()),
    }
}

fn line(omit_empty: bool) -> String {
    let inner =
        JsonObject([("gone".into(), value("%PROTOCOL%")), ("code".into(), value("%RESPONSE_CODE%"))].into());
    let items = [JsonValue::Literal("true".into()), value("%RESPONSE_CODE%/%PROTOCOL%")];
    let object = JsonObject(
        [
            ("in".into(), JsonValue::Object(inner)),
            ("list".into(), JsonValue::List(items.into())),
            ("name".into(), value("%ROUTE_NAME%")),
        ]
        .into(),
    );
    let mut out = Vec::new();
    LogFormat::Json { object, omit_empty }.render(&Known, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn json_keeps_numbers_and_marks_what_is_missing() {
    assert_eq!(
        line(false),
        "{\"in\":{\"gone\":null,\"code\":503},\"list\":[true,\"503/-\"],\"name\":\"a\\\"\\n\\u0001\\u00ff\"}\n"
    );
}

#[test]
fn json_leaves_out_what_is_missing_when_asked_to() {
    assert!(line(true).starts_with("{\"in\":{\"code\":503},\"list\":[true,\"503/\"]"));
}

#[test]
fn numbers_are_compared() {
    assert!(Comparison::AtLeast(500).matches(503));
    assert!(!Comparison::AtMost(500).matches(503));
    assert!(Comparison::NotEqual(500).matches(503));
    assert!(!Comparison::Equal(500).matches(503));
}
