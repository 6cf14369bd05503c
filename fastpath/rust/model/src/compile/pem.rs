//! Certificates and keys out of PEM, pins out of text.

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::path::{At, Invalid};

pub(super) fn certificates(pem: &[u8], at: &At<'_>) -> Result<Vec<CertificateDer<'static>>, Invalid> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(at.refuse("there is no certificate in PEM")),
        Err(error) => Err(at.refuse(format!("this is not a certificate in PEM: {error}"))),
    }
}

/// The reason never quotes the key.
pub(super) fn private_key(pem: &[u8], at: &At<'_>) -> Result<PrivateKeyDer<'static>, Invalid> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| at.refuse("there is no unencrypted private key in PEM"))
}

pub(super) fn revocation_lists(
    pem: &[u8],
    at: &At<'_>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, Invalid> {
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(at.refuse("there is no certificate revocation list in PEM")),
    }
}

/// A SHA-256 in hexadecimal, with or without colons.
pub(super) fn hex_pin(text: &str, at: &At<'_>) -> Result<[u8; 32], Invalid> {
    let digits: String = text.chars().filter(|char| *char != ':').collect();
    let bytes = (0..digits.len()).step_by(2).map(|start| {
        let pair = digits.get(start..start + 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    let bytes: Option<Vec<u8>> = bytes.collect();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| at.refuse("give a SHA-256 as 64 hexadecimal digits"))
}

/// A SHA-256 in base 64.
pub(super) fn base64_pin(text: &str, at: &At<'_>) -> Result<[u8; 32], Invalid> {
    let decoded = base64(text).and_then(|bytes| bytes.try_into().ok());
    decoded.ok_or_else(|| at.refuse("give a SHA-256 as 44 characters of base 64"))
}

/// RFC 4648 4, padding required.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if text.len() % 4 != 0 || text.len() - digits.len() > 2 {
        return None;
    }
    let (mut out, mut bits, mut held) = (Vec::with_capacity(text.len() * 3 / 4), 0u32, 0u32);
    for byte in digits.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(out)
}
