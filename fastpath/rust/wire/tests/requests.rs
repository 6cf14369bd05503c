//! The catalogue of hostile and odd requests: what is refused, with which status, and what is understood.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use meshloom_wire::http1::{
    BodyLength, DecodeError, Headers, KnownHeader, Limits, Method, RequestHead, RequestParser, TargetForm,
    Version,
};

fn parse_with(head: &[u8], limits: &Limits) -> Result<(RequestHead, Headers), DecodeError> {
    let mut headers = Headers::new();
    let parsed = RequestParser::new().parse(head, &mut headers, limits)?;
    Ok((parsed.unwrap_or_else(|| panic!("incomplete: {}", head.escape_ascii())), headers))
}

fn parse(head: impl AsRef<[u8]>) -> Result<(RequestHead, Headers), DecodeError> {
    parse_with(head.as_ref(), &Limits::default())
}

fn accepted(head: impl AsRef<[u8]>) -> RequestHead {
    parse(head.as_ref()).unwrap_or_else(|e| panic!("{e}: {}", head.as_ref().escape_ascii())).0
}

/// The status that refuses `head`.
fn refused(head: impl AsRef<[u8]>) -> u16 {
    match parse(head.as_ref()) {
        Err(error) => error.status(),
        Ok(_) => panic!("accepted: {}", head.as_ref().escape_ascii()),
    }
}

/// A GET with one more field line, which may be any bytes.
fn with_line(line: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nHost: a\r\n", line.as_ref(), b"\r\n\r\n"].concat()
}

fn with_request_line(line: impl AsRef<[u8]>) -> Vec<u8> {
    [line.as_ref(), b"\r\nHost: a\r\n\r\n"].concat()
}

#[test]
fn length_and_transfer_encoding_together_are_refused_in_either_order() {
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
        "Content-Length: x\r\nTransfer-Encoding: chunked",
    ] {
        assert_eq!(refused(with_line(lines)), 400, "{lines}");
    }
}

#[test]
fn only_exactly_chunked_is_a_transfer_encoding() {
    let values: [&[u8]; 36] = [
        b"xchunked",
        b"chunkedx",
        b"chunked, identity",
        b"identity",
        b"identity, chunked",
        b"cow",
        b"\"chunked\"",
        b"'chunked'",
        b"\x0bchunked",
        b"chunked\x0b",
        b"\x0cchunked",
        b"chunked\x0c",
        b"\0chunked",
        b"chunked\0",
        b"\xa0chunked",
        b"chunked\xa0",
        b"\x85chunked",
        b"chunked\x85",
        b"\xffchunked",
        b"chunked\xff",
        b"\rchunked",
        b"chunked\r",
        b"\nchunked",
        b"chunked\n",
        b"chunked\r\r",
        b"chunkedchunked",
        b"chunked chunked",
        b"chunked;q=1",
        b"chunked,",
        b",chunked",
        b"chunked, chunked",
        b"gzip",
        b"gzip, chunked",
        b"deflate",
        b"",
        b",",
    ];
    for value in values {
        let status = refused(with_line([b"Transfer-Encoding: ", value].concat()));
        assert!(status == 400 || status == 501, "{status} {}", value.escape_ascii());
    }
    for value in ["chunked", "Chunked", "CHUNKED", " \tchunked\t "] {
        let head = accepted(with_line(format!("Transfer-Encoding:{value}")));
        assert_eq!(head.body, BodyLength::Chunked, "{value:?}");
    }
}

#[test]
fn a_second_transfer_encoding_or_one_in_http_1_0_is_refused() {
    assert_eq!(refused(with_line("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")), 501);
    assert_eq!(refused(with_line("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity")), 501);
    assert_eq!(refused(with_line("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked")), 501);
    assert_eq!(refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

#[test]
fn a_disguised_transfer_encoding_is_refused() {
    let lines: [&[u8]; 14] = [
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding\t: chunked",
        b"Transfer-Encoding\x0b: chunked",
        b"Transfer-Encoding\0: chunked",
        b"Transfer-Encoding\x85: chunked",
        b"Transfer Encoding: chunked",
        b"Transfer-\rEncoding: chunked",
        b"Transfer-\r\nEncoding: chunked",
        b" Transfer-Encoding: chunked",
        b"X: x\nTransfer-Encoding: chunked",
        b"X: x\rTransfer-Encoding: chunked",
        b"X: x\r\rTransfer-Encoding: chunked",
        b"X: x\0Transfer-Encoding: chunked",
        b"X: x\n\rTransfer-Encoding: y",
    ];
    for line in lines {
        assert_eq!(refused(with_line(line)), 400, "{}", line.escape_ascii());
    }
}

#[test]
fn a_content_length_is_decimal_digits_below_two_to_the_63rd() {
    let values = [
        "+5",
        "-5",
        "-0",
        "0x5",
        "5 5",
        "5_0",
        "1e1",
        "5.0",
        "",
        "5,6",
        "5,",
        ",5",
        "5, 5",
        "5;",
        "'5'",
        "\"5\"",
        "٥",
        "５",
        "5\x0b",
        "\x0c5",
        "5\0",
        "5\t5",
        "a",
        "9223372036854775808",
        "9223372036854775813",
        "18446744073709551621",
        "99999999999999999999999999999999",
    ];
    for value in values {
        assert_eq!(refused(with_line(format!("Content-Length: {value}"))), 400, "{value:?}");
    }
    for (value, length) in [
        ("0", 0),
        ("5", 5),
        ("0005", 5),
        ("4294967301", 4_294_967_301),
        ("9223372036854775807", i64::MAX as u64),
    ] {
        assert_eq!(accepted(with_line(format!("Content-Length: {value}"))).body, BodyLength::Length(length));
    }
}

#[test]
fn a_second_content_length_is_refused_even_if_it_says_the_same() {
    for (one, other) in [("5", "5"), ("5", "6"), ("0", "5"), ("5", "0"), ("", "5"), ("5", "")] {
        assert_eq!(refused(with_line(format!("Content-Length: {one}\r\nContent-Length: {other}"))), 400);
    }
    assert_eq!(refused(with_line("Content-Length: 5\r\ncontent-length: 5")), 400);
}

#[test]
fn an_empty_port_is_lawful_and_goes() {
    for (line, host, want) in
        [("/", "a:", "a"), ("/", "[::1]:", "[::1]"), ("http://b:/x", "a", "b"), ("http://b:?x", "a:", "b")]
    {
        let bytes = format!("GET {line} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let head = accepted(&bytes);
        assert_eq!(head.authority.unwrap().of(bytes.as_bytes()), want.as_bytes(), "{bytes:?}");
    }
    assert_eq!(refused("CONNECT a: HTTP/1.1\r\nHost: a:\r\n\r\n"), 400);
}

#[test]
fn framing_fields_in_disguise_are_refused() {
    for name in ["Transfer_Encoding", "transfer_ENCODING", "Content_Length", "content_length"] {
        assert_eq!(refused(with_line(format!("{name}: chunked"))), 400, "{name}");
    }
    accepted(with_line("Transfer_Encoding_: x"));
    accepted(with_line("X_Content_Length: x"));
}

#[test]
fn host_is_there_once_and_well_formed() {
    assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(refused(with_line("Host: a")), 400);
    assert_eq!(refused(with_line("HOST: b")), 400);
    let hosts = [
        "", "u@a", "u:p@a", "a/b", "a:abc", "a:80:90", "a::", ":", ":80", "[::1", "::1", "[::1]x", "a b",
        "a\tb", "a,b", "a?b", "a#b", "a\\b", "a:-1", "a:+80", "a:70000", "http://a", "a%00", "é",
    ];
    for host in hosts {
        assert_eq!(refused(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), 400, "{host:?}");
    }
    assert_eq!(refused(b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n"), 400);
    assert_eq!(refused(b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"), 400);
    for host in ["a", "a:80", "a.b.c", "127.0.0.1", "[::1]:8080", "outbound_.80_._.reviews.default"] {
        let head = format!("GET / HTTP/1.1\r\nHost:{host} \r\n\r\n");
        assert_eq!(accepted(&head).authority.unwrap().of(head.as_bytes()), host.as_bytes());
    }
}

#[test]
fn http_1_0_may_do_without_host_but_not_with_a_bad_one() {
    assert_eq!(accepted("GET / HTTP/1.0\r\n\r\n").authority, None);
    assert_eq!(refused("GET / HTTP/1.0\r\nHost: a b\r\n\r\n"), 400);
    assert_eq!(refused("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
}

#[test]
fn an_absolute_target_s_authority_replaces_host() {
    let request = b"GET http://shop:8080/a/b?c=d HTTP/1.1\r\nHost: other\r\n\r\n";
    let head = accepted(request);
    assert_eq!(head.authority.unwrap().of(request), b"shop:8080");
    assert_eq!(head.target.form, TargetForm::Absolute);
    assert_eq!(head.target.path(request), b"/a/b");
    assert_eq!(head.target.path_and_query(request), Some(&b"/a/b?c=d"[..]));
    assert_eq!(head.target.https, Some(false));
    assert_eq!(refused("GET http://shop/ HTTP/1.1\r\nHost: a b\r\n\r\n"), 400, "Host is judged all the same");
    assert_eq!(refused("GET http://shop/ HTTP/1.1\r\n\r\n"), 400);
}

#[test]
fn targets_are_taken_apart() {
    for (target, path, query) in [
        ("/", "/", None),
        ("/a?", "/a", Some("")),
        ("/a?b?c", "/a", Some("b?c")),
        ("//evil/x", "//evil/x", None),
        ("/a|\"<>^`{}\\", "/a|\"<>^`{}\\", None),
        ("http://h", "/", None),
        ("HTTPS://h?x", "/", Some("x")),
        ("http://h/?x", "/", Some("x")),
    ] {
        let request = with_request_line(format!("GET {target} HTTP/1.1"));
        let head = accepted(&request);
        assert_eq!(head.target.path(&request), path.as_bytes(), "{target}");
        assert_eq!(head.target.query.map(|span| span.of(&request)), query.map(str::as_bytes), "{target}");
    }
    assert_eq!(accepted(with_request_line("OPTIONS * HTTP/1.1")).target.form, TargetForm::Asterisk);
    assert_eq!(accepted(with_request_line("CONNECT a:443 HTTP/1.1")).target.form, TargetForm::Authority);
}

#[test]
fn other_targets_are_refused() {
    let targets: [&[u8]; 27] = [
        b"",
        b"*",
        b"a",
        b"a/b",
        b"a:80",
        b"?x",
        b"http:/a",
        b"http:a",
        b"http://",
        b"http:///x",
        b"http://u@a/",
        b"ftp://a/",
        b"file:///etc",
        b"javascript://a",
        b"://a",
        b"/a#b",
        b"/#",
        b"/a\0b",
        b"/a\x01",
        b"/a\x7f",
        b"/\x80",
        b"/\xc3\xa9",
        b"/a\tb",
        b"/a b",
        b"/a\rb",
        b"/a\nb",
        b"http://a#b",
    ];
    for target in targets {
        let status = refused(with_request_line([b"GET ", target, b" HTTP/1.1"].concat()));
        assert_eq!(status, 400, "{}", target.escape_ascii());
    }
    assert_eq!(refused(with_request_line("OPTIONS ** HTTP/1.1")), 400);
    for target in ["/", "a", "http://a:80/", "*", "a:443/", "u@a:443"] {
        assert_eq!(refused(with_request_line(format!("CONNECT {target} HTTP/1.1"))), 400, "{target}");
    }
}

#[test]
fn methods_are_registered_tokens_in_their_own_case() {
    let methods: [&[u8]; 16] = [
        b"",
        b" GET",
        b"GET ",
        b"G ET",
        b"GET\t",
        b"G\0ET",
        b"G(T",
        b"\"GET\"",
        b"G\x80T",
        b"GET\x7f",
        b"get",
        b"Get",
        b"FOO",
        b"GETX",
        b"\x16\x03\x01",
        b"{",
    ];
    for method in methods {
        assert_eq!(
            refused(with_request_line([method, b" / HTTP/1.1"].concat())),
            400,
            "{}",
            method.escape_ascii()
        );
    }
    for method in [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "DELETE",
        "OPTIONS",
        "TRACE",
        "PATCH",
        "PROPFIND",
        "M-SEARCH",
        "UNSUBSCRIBE",
    ] {
        accepted(with_request_line(format!("{method} / HTTP/1.1")));
    }
    let limits = Limits { extension_methods: true, ..Limits::default() };
    let (head, _) = parse_with(&with_request_line("FOO / HTTP/1.1"), &limits).unwrap();
    assert_eq!(head.method, Method::Other);
}

#[test]
fn versions_are_1_0_and_1_1() {
    for version in ["HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTTP/1.9", "HTTP/3.0", "HTTP/0.0"] {
        assert_eq!(refused(with_request_line(format!("GET / {version}"))), 505, "{version}");
    }
    let malformed = [
        "",
        "HTTP",
        "HTTP/",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/11",
        "HTTP/1.11",
        "HTTP/01.1",
        "HTTP/1.1 ",
        "http/1.1",
        "HTTP/1,1",
        " HTTP/1.1",
        "HTTP/-1.1",
        "HTTP/1.x",
        "HTTPS/1.1",
        "HTTP/1.1x",
        "ICY/1.1",
        "HTTP /1.1",
        "HTTP/1.1\t",
    ];
    for version in malformed {
        assert_eq!(refused(with_request_line(format!("GET / {version}"))), 400, "{version:?}");
    }
    assert_eq!(refused("GET /\r\nHost: a\r\n\r\n"), 400, "HTTP/0.9");
    assert_eq!(refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
    assert_eq!(accepted(with_request_line("GET / HTTP/1.0")).version, Version::Http10);
}

#[test]
fn one_empty_line_before_a_request_is_skipped_and_no_more() {
    let head = accepted("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.len, 29);
    assert_eq!(refused("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_eq!(refused("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_eq!(refused("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

#[test]
fn field_names_are_tokens_followed_by_the_colon() {
    for byte in 0..=u8::MAX {
        let is_token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        // A colon in the name ends it, so what follows is a value.
        if is_token || byte == b':' {
            accepted(with_line([b"X", &[byte][..], b"Y: v"].concat()));
        } else {
            assert_eq!(refused(with_line([b"X", &[byte][..], b"Y: v"].concat())), 400, "{byte:#04x}");
        }
    }
    for line in [": v", "X", "X : v", "X\t: v", " X: v", "\tX: v", "X v", "=: v", "\"X\": v"] {
        assert_eq!(refused(with_line(line)), 400, "{line:?}");
    }
}

#[test]
fn field_values_have_no_control_characters_but_tab() {
    for byte in 0..=u8::MAX {
        let line = [b"X: a", &[byte][..], b"b"].concat();
        if byte == b'\t' || (byte >= b' ' && byte != 0x7f) {
            accepted(with_line(line));
        } else {
            assert_eq!(refused(with_line(line)), 400, "{byte:#04x}");
        }
    }
}

#[test]
fn lines_end_in_cr_lf_and_are_never_folded() {
    for request in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\rHost: a\r\r",
        "GET / HTTP/1.1\r\nHost: a\r\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\rZ",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX:\r\n c\r\n\r\n",
    ] {
        assert_eq!(refused(request), 400, "{request:?}");
    }
}

#[test]
fn too_much_is_refused_by_what_there_is_too_much_of() {
    let huge = "a".repeat(5_000_000);
    assert_eq!(refused(format!("GET /{huge} HTTP/1.1\r\nHost: a\r\n\r\n")), 414);
    assert_eq!(refused(&huge), 414);
    assert_eq!(refused(with_line(format!("X: {huge}"))), 431);
    assert_eq!(refused(with_line(format!("{}: x", &huge[..70_000]))), 431);
    assert_eq!(refused(with_line("X: y\r\n".repeat(100_000))), 431);
    let line = format!("X: {}\r\n", &huge[..15_000]);
    assert_eq!(refused(with_line(line.repeat(10))), 431);
    accepted(with_line(format!("{}: x", &huge[..300])));
    accepted(with_line(vec!["X: y"; 99].join("\r\n")));
    assert_eq!(refused(with_line(vec!["X: y"; 100].join("\r\n"))), 431);
}

#[test]
fn limits_are_met_exactly() {
    let line = "GET /abc HTTP/1.1\r\n";
    let request = format!("{line}Host: a\r\n\r\n");
    let head_bytes = request.len() as u32;
    let exact = Limits { head_bytes, fields: 1, ..Limits::default() };
    parse_with(request.as_bytes(), &exact).unwrap();
    let error = |limits| parse_with(request.as_bytes(), &limits).map(|_| ()).unwrap_err();
    let shorter_line = line.len() as u32 - 1;
    assert_eq!(
        error(Limits { head_bytes: shorter_line, ..exact }),
        DecodeError::RequestLineTooLong { limit: shorter_line }
    );
    assert_eq!(
        error(Limits { head_bytes: head_bytes - 1, ..exact }),
        DecodeError::HeadTooLarge { limit: head_bytes - 1 }
    );
    assert_eq!(error(Limits { fields: 0, ..exact }), DecodeError::TooManyFields { limit: 0 });
}

#[test]
fn a_line_may_fill_the_head() {
    accepted(with_line(format!("X: {}", "y".repeat(60_000))));
    accepted(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(60_000)));
    assert_eq!(Limits::with_head(60 * 1024, 100), Limits::default());
}

#[test]
fn connection_decides_persistence() {
    let persists = |version: &str, line: &str| {
        accepted(format!("GET / HTTP/{version}\r\nHost: a\r\n{line}\r\n")).keep_alive
    };
    assert!(persists("1.1", ""));
    assert!(persists("1.1", "Connection: keep-alive\r\n"));
    assert!(!persists("1.1", "Connection: close\r\n"));
    assert!(!persists("1.1", "Connection: Close, keep-alive\r\n"));
    assert!(!persists("1.1", "Connection: keep-alive\r\nConnection: x, CLOSE\r\n"));
    assert!(!persists("1.0", ""));
    assert!(persists("1.0", "Connection: Keep-Alive\r\n"));
    assert!(!persists("1.0", "Connection: keep-alive, close\r\n"));
    assert!(persists("1.1", "Proxy-Connection: close\r\n"), "that one means nothing");
}

#[test]
fn nominated_fields_are_for_this_hop_only_but_what_proxies_rely_on_stays() {
    let request = with_line(
        "Connection: x-Secret, host, content-length, x-forwarded-for, authorization\r\nX-Secret: 1\r\nX-Keep: 2\r\n\
         X-Forwarded-For: 1.2.3.4\r\nAuthorization: b\r\nContent-Length: 0\r\nTE: trailers\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\n\
         Proxy-Connection: x",
    );
    let (head, headers) = parse(&request).unwrap();
    let names: Vec<&[u8]> = headers.end_to_end().map(|field| field.name.of(&request)).collect();
    assert_eq!(names, [&b"X-Keep"[..], b"X-Forwarded-For"]);
    assert_eq!(head.body, BodyLength::Length(0));
    assert_eq!(head.upgrade, None, "Upgrade that Connection does not name");
    assert_eq!(headers.find(b"x-secret", &request).count(), 0);
    assert_eq!(headers.find(b"x-keep", &request).count(), 1);
    assert_eq!(headers.find(b"authorization", &request).count(), 0);
    assert_eq!(headers.value(KnownHeader::Authorization, &request), None);
}

#[test]
fn connection_is_a_short_list_of_tokens() {
    assert_eq!(refused(with_line("Connection: a b")), 400);
    assert_eq!(refused(with_line("Connection: \"close\"")), 400);
    assert_eq!(refused(with_line(format!("Connection: {}", "a,".repeat(40)))), 400);
    accepted(with_line("Connection: , close,"));
    accepted(with_line("Connection:"));
}

#[test]
fn upgrade_counts_when_connection_names_it() {
    let request = with_line("Connection: Upgrade\r\nUpgrade: websocket");
    assert_eq!(accepted(&request).upgrade.unwrap().of(&request), b"websocket");
    assert_eq!(accepted(with_line("Connection: upgrade")).upgrade, None);
}

#[test]
fn expectations_other_than_100_continue_are_refused() {
    assert!(accepted(with_line("Expect: 100-Continue")).expect_continue);
    assert!(!accepted("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expect_continue);
    for value in ["100-continue, x", "200-ok", "", "100-continue\r\nExpect: 100-continue"] {
        assert_eq!(refused(with_line(format!("Expect: {value}"))), 417, "{value:?}");
    }
}

#[test]
fn connect_has_no_body() {
    for line in ["Content-Length: 5", "Content-Length: 0", "Transfer-Encoding: chunked"] {
        assert_eq!(refused(format!("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n{line}\r\n\r\n")), 400);
    }
}

#[test]
fn fields_are_found_by_name_without_regard_to_case() {
    let request = with_line("x-FORWARDED-for: 1\r\nX-Forwarded-For:2 \r\nX-Own: 3\r\nEmpty:");
    let (_, headers) = parse(&request).unwrap();
    let values: Vec<_> =
        headers.all(KnownHeader::XForwardedFor).map(|field| field.value.of(&request)).collect();
    assert_eq!(values, [b"1", b"2"]);
    assert_eq!(headers.value(KnownHeader::XForwardedFor, &request), Some(&b"1"[..]));
    assert!(headers.is_repeated(KnownHeader::XForwardedFor));
    assert_eq!(headers.find(b"x-own", &request).map(|f| f.value.of(&request)).collect::<Vec<_>>(), [b"3"]);
    assert_eq!(headers.find(b"X-forwarded-FOR", &request).count(), 2);
    assert_eq!(headers.find(b"empty", &request).map(|f| f.value.len()).collect::<Vec<_>>(), [0]);
    assert_eq!(headers.get(KnownHeader::Cookie), None);
    assert_eq!(headers.len(), 5);
}

#[test]
fn a_parser_serves_one_head_after_the_other() {
    let bytes = b"GET /1 HTTP/1.1\r\nHost: a\r\nCookie: c\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut parser = RequestParser::new();
    let mut headers = Headers::new();
    let first = parser.parse(bytes, &mut headers, &Limits::default()).unwrap().unwrap();
    assert!(headers.contains(KnownHeader::Cookie));
    let rest = &bytes[first.len..];
    let second = parser.parse(rest, &mut headers, &Limits::default()).unwrap().unwrap();
    assert_eq!(second.target.path(rest), b"/2");
    assert!(!headers.contains(KnownHeader::Cookie));
    assert_eq!(second.len, rest.len());
}
