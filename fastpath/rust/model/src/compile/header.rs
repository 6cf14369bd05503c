//! Header operations.

use std::sync::Arc;

use meshloom_xds::envoy::config::core::v3 as core;

use super::matching::header_name;
use super::parts::one_line;
use super::path::{At, Invalid};
use crate::headers::{AppendAction, HeaderLevel, HeaderOps, HeaderSet};
use crate::matcher::HeaderName;
use crate::template::Template;

/// Request and response operations of one level.
#[derive(Clone, Default)]
pub(super) struct Levels {
    pub(super) request: Arc<HeaderLevel>,
    pub(super) response: Arc<HeaderLevel>,
}

/// The four lists that every level has.
pub(super) struct RawLevels<'p> {
    pub(super) request_add: &'p [core::HeaderValueOption],
    pub(super) request_remove: &'p [String],
    pub(super) response_add: &'p [core::HeaderValueOption],
    pub(super) response_remove: &'p [String],
}

pub(super) fn levels(raw: &RawLevels<'_>, at: &At<'_>) -> Result<Levels, Invalid> {
    Ok(Levels {
        request: Arc::new(HeaderLevel {
            remove: removals(raw.request_remove, &at.field("request_headers_to_remove"))?,
            set: sets(raw.request_add, &at.field("request_headers_to_add"))?,
        }),
        response: Arc::new(HeaderLevel {
            remove: removals(raw.response_remove, &at.field("response_headers_to_remove"))?,
            set: sets(raw.response_add, &at.field("response_headers_to_add"))?,
        }),
    })
}

/// Operations that only set.
pub(super) fn ops(values: &[core::HeaderValueOption], at: &At<'_>) -> Result<HeaderOps, Invalid> {
    let level = HeaderLevel { remove: Box::default(), set: sets(values, at)? };
    let levels = if level.is_empty() { Box::default() } else { Box::from([Arc::new(level)]) };
    Ok(HeaderOps { levels })
}

/// Puts levels in the order in which they are done, given the most specific first.
pub(super) fn stack(levels: &[&Levels], most_specific_wins: bool) -> (HeaderOps, HeaderOps) {
    let pick = |side: fn(&Levels) -> &Arc<HeaderLevel>| {
        let mut stacked: Vec<_> =
            levels.iter().map(|level| side(level)).filter(|l| !l.is_empty()).cloned().collect();
        if most_specific_wins {
            stacked.reverse();
        }
        HeaderOps { levels: stacked.into() }
    };
    (pick(|level| &level.request), pick(|level| &level.response))
}

fn removals(names: &[String], at: &At<'_>) -> Result<Box<[HeaderName]>, Invalid> {
    names.iter().enumerate().map(|(nth, name)| changeable(name, &at.item(nth))).collect()
}

fn sets(values: &[core::HeaderValueOption], at: &At<'_>) -> Result<Box<[HeaderSet]>, Invalid> {
    let mut sets: Vec<HeaderSet> =
        values.iter().enumerate().map(|(nth, value)| set(value, &at.item(nth))).collect::<Result<_, _>>()?;
    sets.sort_by_key(|set| matches!(set.action, AppendAction::Append | AppendAction::AddIfAbsent));
    Ok(sets.into())
}

fn set(value: &core::HeaderValueOption, at: &At<'_>) -> Result<HeaderSet, Invalid> {
    let core::HeaderValueOption { header, append, append_action, keep_empty_value } = value;
    let core::HeaderValue { key, value, raw_value } = at.field("header").required(header.as_ref())?;
    let header_at = at.field("header");
    let raw = std::str::from_utf8(raw_value)
        .map_err(|_| header_at.field("raw_value").refuse("this is not UTF-8"))?;
    let value = match (value.as_str(), raw) {
        (value, "") => value,
        ("", raw) => raw,
        _ => return Err(header_at.refuse("give value or raw_value, not both")),
    };
    Ok(HeaderSet {
        name: settable(key, &header_at.field("key"))?,
        value: template(value, &header_at.field("value"))?,
        action: action(*append, *append_action, at)?,
        keep_empty: *keep_empty_value,
    })
}

pub(super) fn action(append: Option<bool>, action: i32, at: &At<'_>) -> Result<AppendAction, Invalid> {
    use core::header_value_option::HeaderAppendAction as Action;
    match (append, Action::try_from(action)) {
        (Some(true), Ok(Action::AppendIfExistsOrAdd)) => Ok(AppendAction::Append),
        (Some(false), Ok(Action::AppendIfExistsOrAdd)) => Ok(AppendAction::Overwrite),
        (Some(_), Ok(_)) => {
            Err(at.field("append").refuse("give append_action alone; append is its old form"))
        }
        (None, Ok(Action::AppendIfExistsOrAdd)) => Ok(AppendAction::Append),
        (None, Ok(Action::AddIfAbsent)) => Ok(AppendAction::AddIfAbsent),
        (None, Ok(Action::OverwriteIfExistsOrAdd)) => Ok(AppendAction::Overwrite),
        (None, Ok(Action::OverwriteIfExists)) => Ok(AppendAction::OverwriteIfExists),
        (_, Err(_)) => Err(at.field("append_action").refuse("this is not a value of this enum")),
    }
}

/// RFC 9110 5.5: a value has no control characters, so nobody can smuggle a line in.
fn template(text: &str, at: &At<'_>) -> Result<Template, Invalid> {
    Template::parse(one_line(text, at)?).map_err(|error| at.refuse(error))
}

/// What the proxy writes itself, from what it understood, and for its own hop. A second Content-Length or
/// Transfer-Encoding beside its own would let two parsers disagree on where a message ends.
const WRITTEN_BY_THE_PROXY: [&str; 7] =
    ["connection", "content-length", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

fn settable(name: &str, at: &At<'_>) -> Result<HeaderName, Invalid> {
    let name = changeable(name, at)?;
    match WRITTEN_BY_THE_PROXY.contains(&name.as_str()) {
        true => {
            Err(at.refuse("framing and connection headers are the proxy's own; nobody else may set them"))
        }
        false => Ok(name),
    }
}

/// Pseudo-headers and Host are not headers that a route may change; they have fields of their own.
pub(super) fn changeable(name: &str, at: &At<'_>) -> Result<HeaderName, Invalid> {
    let name = header_name(name, at)?;
    match name.is_pseudo() || name.as_str() == "host" {
        true => Err(at.refuse(
            "pseudo-headers and host cannot be changed here; rewrite the host with host_rewrite_literal",
        )),
        false => Ok(name),
    }
}
