//! HPACK against the examples of RFC 7541 appendix C, what it refuses, and what it writes.

use meshloom_wire::http2::{Decoder, Encoder, FieldSink, HpackError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

#[derive(Debug, Default, PartialEq, Clone)]
struct Fields(Vec<(Vec<u8>, Vec<u8>)>);

impl FieldSink for Fields {
    fn field(&mut self, name: &[u8], value: &[u8]) {
        self.0.push((name.to_vec(), value.to_vec()));
    }
}

fn fields(text: &str) -> Fields {
    let pairs = text.lines().map(|line| {
        let (name, value) = line.trim().split_once(": ").unwrap();
        (name.as_bytes().to_vec(), value.as_bytes().to_vec())
    });
    Fields(pairs.collect())
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, HpackError> {
    let mut fields = Fields::default();
    decoder.decode(block, &mut fields).map(|()| fields)
}

fn encode(encoder: &mut Encoder, fields: &Fields) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    fields.0.iter().for_each(|(name, value)| encoder.field(name, value, &mut out));
    out
}

const REQUESTS: [&str; 3] = [
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com",
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache",
    ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value",
];

const RESPONSES: [&str; 3] = [
    ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
    ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
    ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\n\
     location: https://www.example.com\ncontent-encoding: gzip\n\
     set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
];

#[test]
fn single_fields_of_appendix_c_2() {
    for (hex, want) in [
        ("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key: custom-header"),
        ("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path"),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret"),
        ("82", ":method: GET"),
    ] {
        assert_eq!(decode(&mut Decoder::new(4096), &bytes(hex)), Ok(fields(want)));
    }
}

#[test]
fn requests_of_appendices_c_3_and_c_4() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let huffman = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, huffman] {
        let mut decoder = Decoder::new(4096);
        for (hex, want) in blocks.iter().zip(REQUESTS) {
            assert_eq!(decode(&mut decoder, &bytes(hex)), Ok(fields(want)));
        }
    }
    // Our encoder comes to the same bytes.
    let mut encoder = Encoder::new(4096);
    for (hex, request) in huffman.iter().zip(REQUESTS) {
        assert_eq!(encode(&mut encoder, &fields(request)), bytes(hex), "{request}");
    }
}

#[test]
fn responses_of_appendices_c_5_and_c_6_evict_entries() {
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32
         3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970
         7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61
         6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ];
    let huffman = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad
         1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2
         e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    for blocks in [plain, huffman] {
        let mut decoder = Decoder::new(4096);
        assert_eq!(decode(&mut decoder, &bytes("3fe1 01")), Ok(Fields::default()));
        for (hex, want) in blocks.iter().zip(RESPONSES) {
            assert_eq!(decode(&mut decoder, &bytes(hex)), Ok(fields(want)));
        }
    }
}

#[test]
fn blocks_that_do_not_decode_are_refused() {
    for (hex, fault) in [
        ("80", HpackError::InvalidIndex),
        ("be", HpackError::InvalidIndex),
        ("ff ff ff ff ff 0f", HpackError::Truncated),
        ("40", HpackError::Truncated),
        ("400a 61", HpackError::Truncated),
        ("7f 00 01 61", HpackError::InvalidIndex),
        ("0081 ff 01 61", HpackError::InvalidHuffman),
        ("0084 ffff ffff 01 61", HpackError::InvalidHuffman),
        ("82 20", HpackError::InvalidSizeUpdate),
        ("3fe2 1f", HpackError::InvalidSizeUpdate),
        ("20 20 3fe11f", HpackError::InvalidSizeUpdate),
    ] {
        assert_eq!(decode(&mut Decoder::new(4096), &bytes(hex)), Err(fault), "{hex}");
    }
}

#[test]
fn a_lower_limit_must_be_followed_once_it_is_accepted() {
    let mut decoder = Decoder::new(0);
    assert!(decode(&mut decoder, &bytes("4001 6101 62")).is_ok());
    decoder.limit_accepted(0);
    assert_eq!(decode(&mut decoder, &bytes("be")), Err(HpackError::InvalidSizeUpdate));
    let mut decoder = Decoder::new(0);
    decoder.limit_accepted(0);
    assert_eq!(decode(&mut decoder, &bytes("20 4001 6101 62")), Ok(fields("a: b")));
    assert_eq!(decode(&mut decoder, &bytes("be")), Err(HpackError::InvalidIndex));
}

#[test]
fn what_recurs_takes_one_byte_a_field() {
    let request = fields(
        ":method: GET\n:scheme: http\n:authority: shop.default\nuser-agent: curl/8\naccept: */*\nx-y: z\ndate: today",
    );
    let mut encoder = Encoder::new(4096);
    let first = encode(&mut encoder, &request);
    assert!(first.len() > 30);
    assert_eq!(encode(&mut encoder, &request).len(), request.0.len());
}

#[test]
fn secrets_and_what_changes_each_time_stay_out_of_the_table() {
    let request =
        fields("authorization: Basic x\ncookie: a=b\n:path: /a/b\nx-request-id: 123\ncontent-length: 17");
    let mut encoder = Encoder::new(4096);
    let first = encode(&mut encoder, &request);
    assert_eq!(encode(&mut encoder, &request), first);
    // Credentials are marked so that nobody further on indexes them either.
    assert_eq!(first[0] & 0xf0, 0x10);
}

#[test]
fn a_changed_limit_is_announced_with_its_lowest_value() {
    let mut encoder = Encoder::new(4096);
    encoder.set_peer_limit(0);
    encoder.set_peer_limit(100);
    assert_eq!(encode(&mut encoder, &Fields::default()), bytes("20 3f45"));
    assert_eq!(encode(&mut encoder, &Fields::default()), b"");
    assert_eq!(encode(&mut Encoder::new(0), &Fields::default()), bytes("20"));
}

fn field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let names = select(vec![
        ":path",
        ":status",
        ":method",
        "cookie",
        "set-cookie",
        "date",
        "x-a",
        "x-b",
        "accept",
        "te",
        "authorization",
    ]);
    let known = names.prop_map(|name| name.as_bytes().to_vec());
    let name = prop_oneof![known, vec(any::<u8>(), 0..20)];
    let value = prop_oneof![
        select(vec!["", "/", "GET", "200", "gzip, deflate"]).prop_map(|value| value.as_bytes().to_vec()),
        vec(any::<u8>(), 0..60),
        vec(any::<u8>(), 0..5000),
    ];
    (name, value)
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        blocks in vec((vec(field(), 0..12), proptest::option::of(0..6000usize)), 1..12),
        own_limit in 0..6000usize,
    ) {
        let mut encoder = Encoder::new(own_limit);
        let mut decoder = Decoder::new(6000);
        for (block, limit) in blocks {
            if let Some(limit) = limit {
                encoder.set_peer_limit(limit);
            }
            let fields = Fields(block);
            let encoded = encode(&mut encoder, &fields);
            prop_assert_eq!(decode(&mut decoder, &encoded), Ok(fields));
        }
    }

    #[test]
    fn any_bytes_decode_or_fail(blocks in vec(vec(any::<u8>(), 0..200), 1..5)) {
        let mut decoder = Decoder::new(4096);
        for block in blocks {
            if decode(&mut decoder, &block).is_err() {
                return Ok(());
            }
        }
    }
}
