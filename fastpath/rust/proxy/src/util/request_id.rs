//! x-request-id: a UUIDv4. Its fifteenth character says whether the request is traced, as Envoy writes it: `4`, it is not.

use super::Rng;

/// A fresh id, not traced.
pub(crate) fn new_request_id(rng: &mut Rng) -> [u8; 36] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let (high, low) = (rng.next(), rng.next());
    let mut id = [0u8; 36];
    let mut nibbles = u128::from(high) << 64 | u128::from(low);
    for (position, byte) in (0u8..).zip(id.iter_mut()) {
        let nibble = (nibbles & 15) as usize;
        *byte = match position {
            8 | 13 | 18 | 23 => b'-',
            14 => b'4',
            19 => HEX.get(nibble & 3 | 8).copied().unwrap_or(b'8'),
            _ => HEX.get(nibble).copied().unwrap_or(b'0'),
        };
        if !matches!(position, 8 | 13 | 18 | 23) {
            nibbles >>= 4;
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_of_version_4() {
        let mut rng = Rng::from_entropy();
        for _ in 0..200 {
            let id = new_request_id(&mut rng);
            let text = std::str::from_utf8(&id).expect("ascii");
            let groups: Vec<usize> = text.split('-').map(str::len).collect();
            assert_eq!(groups, [8, 4, 4, 4, 12]);
            assert!(text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()));
            assert_eq!(id[14], b'4');
            assert!(b"89ab".contains(&id[19]));
        }
        assert_ne!(new_request_id(&mut rng), new_request_id(&mut rng));
    }
}
