//! What requests are hashed by.

use meshloom_xds::envoy::config::route::v3::route_action as proto;

use super::context::Context;
use super::matching;
use super::parts::{duration, text};
use super::path::{At, Invalid};
use crate::route::{HashCookie, HashPolicy, HashSource};

pub(super) fn hash_policies(
    values: &[proto::HashPolicy],
    at: &At<'_>,
    cx: &Context,
) -> Result<Box<[HashPolicy]>, Invalid> {
    values
        .iter()
        .enumerate()
        .filter_map(|(nth, value)| policy(value, &at.item(nth), cx).transpose())
        .collect()
}

fn policy(value: &proto::HashPolicy, at: &At<'_>, cx: &Context) -> Result<Option<HashPolicy>, Invalid> {
    use proto::hash_policy::PolicySpecifier as Specifier;
    let proto::HashPolicy { terminal, policy_specifier } = value;
    let source = match policy_specifier {
        Some(Specifier::Header(value)) => header(value, &at.field("header"), cx)?,
        Some(Specifier::Cookie(value)) => HashSource::Cookie(cookie(value, &at.field("cookie"))?),
        // Of a connection that hashes nothing, nothing follows.
        Some(Specifier::ConnectionProperties(value)) if !value.source_ip => return Ok(None),
        Some(Specifier::ConnectionProperties(_)) => HashSource::SourceIp,
        Some(Specifier::QueryParameter(value)) => {
            HashSource::Query(text(&value.name, &at.field("query_parameter").field("name"))?.into())
        }
        None => return Err(at.refuse("give header, cookie, connection_properties or query_parameter")),
    };
    Ok(Some(HashPolicy { source, terminal: *terminal }))
}

fn header(value: &proto::hash_policy::Header, at: &At<'_>, cx: &Context) -> Result<HashSource, Invalid> {
    let proto::hash_policy::Header { header_name, regex_rewrite } = value;
    let rewrite = regex_rewrite.as_ref();
    Ok(HashSource::Header {
        name: matching::header_name(header_name, &at.field("header_name"))?,
        rewrite: rewrite.map(|value| matching::replace(value, &at.field("regex_rewrite"), cx)).transpose()?,
    })
}

/// Bytes that may stand in the parts of `set-cookie` (RFC 6265 4.1.1).
fn is_cookie_text(value: &str) -> bool {
    value.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b';')
}

fn cookie(value: &proto::hash_policy::Cookie, at: &At<'_>) -> Result<HashCookie, Invalid> {
    let proto::hash_policy::Cookie { name, ttl, path, attributes } = value;
    let checked = |value: &str, at: &At<'_>| match is_cookie_text(value) {
        true => Ok(()),
        false => Err(at.refuse("this cannot stand in a cookie")),
    };
    checked(text(name, &at.field("name"))?, &at.field("name"))?;
    checked(path, &at.field("path"))?;
    let mut written = String::new();
    let at_attributes = at.field("attributes");
    for (nth, attribute) in attributes.iter().enumerate() {
        let proto::hash_policy::CookieAttribute { name, value } = attribute;
        let at = at_attributes.item(nth);
        checked(text(name, &at.field("name"))?, &at.field("name"))?;
        checked(value, &at.field("value"))?;
        written.push_str("; ");
        written.push_str(name);
        if !value.is_empty() {
            written.push('=');
            written.push_str(value);
        }
    }
    let ttl = duration(*ttl, &at.field("ttl"))?;
    Ok(HashCookie { name: name.as_str().into(), ttl, path: path.as_str().into(), attributes: written.into() })
}
