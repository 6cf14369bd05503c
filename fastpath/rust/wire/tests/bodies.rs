//! Body framing: what is payload, what is refused, and what a closed connection means.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use meshloom_wire::http1::{BodyDecoder, BodyEvent, BodyLength, DecodeError, Limits, TrailerFields};

#[derive(Debug, Default, PartialEq)]
struct Body {
    payload: Vec<u8>,
    trailers: Vec<(String, String)>,
    complete: bool,
    used: usize,
}

fn read(length: BodyLength, bytes: &[u8]) -> Result<Body, DecodeError> {
    read_with(length, bytes, &Limits::default())
}

fn read_with(length: BodyLength, bytes: &[u8], limits: &Limits) -> Result<Body, DecodeError> {
    let mut decoder = BodyDecoder::new(length);
    let mut body = Body::default();
    loop {
        match decoder.next(bytes, &mut body.used, limits)? {
            BodyEvent::Data(range) => body.payload.extend_from_slice(&bytes[range]),
            BodyEvent::Trailers(range) => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                body.trailers = TrailerFields::new(&bytes[range]).map(|(n, v)| (text(n), text(v))).collect();
            }
            BodyEvent::NeedMore => return Ok(body),
            BodyEvent::End => {
                body.complete = true;
                return Ok(body);
            }
        }
    }
}

fn chunked(bytes: impl AsRef<[u8]>) -> Result<Body, DecodeError> {
    read(BodyLength::Chunked, bytes.as_ref())
}

#[test]
fn a_length_takes_so_many_bytes_and_leaves_the_rest() {
    let body = read(BodyLength::Length(5), b"helloGET /").unwrap();
    assert_eq!((body.payload.as_slice(), body.complete, body.used), (&b"hello"[..], true, 5));
    assert!(!read(BodyLength::Length(5), b"hell").unwrap().complete);
    assert!(read(BodyLength::Length(0), b"x").unwrap().complete);
    assert!(read(BodyLength::None, b"x").unwrap().complete);
}

#[test]
fn chunks_are_joined_and_their_framing_is_gone() {
    let body = chunked("5\r\nhello\r\n00A;name=value\r\n, world!!!\r\n0\r\n\r\nGET /").unwrap();
    assert_eq!(body.payload, b"hello, world!!!");
    assert!(body.complete);
    assert_eq!(body.used, 43, "all but the next request");
}

#[test]
fn a_chunk_size_is_one_to_sixteen_hexadecimal_digits() {
    let sizes = [
        "",
        " 5",
        "5 ",
        "5\t",
        "5 x",
        "5 \r;x",
        " ;x",
        "\t5",
        "0x5",
        "+5",
        "-5",
        "-0",
        "0_5",
        "5_",
        "\"5\"",
        "'5'",
        "5\0",
        "\x0b5",
        "5\x0b",
        "g",
        "5,",
        "5:",
        ".5",
        "00000000000000005",
        "FFFFFFFFFFFFFFFFF",
        "8000000000000000",
        "FFFFFFFFFFFFFFFF",
        "11111111111111111111",
    ];
    for size in sizes {
        assert!(chunked(format!("{size}\r\nhello\r\n0\r\n\r\n")).is_err(), "{size:?}");
    }
    for size in ["5", "05", "0000000000000005"] {
        assert_eq!(chunked(format!("{size}\r\nhello\r\n0\r\n\r\n")).unwrap().payload, b"hello");
    }
}

#[test]
fn chunk_lines_and_payloads_end_in_cr_lf() {
    let bodies: [&str; 13] = [
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\r\nhello\r\n0\r\n\r\n",
        "5\r\r;x\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\r\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
    ];
    for body in bodies {
        assert!(chunked(body).is_err(), "{body:?}");
    }
}

#[test]
fn extensions_are_discarded_hold_no_control_character_and_are_bounded() {
    for extension in [";a", ";a=b", ";a=\"b c\"", ";", ";;;", ";a=\"open", "; a\t= b", " ;a", "\t \t;"] {
        assert_eq!(
            chunked(format!("5{extension}\r\nhello\r\n0{extension}\r\n\r\n")).unwrap().payload,
            b"hello"
        );
    }
    for extension in [";a\n", ";a\rb", ";\0", ";\x7f", ";\x1b", ";a\n\r"] {
        let error = chunked(format!("5{extension}\r\nhello\r\n0\r\n\r\n"));
        assert!(error.is_err(), "{extension:?}");
    }
    let too_much = Err(DecodeError::ChunkOverhead { limit: 16 * 1024 });
    assert_eq!(chunked(format!("5;{}\r\n", "a".repeat(3_000_000))), too_much);
    assert_eq!(chunked(format!("1;{}\r\na\r\n", "a".repeat(400)).repeat(1_000)), too_much);
}

#[test]
fn a_signed_upload_s_extensions_pass() {
    let chunk = format!("10000;chunk-signature={}\r\n{}\r\n", "f".repeat(64), "x".repeat(0x10000));
    assert_eq!(chunked(format!("{}0\r\n\r\n", chunk.repeat(1_000))).unwrap().payload.len(), 65_536_000);
}

#[test]
fn small_chunks_without_extensions_pass_in_any_number() {
    assert!(chunked(format!("{}0\r\n\r\n", "1\r\na\r\n".repeat(100_000))).unwrap().complete);
}

#[test]
fn trailers_are_read_apart_and_lose_what_could_steer_a_recipient() {
    let body = chunked(
        "0\r\nX-Checksum: abc\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nAuthorization: x\r\nCookie: x\r\n\
         X-Forwarded-For: 1.1.1.1\r\nConnection: close\r\nSet-Cookie: x\r\ngrpc-status: 0\r\n\r\n",
    )
    .unwrap();
    let kept: Vec<(&str, &str)> = body.trailers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(kept, [("X-Checksum", "abc"), ("grpc-status", "0")]);
    assert!(body.complete);
}

#[test]
fn bad_trailers_are_refused() {
    for section in [
        "X\r\n\r\n",
        " X: y\r\n\r\n",
        "X : y\r\n\r\n",
        "X: y\r\n z\r\n\r\n",
        "X: \0\r\n\r\n",
        "X: y\n\r\n",
        ": y\r\n\r\n",
    ] {
        assert!(chunked(format!("0\r\n{section}")).is_err(), "{section:?}");
    }
    let error = chunked(format!("0\r\nX: {}\r\n\r\n", "y".repeat(3_000_000)));
    assert_eq!(error, Err(DecodeError::TrailersTooLarge { limit: 8 * 1024 }));
    let error = chunked(format!("0\r\n{}\r\n", "X: y\r\n".repeat(500_000)));
    assert_eq!(error, Err(DecodeError::TrailersTooLarge { limit: 8 * 1024 }));
}

#[test]
fn a_trailer_section_of_exactly_the_limit_passes() {
    let bytes = b"0\r\nX: y\r\n\r\n";
    let limits = Limits { trailer_bytes: bytes.len() as u32 - 3, ..Limits::default() };
    assert!(read_with(BodyLength::Chunked, bytes, &limits).unwrap().complete);
    let limits = Limits { trailer_bytes: bytes.len() as u32 - 4, ..Limits::default() };
    assert!(read_with(BodyLength::Chunked, bytes, &limits).is_err());
}

#[test]
fn a_connection_that_ends_early_is_a_truncated_body() {
    for (length, bytes) in [
        (BodyLength::Length(5), &b"hell"[..]),
        (BodyLength::Length(5), b""),
        (BodyLength::Chunked, b""),
        (BodyLength::Chunked, b"5\r\nhello\r\n"),
        (BodyLength::Chunked, b"5\r\nhello\r\n0\r\n"),
        (BodyLength::Chunked, b"5\r\nhello\r\n0\r\nX: y\r\n"),
    ] {
        let mut decoder = BodyDecoder::new(length);
        let mut at = 0;
        while decoder.next(bytes, &mut at, &Limits::default()).unwrap() != BodyEvent::NeedMore {}
        assert_eq!(decoder.end_of_input(), Err(DecodeError::Truncated), "{}", bytes.escape_ascii());
    }
    assert_eq!(BodyDecoder::new(BodyLength::UntilClose).end_of_input(), Ok(()));
    assert_eq!(BodyDecoder::new(BodyLength::None).end_of_input(), Ok(()));
}

#[test]
fn a_length_counts_what_was_spliced() {
    let mut decoder = BodyDecoder::new(BodyLength::Length(10));
    let mut at = 0;
    assert_eq!(decoder.next(b"abc", &mut at, &Limits::default()), Ok(BodyEvent::Data(0..3)));
    assert_eq!(decoder.remaining(), Some(7));
    decoder.skip(7);
    assert!(decoder.is_done());
}
