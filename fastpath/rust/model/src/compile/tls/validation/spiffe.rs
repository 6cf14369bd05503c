//! SPIFFE bundles: the authorities of several trust domains as one JSON document (SPIFFE Trust Domain and Bundle, 4).

use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::super::super::path::{At, Invalid};
use super::super::super::pem;
use crate::tls::TrustDomain;

#[derive(Deserialize)]
struct BundleMap {
    trust_domains: BTreeMap<String, Bundle>,
}

#[derive(Deserialize)]
struct Bundle {
    keys: Vec<Key>,
}

/// A JSON Web Key (RFC 7517): of each only the certificates count.
#[derive(Deserialize)]
struct Key {
    #[serde(rename = "use", default)]
    purpose: String,
    #[serde(default)]
    x5c: Vec<String>,
}

/// The authorities of every trust domain in the document.
pub(super) fn bundle_map(json: &[u8], at: &At<'_>) -> Result<Vec<TrustDomain>, Invalid> {
    let map: BundleMap = serde_json::from_slice(json)
        .map_err(|error| at.refuse(format!("this is not a SPIFFE bundle map in JSON: {error}")))?;
    map.trust_domains.into_iter().map(|(name, bundle)| trust_domain(&name, &bundle, at)).collect()
}

fn trust_domain(name: &str, bundle: &Bundle, at: &At<'_>) -> Result<TrustDomain, Invalid> {
    let mut authorities = Vec::new();
    // Keys for tokens (`jwt-svid`) say nothing about certificates.
    for key in bundle.keys.iter().filter(|key| key.purpose == "x509-svid") {
        let encoded = key.x5c.first();
        let der = encoded.and_then(|text| pem::base64(text));
        let der = der.ok_or_else(|| at.refuse(format!("a key of {name:?} has no certificate in x5c")))?;
        authorities.push(CertificateDer::from(der));
    }
    match authorities.is_empty() {
        true => Err(at.refuse(format!("the trust domain {name:?} has no key for x509-svid"))),
        false => Ok(TrustDomain { name: name.into(), authorities: authorities.into() }),
    }
}
