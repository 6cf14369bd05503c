//! The catalogue of odd and hostile responses.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use meshloom_wire::http1::{
    BodyLength, DecodeError, Headers, Limits, Method, ResponseHead, ResponseKind, ResponseParser, Version,
};

fn parse_for(method: Method, head: &[u8]) -> Result<ResponseHead, DecodeError> {
    let parsed = ResponseParser::new().parse(head, method, &mut Headers::new(), &Limits::default())?;
    Ok(parsed.unwrap_or_else(|| panic!("incomplete: {}", head.escape_ascii())))
}

fn accepted(head: impl AsRef<[u8]>) -> ResponseHead {
    parse_for(Method::Get, head.as_ref()).unwrap_or_else(|e| panic!("{e}: {}", head.as_ref().escape_ascii()))
}

fn refused(head: impl AsRef<[u8]>) -> DecodeError {
    match parse_for(Method::Get, head.as_ref()) {
        Err(error) => error,
        Ok(_) => panic!("accepted: {}", head.as_ref().escape_ascii()),
    }
}

fn with_lines(lines: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n")
}

#[test]
fn status_lines_have_a_version_three_digits_and_maybe_a_reason() {
    for (line, status, reason) in [
        ("HTTP/1.1 200 OK", 200, "OK"),
        ("HTTP/1.1 200 ", 200, ""),
        ("HTTP/1.1 200", 200, ""),
        ("HTTP/1.0 404 Not\tFound", 404, "Not\tFound"),
        ("HTTP/1.1 299 \u{e9}t\u{e9}", 299, "\u{e9}t\u{e9}"),
        ("HTTP/1.1 600 x", 600, "x"),
        ("HTTP/1.1 999 x", 999, "x"),
        ("HTTP/1.1 200  two", 200, " two"),
    ] {
        let head = format!("{line}\r\n\r\n");
        let parsed = accepted(&head);
        assert_eq!((parsed.status, parsed.reason.of(head.as_bytes())), (status, reason.as_bytes()), "{line}");
    }
}

#[test]
fn other_status_lines_are_refused() {
    let lines: [&[u8]; 26] = [
        b"HTTP/1.1",
        b"HTTP/1.1 ",
        b"HTTP/1.1 20",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 20x OK",
        b"HTTP/1.1 020 OK",
        b"HTTP/1.1 +20 OK",
        b"HTTP/1.1 -20 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1\t200 OK",
        b"HTTP/1.1 200\tOK",
        b"HTTP/1.1 200-OK",
        b"HTTP/1.1200 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/0.9 200 OK",
        b"http/1.1 200 OK",
        b"HTTP/1 200 OK",
        b"HTTP/11 200 OK",
        b"ICY 200 OK",
        b" HTTP/1.1 200 OK",
        b"200 OK",
        b"<html>",
        b"HTTP/1.1 200 O\0K",
        b"HTTP/1.1 200 O\x7fK",
        b"HTTP/1.1 000 OK",
    ];
    for line in lines {
        refused([line, b"\r\n\r\n"].concat());
    }
    for head in [
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\r\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 O\rK\r\n\r\n",
    ] {
        refused(head);
    }
}

#[test]
fn field_lines_are_as_strict_as_in_requests() {
    for line in ["X : v", " X: v", "X: a\r\n b", "X", ": v", "X: a\nY: b", "X: a\rb", "X: a\0b", "X: \x01"] {
        refused(with_lines(&format!("{line}\r\n")));
    }
}

#[test]
fn the_body_s_length_follows_the_rules_in_their_order() {
    let length = |method, status: u16, lines: &str| {
        parse_for(method, format!("HTTP/1.1 {status} x\r\n{lines}\r\n").as_bytes()).unwrap().body
    };
    const CL: &str = "Content-Length: 5\r\n";
    const TE: &str = "Transfer-Encoding: chunked\r\n";
    assert_eq!(length(Method::Get, 200, CL), BodyLength::Length(5));
    assert_eq!(length(Method::Get, 200, TE), BodyLength::Chunked);
    assert_eq!(length(Method::Get, 200, ""), BodyLength::UntilClose);
    assert_eq!(length(Method::Get, 500, ""), BodyLength::UntilClose);
    for lines in [CL, TE, ""] {
        assert_eq!(length(Method::Head, 200, lines), BodyLength::None);
        assert_eq!(length(Method::Connect, 200, lines), BodyLength::None);
        for status in [100, 101, 103, 199, 204, 304] {
            assert_eq!(length(Method::Get, status, lines), BodyLength::None, "{status}");
        }
    }
    assert_eq!(length(Method::Connect, 403, CL), BodyLength::Length(5));
    assert_eq!(parse_for(Method::Head, with_lines(CL).as_bytes()).unwrap().content_length, Some(5));
}

#[test]
fn transfer_encoding_overrules_a_length_and_ends_the_connection() {
    let head = accepted(with_lines("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"));
    assert_eq!((head.body, head.content_length, head.keep_alive), (BodyLength::Chunked, None, false));
}

#[test]
fn bad_framing_is_refused() {
    for (lines, error) in [
        ("Content-Length: 5\r\nContent-Length: 5\r\n", DecodeError::DuplicateContentLength),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", DecodeError::DuplicateContentLength),
        ("Content-Length: 5, 5\r\n", DecodeError::InvalidContentLength),
        ("Content-Length: +5\r\n", DecodeError::InvalidContentLength),
        ("Content-Length: \r\n", DecodeError::InvalidContentLength),
        ("Content-Length: 18446744073709551616\r\n", DecodeError::InvalidContentLength),
        ("Transfer-Encoding: gzip\r\n", DecodeError::UnsupportedTransferEncoding),
        ("Transfer-Encoding: gzip, chunked\r\n", DecodeError::UnsupportedTransferEncoding),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            DecodeError::UnsupportedTransferEncoding,
        ),
        ("Transfer-Encoding: \r\n", DecodeError::InvalidTransferEncoding),
    ] {
        assert_eq!(refused(with_lines(lines)), error, "{lines:?}");
    }
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(refused(old), DecodeError::TransferEncodingInHttp10);
}

#[test]
fn a_connection_persists_only_when_the_next_response_can_be_told_from_this_one() {
    let persists = |head: &str| accepted(head).keep_alive;
    assert!(persists("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert!(persists("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert!(!persists("HTTP/1.1 200 OK\r\n\r\n"));
    assert!(!persists("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
    assert!(!persists("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert!(persists("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"));
    assert!(persists("HTTP/1.1 204 x\r\n\r\n"));
    assert!(persists("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n"));
    assert!(!persists("HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n"), "the server may send five bytes");
    assert!(!persists("HTTP/1.1 100 x\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert_eq!(accepted("HTTP/1.0 200 OK\r\n\r\n").version, Version::Http10);
}

#[test]
fn kinds_tell_interim_heads_from_the_answer() {
    for (status, kind) in [
        (100, ResponseKind::Interim),
        (101, ResponseKind::SwitchProtocols),
        (102, ResponseKind::Interim),
        (199, ResponseKind::Interim),
        (200, ResponseKind::Final),
        (599, ResponseKind::Final),
    ] {
        assert_eq!(accepted(format!("HTTP/1.1 {status} x\r\n\r\n")).kind, kind);
    }
    let switch = "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(accepted(switch).upgrade.unwrap().of(switch.as_bytes()), b"websocket");
}

#[test]
fn endless_heads_are_cut() {
    let refused_at = |head: String| refused(head).status();
    assert_eq!(refused_at(with_lines(&"X: y\r\n".repeat(1_000))), 431);
    assert_eq!(refused_at(with_lines(&format!("X: {}\r\n", "y".repeat(5_000_000)))), 431);
    assert_eq!(refused_at(format!("HTTP/1.1 200 {}\r\n\r\n", "y".repeat(5_000_000))), 431);
}
