//! What we read of certificates ourselves: names of every kind, times, and what a key may be used for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::der::{BIT_STRING, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE};

// Object identifiers, as their DER content.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
/// RFC 7633
const TLS_FEATURE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 0x18];
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const ELLIPTIC_CURVE: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];

// Tags of a GeneralName (RFC 5280 4.2.1.6).
const OTHER_NAME: u8 = 0xa0;
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const IP: u8 = 0x87;

/// One subject alternative name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name<'c> {
    Dns(&'c str),
    Uri(&'c str),
    Email(&'c str),
    Ip(IpAddr),
    /// Object identifier, and the value where it is a text.
    Other(&'c [u8], &'c [u8]),
}

/// The parts of a certificate. It says nothing about whether the certificate is good.
#[derive(Clone, Copy, Debug)]
pub(super) struct Certificate<'c> {
    /// As in the certificate: big-endian, perhaps with a leading zero.
    pub(super) serial: &'c [u8],
    /// The content of the names' SEQUENCEs.
    pub(super) issuer: &'c [u8],
    pub(super) subject: &'c [u8],
    /// Seconds since 1970.
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    key_algorithm: &'c [u8],
    extensions: Reader<'c>,
}

impl<'c> Certificate<'c> {
    /// RFC 5280 4.1; `None` when the certificate is malformed.
    pub(super) fn read(der: &'c [u8]) -> Option<Self> {
        let mut to_be_signed = Reader(der).nested(SEQUENCE)?.nested(SEQUENCE)?;
        to_be_signed.take(0xa0); // version
        let serial = to_be_signed.take(INTEGER)?;
        to_be_signed.take(SEQUENCE)?; // signature algorithm
        let issuer = to_be_signed.take(SEQUENCE)?;
        let mut validity = to_be_signed.nested(SEQUENCE)?;
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        let subject = to_be_signed.take(SEQUENCE)?;
        let key_algorithm = to_be_signed.nested(SEQUENCE)?.nested(SEQUENCE)?.take(OBJECT_IDENTIFIER)?;
        to_be_signed.take(0x81); // issuerUniqueID
        to_be_signed.take(0x82); // subjectUniqueID
        let extensions =
            to_be_signed.nested(0xa3).and_then(|mut outer| outer.nested(SEQUENCE)).unwrap_or(Reader(&[]));
        Some(Self { serial, issuer, subject, not_before, not_after, key_algorithm, extensions })
    }

    fn extension(&self, id: &[u8]) -> Option<Reader<'c>> {
        let mut all = self.extensions;
        while let Some(mut one) = all.nested(SEQUENCE) {
            if one.take(OBJECT_IDENTIFIER)? == id {
                one.take(0x01); // critical
                return one.nested(OCTET_STRING);
            }
        }
        None
    }

    /// Subject alternative names, in their order. Those that cannot be read, or contain a zero byte, are left out.
    pub(super) fn names(&self) -> impl Iterator<Item = Name<'c>> + use<'c> {
        let mut names = self
            .extension(SUBJECT_ALT_NAME)
            .and_then(|mut value| value.nested(SEQUENCE))
            .unwrap_or(Reader(&[]));
        std::iter::from_fn(move || names.any()).filter_map(|(tag, content)| general_name(tag, content))
    }

    /// The content of the subject alternative names, to tell one set of names from another.
    pub(super) fn raw_names(&self) -> &'c [u8] {
        self.extension(SUBJECT_ALT_NAME).map_or(&[], |value| value.0)
    }

    /// The last common name of the subject.
    pub(super) fn common_name(&self) -> Option<&'c str> {
        let mut parts = Reader(self.subject);
        let mut found = None;
        while let Some(mut set) = parts.nested(0x31) {
            while let Some(mut pair) = set.nested(SEQUENCE) {
                if pair.take(OBJECT_IDENTIFIER)? == COMMON_NAME {
                    found = pair.any().and_then(|(_, text)| std::str::from_utf8(text).ok());
                }
            }
        }
        found
    }

    pub(super) fn has_rsa_key(&self) -> bool {
        self.key_algorithm == RSA
    }

    pub(super) fn has_elliptic_key(&self) -> bool {
        self.key_algorithm == ELLIPTIC_CURVE
    }

    /// May the key sign handshakes? Where nothing is said about its usage, it may (RFC 5280 4.2.1.3, RFC 8446 4.4.2.2).
    pub(super) fn may_sign(&self) -> bool {
        self.usage_bit(0).unwrap_or(true)
    }

    /// May the key sign certificates or revocation lists, as that of an authority? Where nothing is said, it may.
    pub(super) fn may_certify(&self) -> bool {
        self.usage_bit(5).unwrap_or(true) || self.usage_bit(6).unwrap_or(true)
    }

    fn usage_bit(&self, bit: u8) -> Option<bool> {
        // The first byte of a bit string tells how many bits are unused.
        let bits = self.extension(KEY_USAGE)?.take(BIT_STRING)?;
        Some(bits.get(1).is_some_and(|byte| byte & (0x80 >> bit) != 0))
    }

    /// Does it ask to be shown with an OCSP response (RFC 7633: the feature `status_request`)?
    pub(super) fn must_staple(&self) -> bool {
        let Some(mut features) = self.extension(TLS_FEATURE).and_then(|mut value| value.nested(SEQUENCE))
        else {
            return false;
        };
        std::iter::from_fn(|| features.take(INTEGER)).any(|feature| feature == [5])
    }
}

fn general_name(tag: u8, content: &[u8]) -> Option<Name<'_>> {
    // A name with a zero byte looks shorter to programs in C than it is.
    let text = || std::str::from_utf8(content).ok().filter(|text| !text.contains('\0'));
    Some(match tag {
        DNS => Name::Dns(text()?),
        URI => Name::Uri(text()?),
        EMAIL => Name::Email(text()?),
        IP => Name::Ip(match content.len() {
            4 => Ipv4Addr::from(<[u8; 4]>::try_from(content).ok()?).into(),
            16 => Ipv6Addr::from(<[u8; 16]>::try_from(content).ok()?).into(),
            _ => return None,
        }),
        OTHER_NAME => {
            let mut parts = Reader(content);
            let id = parts.take(OBJECT_IDENTIFIER)?;
            // UTF8String, PrintableString, IA5String, VisibleString.
            let (0x0c | 0x13 | 0x16 | 0x1a, value) = parts.nested(0xa0)?.any()? else { return None };
            Name::Other(id, value)
        }
        _ => return None,
    })
}
