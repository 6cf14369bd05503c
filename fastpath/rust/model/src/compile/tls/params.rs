//! Versions, cipher suites, key exchange groups and signature schemes.

use meshloom_xds::envoy::extensions::transport_sockets::tls::v3 as proto;

use super::super::parts::choice;
use super::super::path::{At, Invalid};
use crate::tls::{TlsVersion, TlsVersions};

/// A name in the configuration, and its IANA number.
type Named = (&'static str, u16);

/// Suites of TLS 1.2 that exist here.
const CIPHER_SUITES: [Named; 6] = [
    ("ECDHE-ECDSA-AES128-GCM-SHA256", 0xc02b),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", 0xc02c),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", 0xcca9),
    ("ECDHE-RSA-AES128-GCM-SHA256", 0xc02f),
    ("ECDHE-RSA-AES256-GCM-SHA384", 0xc030),
    ("ECDHE-RSA-CHACHA20-POLY1305", 0xcca8),
];
/// Suites of Envoy that do not exist here: without forward secrecy, or with CBC. They are left out where a better one is
/// given too.
const WEAK_CIPHER_SUITES: [&str; 12] = [
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-RSA-AES128-SHA256",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
    "ECDHE-PSK-CHACHA20-POLY1305",
];
/// Groups that exist here, with BoringSSL's other names for them.
const GROUPS: [Named; 7] = [
    ("X25519", 29),
    ("P-256", 23),
    ("P-384", 24),
    ("X25519MLKEM768", 4588),
    ("prime256v1", 23),
    ("secp384r1", 24),
    ("x25519", 29),
];
/// Signature schemes that exist here, under both of the names that BoringSSL takes.
const SIGNATURE_SCHEMES: [Named; 22] = [
    ("ecdsa_secp256r1_sha256", 0x0403),
    ("rsa_pss_rsae_sha256", 0x0804),
    ("rsa_pkcs1_sha256", 0x0401),
    ("ecdsa_secp384r1_sha384", 0x0503),
    ("rsa_pss_rsae_sha384", 0x0805),
    ("rsa_pkcs1_sha384", 0x0501),
    ("ecdsa_secp521r1_sha512", 0x0603),
    ("rsa_pss_rsae_sha512", 0x0806),
    ("rsa_pkcs1_sha512", 0x0601),
    ("ed25519", 0x0807),
    ("ECDSA+SHA256", 0x0403),
    ("ECDSA+SHA384", 0x0503),
    ("ECDSA+SHA512", 0x0603),
    ("RSA+SHA256", 0x0401),
    ("RSA+SHA384", 0x0501),
    ("RSA+SHA512", 0x0601),
    ("PSS+SHA256", 0x0804),
    ("PSS+SHA384", 0x0805),
    ("PSS+SHA512", 0x0806),
    ("RSA-PSS+SHA256", 0x0804),
    ("RSA-PSS+SHA384", 0x0805),
    ("RSA-PSS+SHA512", 0x0806),
];

/// `tls_params`, read.
pub(super) struct Params {
    pub(super) versions: TlsVersions,
    pub(super) cipher_suites: Box<[Box<[u16]>]>,
    pub(super) groups: Box<[u16]>,
    pub(super) signature_schemes: Box<[u16]>,
}

pub(super) fn params(value: proto::TlsParameters, at: &At<'_>) -> Result<Params, Invalid> {
    let proto::TlsParameters {
        tls_minimum_protocol_version: min,
        tls_maximum_protocol_version: max,
        cipher_suites,
        ecdh_curves,
        signature_algorithms,
    } = value;
    Ok(Params {
        versions: versions(min, max, at)?,
        cipher_suites: suites(&cipher_suites, &at.field("cipher_suites"))?,
        groups: numbers(&ecdh_curves, &GROUPS, &at.field("ecdh_curves"))?,
        signature_schemes: numbers(
            &signature_algorithms,
            &SIGNATURE_SCHEMES,
            &at.field("signature_algorithms"),
        )?,
    })
}

fn versions(min: i32, max: i32, at: &At<'_>) -> Result<TlsVersions, Invalid> {
    use proto::tls_parameters::TlsProtocol;
    let default = TlsVersions::default();
    let at_max = at.field("tls_maximum_protocol_version");
    let min = match choice(min, &at.field("tls_minimum_protocol_version"))? {
        TlsProtocol::TlsAuto => default.min,
        // Older versions do not exist here, so the lowest of those that do is the lowest.
        TlsProtocol::Tlsv10 | TlsProtocol::Tlsv11 | TlsProtocol::Tlsv12 => TlsVersion::V1_2,
        TlsProtocol::Tlsv13 => TlsVersion::V1_3,
    };
    let max = match choice(max, &at_max)? {
        TlsProtocol::TlsAuto => default.max,
        TlsProtocol::Tlsv10 | TlsProtocol::Tlsv11 => {
            return Err(at_max.refuse("TLS before 1.2 does not exist here"));
        }
        TlsProtocol::Tlsv12 => TlsVersion::V1_2,
        TlsProtocol::Tlsv13 => TlsVersion::V1_3,
    };
    match min > max {
        true => Err(at_max.refuse("this is lower than the minimum")),
        false => Ok(TlsVersions { min, max }),
    }
}

/// Each entry is a suite or a group `[A|B]` of equal preference.
fn suites(values: &[String], at: &At<'_>) -> Result<Box<[Box<[u16]>]>, Invalid> {
    let mut groups: Vec<Box<[u16]>> = Vec::new();
    for (nth, value) in values.iter().enumerate() {
        let group = match value.strip_prefix('[') {
            None => one_suite(value, &at.item(nth))?.into_iter().collect(),
            Some(rest) => {
                let inner =
                    rest.strip_suffix(']').ok_or_else(|| at.item(nth).refuse("a group ends with ]"))?;
                let each = inner.split('|').map(|name| one_suite(name, &at.item(nth)));
                each.filter_map(Result::transpose).collect::<Result<Box<[u16]>, _>>()?
            }
        };
        groups.extend((!group.is_empty()).then_some(group));
    }
    match groups.is_empty() && !values.is_empty() {
        true => Err(at.refuse(format!("none of these exists here; give one of {}", names(&CIPHER_SUITES)))),
        false => Ok(groups.into()),
    }
}

/// The number of a suite; `None` for one that Envoy has and we leave out.
fn one_suite(name: &str, at: &At<'_>) -> Result<Option<u16>, Invalid> {
    if WEAK_CIPHER_SUITES.contains(&name) {
        return Ok(None);
    }
    number(name, &CIPHER_SUITES, at).map(Some)
}

fn numbers(values: &[String], known: &[Named], at: &At<'_>) -> Result<Box<[u16]>, Invalid> {
    values.iter().enumerate().map(|(nth, name)| number(name, known, &at.item(nth))).collect()
}

fn number(name: &str, known: &[Named], at: &At<'_>) -> Result<u16, Invalid> {
    match known.iter().find(|(each, _)| *each == name) {
        Some((_, number)) => Ok(*number),
        None => Err(at.refuse(format!("{name:?} is not one of {}", names(known)))),
    }
}

/// The first name of each number.
fn names(known: &[Named]) -> String {
    let mut seen = Vec::new();
    let mut names = Vec::new();
    for (name, number) in known {
        if !seen.contains(number) {
            seen.push(*number);
            names.push(*name);
        }
    }
    names.join(", ")
}
