//! Which bytes may stand where (RFC 9110 5.6.2, RFC 3986 3.2.2).

const TOKEN: u8 = 1;
const HOST: u8 = 2;
const LOWER_TOKEN: u8 = 4;

static CLASS: [u8; 256] = build();

/// `tchar`: methods, field names, connection options.
#[inline]
pub(crate) fn is_token(byte: u8) -> bool {
    class(byte) & TOKEN != 0
}

/// `tchar` without the upper case letters: field names in HTTP/2 (RFC 9113 8.2.1).
#[inline]
pub(crate) fn is_lower_token(byte: u8) -> bool {
    class(byte) & LOWER_TOKEN != 0
}

/// Bytes of a registered name or an IPv4 address. Percent escapes and sub-delimiters are legal in RFC 3986 but in no
/// DNS name, and two parsers may well read them differently, so they are left out.
#[inline]
pub(crate) fn is_host(byte: u8) -> bool {
    class(byte) & HOST != 0
}

/// A byte of a field value or a reason phrase: HTAB, SP, VCHAR and obs-text.
#[inline]
pub(crate) fn is_field_value(byte: u8) -> bool {
    (byte >= b' ' && byte != 0x7f) || byte == b'\t'
}

/// A byte of a request target: visible ASCII but `#`, which a client must not send (RFC 9112 3.2) and which would
/// hide the rest of the target from some parsers. More than RFC 3986 allows, because clients do send `|` and `"`.
#[inline]
pub(crate) fn is_target(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && byte != b'#'
}

#[inline]
#[allow(clippy::indexing_slicing, reason = "the table has an entry for each value of u8")]
fn class(byte: u8) -> u8 {
    CLASS[byte as usize]
}

#[allow(clippy::indexing_slicing, reason = "runs in the compiler")]
const fn build() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        let alphanumeric = b.is_ascii_alphanumeric();
        let symbol = matches!(
            b,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
        if alphanumeric || symbol {
            table[byte] |= TOKEN;
            if !b.is_ascii_uppercase() {
                table[byte] |= LOWER_TOKEN;
            }
        }
        if alphanumeric || matches!(b, b'-' | b'.' | b'_' | b'~') {
            table[byte] |= HOST;
        }
        byte += 1;
    }
    table
}
