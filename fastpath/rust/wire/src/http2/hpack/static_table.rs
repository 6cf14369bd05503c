//! The static table (RFC 7541 appendix A).

/// Entries of the static table; the first has index 1.
pub(super) const LEN: usize = ENTRIES.len();

/// The entry at `index`, which is 1 to [`LEN`].
#[inline]
pub(super) fn get(index: usize) -> Option<(&'static [u8], &'static [u8])> {
    ENTRIES.get(index.checked_sub(1)?).copied()
}

/// The first index with this name; 0 if there is none.
#[inline]
pub(super) fn name_index(name: &[u8]) -> usize {
    match name {
        b":authority" => 1,
        b":method" => 2,
        b":path" => 4,
        b":scheme" => 6,
        b":status" => 8,
        b"accept-charset" => 15,
        b"accept-encoding" => 16,
        b"accept-language" => 17,
        b"accept-ranges" => 18,
        b"accept" => 19,
        b"access-control-allow-origin" => 20,
        b"age" => 21,
        b"allow" => 22,
        b"authorization" => 23,
        b"cache-control" => 24,
        b"content-disposition" => 25,
        b"content-encoding" => 26,
        b"content-language" => 27,
        b"content-length" => 28,
        b"content-location" => 29,
        b"content-range" => 30,
        b"content-type" => 31,
        b"cookie" => 32,
        b"date" => 33,
        b"etag" => 34,
        b"expect" => 35,
        b"expires" => 36,
        b"from" => 37,
        b"host" => 38,
        b"if-match" => 39,
        b"if-modified-since" => 40,
        b"if-none-match" => 41,
        b"if-range" => 42,
        b"if-unmodified-since" => 43,
        b"last-modified" => 44,
        b"link" => 45,
        b"location" => 46,
        b"max-forwards" => 47,
        b"proxy-authenticate" => 48,
        b"proxy-authorization" => 49,
        b"range" => 50,
        b"referer" => 51,
        b"refresh" => 52,
        b"retry-after" => 53,
        b"server" => 54,
        b"set-cookie" => 55,
        b"strict-transport-security" => 56,
        b"transfer-encoding" => 57,
        b"user-agent" => 58,
        b"vary" => 59,
        b"via" => 60,
        b"www-authenticate" => 61,
        _ => 0,
    }
}

/// The same, for the compiler.
#[allow(clippy::indexing_slicing, reason = "runs in the compiler")]
pub(super) const fn find_name(name: &[u8]) -> usize {
    let mut index = 0;
    while index < LEN {
        let known = ENTRIES[index].0;
        let mut same = 0;
        while same < known.len() && same < name.len() && known[same] == name[same] {
            same += 1;
        }
        index += 1;
        if same == known.len() && same == name.len() {
            return index;
        }
    }
    0
}

/// The index of exactly this field, given the first index of its name.
#[inline]
pub(super) fn field_index(name_index: usize, value: &[u8]) -> Option<usize> {
    let values: &[(usize, &[u8])] = match name_index {
        METHOD => &[(METHOD, b"GET"), (METHOD + 1, b"POST")],
        PATH => &[(PATH, b"/"), (PATH + 1, b"/index.html")],
        SCHEME => &[(SCHEME, b"http"), (SCHEME + 1, b"https")],
        STATUS => &STATUSES,
        ACCEPT_ENCODING => &[(ACCEPT_ENCODING, b"gzip, deflate")],
        _ => return None,
    };
    values.iter().find(|(_, known)| *known == value).map(|(index, _)| *index)
}

const METHOD: usize = 2;
pub(super) const PATH: usize = 4;
const SCHEME: usize = 6;
const STATUS: usize = 8;
const ACCEPT_ENCODING: usize = 16;
const STATUSES: [(usize, &[u8]); 7] =
    [(8, b"200"), (9, b"204"), (10, b"206"), (11, b"304"), (12, b"400"), (13, b"404"), (14, b"500")];

const ENTRIES: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

#[cfg(test)]
mod tests {
    use super::{ENTRIES, field_index, find_name, get, name_index};

    #[test]
    fn every_entry_is_found_by_its_name_and_by_itself() {
        for (at, (name, value)) in ENTRIES.iter().enumerate() {
            let first = name_index(name);
            assert_eq!(get(first).unwrap().0, *name);
            assert_eq!(find_name(name), first);
            assert!(first <= at + 1);
            if !value.is_empty() {
                assert_eq!(field_index(first, value), Some(at + 1), "{name:?}");
            }
        }
        assert_eq!(name_index(b"x"), 0);
        assert_eq!((get(0), get(62)), (None, None));
    }
}
