//! Any bytes as a PROXY header: no panic, nothing outside the input, a verdict that more bytes do not change, and a header
//! that comes out the same when it is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshloom_wire::proxy_protocol::{Peek, Version, peek, write_v1, write_v2};

fuzz_target!(|bytes: &[u8]| {
    let verdict = peek(bytes);
    for end in 0..bytes.len().min(300) {
        let early = peek(&bytes[..end]);
        assert!(early == Peek::Incomplete || early == verdict);
    }
    let Peek::Header(header, taken) = verdict else { return };
    assert!(taken <= bytes.len());
    let mut again = Vec::new();
    match header.version {
        Version::V1 => write_v1(header.addresses.as_ref(), &mut again).expect("one family"),
        Version::V2 => {
            let fields = header.fields.iter().map(|(kind, at)| (*kind, &bytes[at.clone()]));
            write_v2(header.addresses.as_ref(), fields, &mut again).expect("it came in one header");
        }
    }
    let Peek::Header(read, len) = peek(&again) else { panic!("not a header: {again:?}") };
    assert_eq!((read.addresses, len), (header.addresses, again.len()));
    assert_eq!(read.fields.len(), header.fields.len());
});
