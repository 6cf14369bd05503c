use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::prelude::*;

use super::*;

const V4: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8, 3, 232, 7, 208];

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&V2_PREFIX[..], &[command, family], &len, body].concat()
}

fn ends() -> Addresses {
    Addresses { source: "1.2.3.4:1000".parse().unwrap(), destination: "5.6.7.8:2000".parse().unwrap() }
}

fn header(bytes: &[u8]) -> Option<Header> {
    match peek(bytes) {
        Peek::Header(header, taken) => {
            assert_eq!(&bytes[taken..], b"rest");
            Some(header)
        }
        Peek::Malformed(_) => None,
        other => panic!("{other:?}"),
    }
}

fn of_line(line: &str) -> Option<Option<Addresses>> {
    header(format!("{line}\r\nrest").as_bytes()).map(|header| header.addresses)
}

fn of_binary(command: u8, family: u8, body: &[u8]) -> Option<Option<Addresses>> {
    header(&[&v2(command, family, body)[..], b"rest"].concat()).map(|header| header.addresses)
}

#[test]
fn a_line_tells_both_ends_or_that_they_are_unknown() {
    assert_eq!(of_line("PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000"), Some(Some(ends())));
    assert_eq!(of_line("PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000 "), Some(Some(ends())));
    let v6 =
        Addresses { source: "[2001:db8::1]:1".parse().unwrap(), destination: "[::1]:2".parse().unwrap() };
    assert_eq!(of_line("PROXY TCP6 2001:db8::1 ::1 1 2"), Some(Some(v6)));
    assert_eq!(of_line("PROXY UNKNOWN"), Some(None));
    assert_eq!(of_line("PROXY UNKNOWN ffff::1 junk"), Some(None));
}

#[test]
fn a_line_that_is_not_quite_right_is_refused() {
    for line in [
        "PROXY ",
        "PROXY FOO 1.2.3.4 5.6.7.8 1000 2000",
        "PROXY TCP4  1.2.3.4 5.6.7.8 1000 2000",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1000",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000 3",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +1000 2000",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1000 65536",
        "PROXY TCP4 ::1 ::1 1000 2000",
        "PROXY TCP6 1.2.3.4 5.6.7.8 1000 2000",
        "PROXY TCP4 1.2.3.4\t5.6.7.8 1000 2000",
    ] {
        assert_eq!(of_line(line), None, "{line}");
    }
}

#[test]
fn a_line_has_at_most_107_bytes() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107 - 16));
    assert!(matches!(peek(longest.as_bytes()), Peek::Header(_, 107)));
    let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(108 - 16));
    assert_eq!(peek(longer.as_bytes()), Peek::Malformed(Version::V1));
    assert_eq!(peek(b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\nx"), Peek::Incomplete);
}

#[test]
fn a_binary_header_tells_both_ends() {
    assert_eq!(of_binary(0x21, 0x11, V4), Some(Some(ends())));
    assert_eq!(of_binary(0x21, 0x12, V4), Some(Some(ends())));
    let body = [&Ipv6Addr::LOCALHOST.octets()[..], &Ipv6Addr::LOCALHOST.octets(), &[0, 1, 0, 2]].concat();
    let v6 = Addresses { source: "[::1]:1".parse().unwrap(), destination: "[::1]:2".parse().unwrap() };
    assert_eq!(of_binary(0x21, 0x21, &body), Some(Some(v6)));
}

#[test]
fn a_connection_of_the_sender_itself_keeps_its_own_ends() {
    assert_eq!(of_binary(0x20, 0x00, b""), Some(None));
    assert_eq!(of_binary(0x20, 0x11, V4), Some(None));
}

#[test]
fn binary_headers_without_ip_addresses_or_with_wrong_lengths_are_refused() {
    assert_eq!(of_binary(0x21, 0x00, b""), None);
    assert_eq!(of_binary(0x21, 0x31, &[b'a'; 216]), None);
    assert_eq!(of_binary(0x21, 0x10, V4), None);
    assert_eq!(of_binary(0x21, 0x13, V4), None);
    assert_eq!(of_binary(0x22, 0x11, V4), None);
    assert_eq!(of_binary(0x11, 0x11, V4), None);
    assert_eq!(of_binary(0x21, 0x11, &V4[..8]), None);
    assert_eq!(of_binary(0x21, 0x21, V4), None);
    assert_eq!(of_binary(0x21, 0x11, &[V4, &[4, 0, 9, 1]].concat()), None);
    assert_eq!(of_binary(0x21, 0x11, &[V4, &[4, 0]].concat()), None);
}

#[test]
fn further_fields_are_found() {
    let bytes = v2(0x21, 0x11, &[V4, &[4, 0, 3], b"abc", &[0xe0, 0, 0]].concat());

    let Peek::Header(header, taken) = peek(&bytes) else { panic!() };

    let fields: Vec<_> = header.fields.iter().map(|(kind, at)| (*kind, &bytes[at.clone()])).collect();
    assert_eq!(fields, [(4, &b"abc"[..]), (0xe0, b"")]);
    assert_eq!(taken, bytes.len());
}

#[test]
fn other_bytes_are_no_header() {
    assert_eq!(peek(b""), Peek::Incomplete);
    assert_eq!(peek(b"P"), Peek::Incomplete);
    assert_eq!(peek(b"POST / HTTP/1.1"), Peek::Absent);
    assert_eq!(peek(b"\r\n\r\nX"), Peek::Absent);
    assert_eq!(peek(b"\x16\x03\x01"), Peek::Absent);
}

#[test]
fn ends_that_cannot_be_told_are_not_told() {
    let mixed = Addresses { source: "1.2.3.4:1".parse().unwrap(), destination: "[::1]:2".parse().unwrap() };
    let mut out = Vec::new();
    assert_eq!(write_v1(Some(&mixed), &mut out), Err(NotRepresentable));
    let long = [0; 65_530];
    assert_eq!(write_v2(Some(&ends()), [(1, &long[..])].into_iter(), &mut out), Err(TooLong));
    assert!(out.is_empty());
    write_v2(Some(&mixed), std::iter::empty(), &mut out).unwrap();
    let Peek::Header(header, _) = peek(&out) else { panic!() };
    assert_eq!(header.addresses.unwrap().source, "[::ffff:1.2.3.4]:1".parse().unwrap());
}

fn address() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    prop_oneof![
        any::<([u8; 4], u16, [u8; 4], u16)>()
            .prop_map(|(a, b, c, d)| { ((Ipv4Addr::from(a), b).into(), (Ipv4Addr::from(c), d).into()) }),
        any::<([u8; 16], u16, [u8; 16], u16)>()
            .prop_map(|(a, b, c, d)| { ((Ipv6Addr::from(a), b).into(), (Ipv6Addr::from(c), d).into()) }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_however_it_arrives(
        (source, destination) in address(),
        fields in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..4),
        binary: bool,
    ) {
        let ends = Addresses { source, destination };
        let mut bytes = Vec::new();
        if binary {
            let fields = fields.iter().map(|(kind, value)| (*kind, &value[..]));
            write_v2(Some(&ends), fields, &mut bytes).unwrap();
        } else {
            write_v1(Some(&ends), &mut bytes).unwrap();
        }
        for end in 0..bytes.len() {
            prop_assert_eq!(peek(&bytes[..end]), Peek::Incomplete);
        }
        let taken = bytes.len();
        bytes.extend_from_slice(b"GET / HTTP/1.1\r\n");
        let Peek::Header(header, at) = peek(&bytes) else { panic!("{bytes:?}") };
        prop_assert_eq!((header.addresses, at), (Some(ends), taken));
        if binary {
            let read: Vec<_> = header.fields.into_iter().map(|(kind, at)| (kind, bytes[at].to_vec())).collect();
            prop_assert_eq!(read, fields);
        }
    }

    #[test]
    fn a_verdict_does_not_change_as_more_arrives(bytes in proptest::collection::vec(any::<u8>(), 0..80), lead in 0usize..3) {
        let lead: &[u8] = [&b""[..], V1_PREFIX, V2_PREFIX][lead];
        let bytes = [lead, &bytes].concat();
        let mut verdict = Peek::Incomplete;
        for end in 0..=bytes.len() {
            let next = peek(&bytes[..end]);
            if verdict != Peek::Incomplete {
                prop_assert_eq!(&next, &verdict);
            }
            verdict = next;
        }
    }
}
