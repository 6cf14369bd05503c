//! Any bytes at the start of a connection, as the TLS and HTTP inspectors see them: no panic, progress that can be waited
//! for, and the same verdict however the bytes are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshloom_wire::http_sniff::{Sniffed, Sniffer};
use meshloom_wire::tls_hello::{MAX_HELLO, Peek, peek};

fuzz_target!(|bytes: &[u8]| {
    let whole = peek(bytes, MAX_HELLO);
    let mut have = 0;
    while have < bytes.len() {
        match peek(&bytes[..have], MAX_HELLO) {
            Peek::Incomplete(need) => {
                assert!(need > have, "{need} after {have}");
                have = need.min(bytes.len());
            }
            early => {
                assert_eq!(early, whole);
                break;
            }
        }
    }
    if let Peek::Hello(hello) = whole {
        assert!(hello.server_name.is_none_or(|name| name.len() <= 255));
        assert!(hello.alpn.iter().map(|name| name.len()).sum::<usize>() <= bytes.len());
    }

    let verdict = Sniffer::default().look(bytes);
    let (mut sniffer, mut early) = (Sniffer::default(), Sniffed::Incomplete);
    for end in (0..=bytes.len()).step_by(1 + bytes.len() / 64).chain([bytes.len()]) {
        early = sniffer.look(&bytes[..end]);
        if early != Sniffed::Incomplete {
            break;
        }
    }
    assert_eq!(early, verdict);
});
