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
        [0x55, 4, 5] => Some("serialNumber"),
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19] => Some("DC"),
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => Some("emailAddress"),
        _ => None,
    }
}

/// Writes a DER `Name` (the content of its SEQUENCE), most specific part first. Unknown attributes are left out.
pub(super) fn rfc2253(name: &[u8]) -> String {
    let mut parts = Vec::new();
    let mut rest = name;
    while let Some((0x31, set, after)) = element(rest) {
        rest = after;
        if let Some(part) = relative_name(set) {
            parts.push(part);
        }
    }
    parts.reverse();
    parts.join(",")
}

fn relative_name(set: &[u8]) -> Option<String> {
    let (_, pair, _) = element(set)?;
    let (_, oid, rest) = element(pair)?;
    let (_, value, _) = element(rest)?;
    let name = attribute(oid)?;
    let text = String::from_utf8_lossy(value);
    let mut out = format!("{name}=");
    for letter in text.chars() {
        if matches!(letter, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            out.push('\\');
        }
        if !letter.is_control() {
            out.push(letter);
        }
    }
    Some(out)
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
    }
}
