//! String, header and query matchers.

use meshloom_xds::envoy::config::route::v3 as route;
use meshloom_xds::envoy::r#type::matcher::v3 as matcher;

use super::context::Context;
use super::parts::text;
use super::path::{At, Invalid};
use crate::matcher::{HeaderMatcher, HeaderName, HeaderTest, QueryMatcher, QueryTest, StringMatcher};
use crate::regex::{FullRegex, RegexReplace};

pub(super) fn string(
    value: &matcher::StringMatcher,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<StringMatcher, Invalid> {
    use matcher::string_matcher::MatchPattern;
    let matcher::StringMatcher { match_pattern, ignore_case } = value;
    let fold = |text: &str| -> Box<[u8]> {
        let text = if *ignore_case { text.to_ascii_lowercase() } else { text.to_owned() };
        text.into_bytes().into()
    };
    let plain = match match_pattern {
        Some(MatchPattern::Exact(want)) => StringMatcher::Exact(fold(want)),
        Some(MatchPattern::Prefix(want)) => StringMatcher::Prefix(fold(text(want, &at.field("prefix"))?)),
        Some(MatchPattern::Suffix(want)) => StringMatcher::Suffix(fold(text(want, &at.field("suffix"))?)),
        Some(MatchPattern::Contains(want)) => {
            StringMatcher::Contains(fold(text(want, &at.field("contains"))?))
        }
        // `ignore_case` has no effect on a regular expression, as in Envoy.
        Some(MatchPattern::SafeRegex(want)) => {
            return regex(want, &at.field("safe_regex"), cx).map(StringMatcher::Regex);
        }
        None => return Err(at.refuse("give exact, prefix, suffix, contains or safe_regex")),
    };
    Ok(if *ignore_case { StringMatcher::IgnoreCase(Box::new(plain)) } else { plain })
}

pub(super) fn regex(
    value: &matcher::RegexMatcher,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<FullRegex, Invalid> {
    let matcher::RegexMatcher { regex } = value;
    cx.regex(regex, &at.field("regex"))
}

pub(super) fn replace(
    value: &matcher::RegexMatchAndSubstitute,
    at: &At<'_>,
    cx: &Context,
) -> Result<RegexReplace, Invalid> {
    let matcher::RegexMatchAndSubstitute { pattern, substitution } = value;
    let pattern = at.field("pattern").required(pattern.as_ref())?;
    cx.replace(&pattern.regex, substitution, at)
}

pub(super) fn headers(
    values: &[route::HeaderMatcher],
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Box<[HeaderMatcher]>, Invalid> {
    values.iter().enumerate().map(|(nth, value)| header(value, &at.item(nth), cx)).collect()
}

pub(super) fn header(
    value: &route::HeaderMatcher,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<HeaderMatcher, Invalid> {
    let route::HeaderMatcher { name, invert_match, treat_missing_header_as_empty, header_match_specifier } =
        value;
    Ok(HeaderMatcher {
        name: header_name(name, &at.field("name"))?,
        test: header_test(header_match_specifier.as_ref(), at, cx)?,
        invert: *invert_match,
        missing_as_empty: *treat_missing_header_as_empty,
    })
}

fn header_test(
    value: Option<&route::header_matcher::HeaderMatchSpecifier>,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<HeaderTest, Invalid> {
    use route::header_matcher::HeaderMatchSpecifier as Specifier;
    let bytes = |want: &str| -> Box<[u8]> { want.as_bytes().into() };
    let value = match value {
        None => return Ok(HeaderTest::Present(true)),
        Some(Specifier::PresentMatch(want)) => return Ok(HeaderTest::Present(*want)),
        Some(Specifier::RangeMatch(range)) => return Ok(HeaderTest::Range(range.start..range.end)),
        Some(Specifier::ExactMatch(want)) if want.is_empty() => return Ok(HeaderTest::AnyValue),
        Some(Specifier::ExactMatch(want)) => StringMatcher::Exact(bytes(want)),
        Some(Specifier::PrefixMatch(want)) => {
            StringMatcher::Prefix(bytes(text(want, &at.field("prefix_match"))?))
        }
        Some(Specifier::SuffixMatch(want)) => {
            StringMatcher::Suffix(bytes(text(want, &at.field("suffix_match"))?))
        }
        Some(Specifier::ContainsMatch(want)) => {
            StringMatcher::Contains(bytes(text(want, &at.field("contains_match"))?))
        }
        Some(Specifier::SafeRegexMatch(want)) => {
            StringMatcher::Regex(regex(want, &at.field("safe_regex_match"), cx)?)
        }
        Some(Specifier::StringMatch(want)) => string(want, &at.field("string_match"), cx)?,
    };
    Ok(HeaderTest::Value(value))
}

pub(super) fn header_name(name: &str, at: &At<'_>) -> Result<HeaderName, Invalid> {
    HeaderName::parse(name).ok_or_else(|| at.refuse(format!("{name:?} is not the name of a header")))
}

pub(super) fn queries(
    values: &[route::QueryParameterMatcher],
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Box<[QueryMatcher]>, Invalid> {
    values.iter().enumerate().map(|(nth, value)| query(value, &at.item(nth), cx)).collect()
}

fn query(
    value: &route::QueryParameterMatcher,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<QueryMatcher, Invalid> {
    use route::query_parameter_matcher::QueryParameterMatchSpecifier as Specifier;
    let route::QueryParameterMatcher { name, query_parameter_match_specifier } = value;
    let test = match query_parameter_match_specifier {
        None => QueryTest::Present(true),
        Some(Specifier::PresentMatch(want)) => QueryTest::Present(*want),
        Some(Specifier::StringMatch(want)) => QueryTest::Value(string(want, &at.field("string_match"), cx)?),
    };
    Ok(QueryMatcher { name: text(name, &at.field("name"))?.as_bytes().into(), test })
}
