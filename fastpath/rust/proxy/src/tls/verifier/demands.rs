//! Does a certificate have the names and keys that are asked for?

use aws_lc_rs::digest::{SHA256, digest};
use meshloom_model::matcher::StringMatcher;
use meshloom_model::tls::{SanKind, SanMatcher, ValidationContext};
use webpki::EndEntityCert;

use super::super::certificate::{Certificate, Name};
use super::super::notes::Refusal;
use super::{Failed, Refused, refused};

pub(super) fn names(rules: &ValidationContext, parts: &Certificate<'_>) -> Result<(), Failed> {
    if rules.names.is_empty() {
        return Ok(());
    }
    let uris = parts.names().filter(|name| matches!(name, Name::Uri(_))).count();
    // X509-SVID 2: a certificate with several URI names is not one identity but any of them.
    if uris > 1 && rules.names.iter().any(|name| name.kind == SanKind::Uri) {
        return Err(refused(Refusal::Names, Refused::SeveralUris));
    }
    match parts.names().any(|name| rules.names.iter().any(|wanted| fits(name, wanted))) {
        true => Ok(()),
        false => Err(refused(Refusal::Names, Refused::Name)),
    }
}

pub(super) fn pins(rules: &ValidationContext, cert: &EndEntityCert<'_>) -> Result<(), Failed> {
    let (keys, whole) = (&rules.spki_pins, &rules.certificate_pins);
    if keys.is_empty() && whole.is_empty() {
        return Ok(());
    }
    let spki = cert.subject_public_key_info();
    let pinned = keys.iter().any(|pin| digest(&SHA256, &spki).as_ref() == pin)
        || whole.iter().any(|pin| digest(&SHA256, &cert.der()).as_ref() == pin);
    if pinned { Ok(()) } else { Err(refused(Refusal::Pins, Refused::Pin)) }
}

fn fits(name: Name<'_>, wanted: &SanMatcher) -> bool {
    match (name, &wanted.kind) {
        (Name::Uri(text), SanKind::Uri) | (Name::Email(text), SanKind::Email) => {
            wanted.matcher.matches(text.as_bytes())
        }
        (Name::Dns(text), SanKind::Dns) => dns_fits(text, &wanted.matcher),
        (Name::Ip(address), SanKind::Ip) => wanted.matcher.matches(address.to_string().as_bytes()),
        (Name::Other(id, value), SanKind::Other(of)) => id == &**of && wanted.matcher.matches(value),
        _ => false,
    }
}

/// An exact name also fits a certificate for `*.` and the rest of it.
fn dns_fits(name: &str, matcher: &StringMatcher) -> bool {
    let lower = name.to_ascii_lowercase();
    if matcher.matches(lower.as_bytes()) || matcher.matches(name.as_bytes()) {
        return true;
    }
    let (StringMatcher::Exact(wanted), Some(parent)) = (matcher, lower.strip_prefix("*.")) else {
        return false;
    };
    let dot = wanted.iter().position(|byte| *byte == b'.');
    dot.is_some_and(|dot| {
        dot > 0 && wanted.get(dot + 1..).is_some_and(|rest| rest.eq_ignore_ascii_case(parent.as_bytes()))
    })
}
