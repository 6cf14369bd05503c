//! Distinguished names as text (RFC 2253), enough for the attributes that certificates use.

use super::der::element;

/// The name of an attribute, by the last bytes of its object identifier.
fn attribute(oid: &[u8]) -> Option<&'static str> {
    match oid {
        [0x55, 4, 3] => Some("CN"),
        [0x55, 4, 6] => Some("C"),
        [0x55, 4, 7] => Some("L"),
        [0x55, 4, 8] => Some("ST"),
        [0x55, 4, 10] => Some("O"),
        [0x55, 4, 11] => Some("OU"),
        [0x55, 4, 4] => Some("SN"),
        [0x55, 4, 5] => Some("serialNumber"),
        [0x55, 4, 9] => Some("street"),
        [0x55, 4, 12] => Some("title"),
        [0x55, 4, 13] => Some("description"),
        [0x55, 4, 15] => Some("businessCategory"),
        [0x55, 4, 16] => Some("postalAddress"),
        [0x55, 4, 17] => Some("postalCode"),
        [0x55, 4, 18] => Some("postOfficeBox"),
        [0x55, 4, 20] => Some("telephoneNumber"),
        [0x55, 4, 41] => Some("name"),
        [0x55, 4, 42] => Some("GN"),
        [0x55, 4, 43] => Some("initials"),
        [0x55, 4, 44] => Some("generationQualifier"),
        [0x55, 4, 46] => Some("dnQualifier"),
        [0x55, 4, 65] => Some("pseudonym"),
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1] => Some("UID"),
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19] => Some("DC"),
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => Some("emailAddress"),
        _ => None,
    }
}

/// Writes a DER `Name` (the content of its SEQUENCE), most specific part first, as OpenSSL's family does.
pub(super) fn rfc2253(name: &[u8]) -> String {
    let mut parts = Vec::new();
    let mut rest = name;
    while let Some((0x31, set, after)) = element(rest) {
        rest = after;
        parts.push(relative_name(set));
    }
    parts.reverse();
    parts.join(",")
}

/// Several attributes of one level are joined by `+`.
fn relative_name(set: &[u8]) -> String {
    let mut pairs = Vec::new();
    let mut rest = set;
    while let Some((_, pair, after)) = element(rest) {
        rest = after;
        pairs.extend(attribute_and_value(pair));
    }
    pairs.reverse();
    pairs.join("+")
}

fn attribute_and_value(pair: &[u8]) -> Option<String> {
    let (_, oid, whole) = element(pair)?;
    let (tag, value, _) = element(whole)?;
    Some(match attribute(oid) {
        Some(name) => format!("{name}={}", escaped(&utf8(tag, value))),
        // RFC 2253 2.4: the value of an unknown attribute is written as it is encoded.
        None => {
            let encoded: String = whole.iter().map(|byte| format!("{byte:02X}")).collect();
            format!("{}=#{encoded}", dotted(oid))
        }
    })
}

/// The text of a value, whichever way it is encoded.
fn utf8(tag: u8, value: &[u8]) -> String {
    const UTF8: u8 = 0x0c;
    const BMP: u8 = 0x1e;
    match tag {
        UTF8 => String::from_utf8_lossy(value).into_owned(),
        BMP => {
            let units = value.chunks_exact(2).filter_map(|pair| pair.try_into().ok().map(u16::from_be_bytes));
            char::decode_utf16(units).map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        _ => value.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// RFC 2253 2.4, with everything that is not printable ASCII as hexadecimal digits.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        let leads = at == 0 && matches!(byte, b' ' | b'#');
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => out.extend(['\\', char::from(byte)]),
            _ if leads || (at == last && byte == b' ') => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\{byte:02X}")),
        }
    }
    out
}

/// An object identifier in digits (X.690 8.19).
fn dotted(oid: &[u8]) -> String {
    let mut arcs: Vec<u64> = Vec::new();
    let mut arc = 0_u64;
    for byte in oid {
        arc = arc << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            arcs.push(std::mem::take(&mut arc));
        }
    }
    // The first two arcs share a number.
    let first = arcs.first().copied().unwrap_or_default();
    let root = (first / 40).min(2);
    let both = [root, first - root * 40];
    let texts: Vec<String> = both.iter().chain(arcs.iter().skip(1)).map(u64::to_string).collect();
    texts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_written_from_the_last_to_the_first() {
        let part = |oid: &[u8], text: &str| {
            let oid = [&[6, u8::try_from(oid.len()).expect("short")][..], oid].concat();
            let value = [&[12, u8::try_from(text.len()).expect("short")][..], text.as_bytes()].concat();
            let pair = [oid, value].concat();
            let pair = [&[0x30, u8::try_from(pair.len()).expect("short")][..], &pair].concat();
            [&[0x31, u8::try_from(pair.len()).expect("short")][..], &pair].concat()
        };
        let name = [part(&[0x55, 4, 10], "A, Inc"), part(&[0x55, 4, 3], "shop")].concat();
        assert_eq!(rfc2253(&name), "CN=shop,O=A\\, Inc");
        assert_eq!(rfc2253(&name[..name.len() - 1]), "O=A\\, Inc");
        assert_eq!(rfc2253(&part(&[0x55, 4, 3], " #\u{e9}\n ")), "CN=\\ #\\C3\\A9\\0A\\ ");
        assert_eq!(rfc2253(&part(&[0x2a, 0x86, 0x48, 1], "x")), "1.2.840.1=#0C0178");
    }
}
