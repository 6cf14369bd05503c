//! OCSP responses that a server staples to its certificates (RFC 6960): read so far that a wrong or an old one is told
//! from a good one. Whether its signature is right is for the client to say.

use super::certificate::Certificate;
use super::der::{ENUMERATED, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE};

/// id-pkix-ocsp-basic
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];

/// An OCSP response for one of our certificates.
#[derive(Debug)]
pub(super) struct OcspResponse {
    pub(super) der: Vec<u8>,
    /// Good from and until, in seconds since 1970.
    this_update: u64,
    next_update: u64,
}

impl OcspResponse {
    /// Reads a response, which must be for this certificate.
    pub(super) fn read(der: &[u8], certificate: &Certificate<'_>) -> Result<Self, String> {
        let refuse = |reason: &str| format!("TLS: the OCSP response {reason}");
        let broken = || refuse("cannot be read");
        let mut response = Reader(der).nested(SEQUENCE).ok_or_else(broken)?;
        if response.take(ENUMERATED) != Some(&[0]) {
            return Err(refuse("was not successful"));
        }
        let single = basic(response).and_then(single).ok_or_else(broken)?;
        if single.serial != certificate.serial {
            return Err(refuse("is for another certificate"));
        }
        let Single { this_update, next_update, .. } = single;
        Ok(Self { der: der.to_vec(), this_update, next_update })
    }

    pub(super) fn is_good(&self, now: u64) -> bool {
        self.this_update <= now && now < self.next_update
    }
}

struct Single<'d> {
    serial: &'d [u8],
    this_update: u64,
    next_update: u64,
}

/// The ResponseData of a BasicOCSPResponse.
fn basic(mut response: Reader<'_>) -> Option<Reader<'_>> {
    let mut bytes = response.nested(0xa0)?.nested(SEQUENCE)?;
    if bytes.take(OBJECT_IDENTIFIER)? != BASIC {
        return None;
    }
    bytes.nested(OCTET_STRING)?.nested(SEQUENCE)?.nested(SEQUENCE)
}

/// The first SingleResponse.
fn single(mut data: Reader<'_>) -> Option<Single<'_>> {
    data.take(0xa0); // version
    data.any()?; // responderID
    data.any()?; // producedAt
    let mut single = data.nested(SEQUENCE)?.nested(SEQUENCE)?;
    let mut id = single.nested(SEQUENCE)?;
    id.take(SEQUENCE)?; // hash algorithm
    id.take(OCTET_STRING)?; // hash of the issuer's name
    id.take(OCTET_STRING)?; // hash of the issuer's key
    let serial = id.take(INTEGER)?;
    single.any()?; // certStatus: a client should learn of a revocation, too
    let this_update = single.time()?;
    // Without a next update there is always a newer one (RFC 6960 4.2.2.1): never good, as in Envoy.
    let next_update = single.nested(0xa0).and_then(|mut next| next.time()).unwrap_or(0);
    Some(Single { serial, this_update, next_update })
}
