//! Any bytes as a chunked body: no panic, no event outside the input, and never more payload than input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshloom_wire::http1::{BodyDecoder, BodyEvent, BodyLength, Limits, TrailerFields};

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    let mut at = 0;
    let mut payload = 0;
    let limits = Limits::default();
    while let Ok(event) = decoder.next(bytes, &mut at, &limits) {
        match event {
            BodyEvent::Data(range) => {
                assert!(!range.is_empty() && range.end <= bytes.len());
                payload += range.len();
            }
            BodyEvent::Trailers(range) => {
                let fields = TrailerFields::new(&bytes[range]);
                assert!(fields.into_iter().all(|(name, value)| !name.is_empty() && !value.contains(&b'\r')));
            }
            BodyEvent::NeedMore => {
                assert!(!decoder.is_done());
                break;
            }
            BodyEvent::End => {
                assert!(decoder.is_done());
                break;
            }
        }
    }
    assert!(at <= bytes.len() && payload <= bytes.len());
});
