//! HPACK: any bytes decode or fail without a panic, and what was decoded survives being encoded, sent and decoded again,
//! over several blocks with the same tables and changing table sizes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshloom_wire::http2::{Decoder, Encoder, FieldSink};

#[derive(Debug, Default, PartialEq)]
struct Fields(Vec<(Vec<u8>, Vec<u8>)>);

impl FieldSink for Fields {
    fn field(&mut self, name: &[u8], value: &[u8]) {
        // Bombs are for the connection's limits; here they would only be slow. The encoder is given lower case.
        if self.0.len() < 1000 {
            self.0.push((name.to_ascii_lowercase(), value.to_vec()));
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [limit, rest @ ..] = bytes else { return };
    let limit = usize::from(*limit) * 32;
    let mut first = Decoder::new(4096);
    let mut encoder = Encoder::new(4096);
    let mut second = Decoder::new(4096);
    for (at, block) in rest.split(|byte| *byte == 0xfe).enumerate() {
        let mut fields = Fields::default();
        let is_whole = first.decode(block, &mut fields).is_ok();
        if at == 1 {
            encoder.set_peer_limit(limit);
        }
        let mut encoded = Vec::new();
        encoder.begin(&mut encoded);
        for (name, value) in &fields.0 {
            encoder.field(name, value, &mut encoded);
        }
        let mut again = Fields::default();
        assert_eq!(second.decode(&encoded, &mut again), Ok(()));
        assert_eq!(fields, again);
        if !is_whole {
            return;
        }
    }
});
