//! Tests on strings, headers and query parameters, as routes, access log filters and certificates use them.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::regex::FullRegex;

/// The head of a request, as routes and header tests look at it.
///
/// Names are lower case. `:method`, `:path` (with the query), `:authority` and `:scheme` are headers too.
pub trait RequestHead {
    /// The value of a header: of its first line, or of all of them joined by `,` where the reader joins them. `None`
    /// when there is no such line.
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>>;

    /// Does any line of this name pass? `None` when there is no such line.
    fn any_line(&self, name: &str, passes: &mut dyn FnMut(&[u8]) -> bool) -> Option<bool> {
        self.header(name).map(|value| passes(&value))
    }

    /// The request target with its query, such as `/a?b=c`.
    fn path(&self) -> &[u8];
}

/// A header's name in lower case, or a pseudo-header such as `:path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeaderName(Arc<str>);

impl HeaderName {
    /// Takes a name in any case. `None` when it could not stand in a request: then nothing could ever match it.
    pub fn parse(raw: &str) -> Option<Self> {
        let token = raw.strip_prefix(':').unwrap_or(raw);
        let valid = !token.is_empty() && token.bytes().all(is_token_byte);
        valid.then(|| Self(raw.to_ascii_lowercase().into()))
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is this `:path`, `:method`, `:authority` or another name that starts with a colon?
    pub fn is_pseudo(&self) -> bool {
        self.0.starts_with(':')
    }
}

/// RFC 9110 5.6.2: the bytes a field name may have.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A test on one string.
#[derive(Clone, Debug)]
pub enum StringMatcher {
    /// The whole string.
    Exact(Box<[u8]>),
    /// Its beginning.
    Prefix(Box<[u8]>),
    /// Its end.
    Suffix(Box<[u8]>),
    /// Any part of it.
    Contains(Box<[u8]>),
    /// The whole string, against a regular expression.
    Regex(FullRegex),
    /// The inner test, without regard to the case of ASCII letters. The inner text is in lower case.
    IgnoreCase(Box<StringMatcher>),
}

impl StringMatcher {
    /// Does the value pass?
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(want) => value == &**want,
            Self::Prefix(want) => value.starts_with(want),
            Self::Suffix(want) => value.ends_with(want),
            Self::Contains(want) => contains(value, want),
            Self::Regex(regex) => regex.is_match(value),
            Self::IgnoreCase(inner) => inner.matches(&value.to_ascii_lowercase()),
        }
    }
}

fn contains(value: &[u8], want: &[u8]) -> bool {
    want.is_empty() || value.windows(want.len()).any(|window| window == want)
}

/// A condition on one header.
#[derive(Clone, Debug)]
pub struct HeaderMatcher {
    /// Which header.
    pub name: HeaderName,
    /// What is asked of it.
    pub test: HeaderTest,
    /// Turns the outcome round.
    pub invert: bool,
    /// Tests an absent header as if it were there and empty. Without this an absent header fails every test of a
    /// value, inverted or not.
    pub missing_as_empty: bool,
}

/// What a [`HeaderMatcher`] asks.
#[derive(Clone, Debug)]
pub enum HeaderTest {
    /// The header is there (`true`) or absent (`false`).
    Present(bool),
    /// The header's value passes.
    Value(StringMatcher),
    /// The header's value is a whole number in this range.
    Range(Range<i64>),
    /// Any value passes (Envoy's reading of the deprecated `exact_match` with an empty text).
    AnyValue,
}

impl HeaderMatcher {
    /// Does this request pass? Of a header with several lines one has to, or none where the test is turned round.
    pub fn matches(&self, head: &impl RequestHead) -> bool {
        self.outcome(head.any_line(self.name.as_str(), &mut |value| self.passes(value)))
    }

    /// The same test on a value that the caller has looked up, `None` when the header is absent.
    pub fn matches_value(&self, value: Option<&[u8]>) -> bool {
        self.outcome(value.map(|value| self.passes(value)))
    }

    fn outcome(&self, passed: Option<bool>) -> bool {
        let passed = match passed {
            Some(passed) => passed,
            None if self.missing_as_empty => self.passes(b""),
            None => return matches!(self.test, HeaderTest::Present(want) if want == self.invert),
        };
        passed != self.invert
    }

    fn passes(&self, value: &[u8]) -> bool {
        match &self.test {
            HeaderTest::Present(want) => *want,
            HeaderTest::Value(matcher) => matcher.matches(value),
            HeaderTest::Range(range) => parse_integer(value).is_some_and(|number| range.contains(&number)),
            HeaderTest::AnyValue => true,
        }
    }
}

fn parse_integer(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// A condition on one parameter of the query.
#[derive(Clone, Debug)]
pub struct QueryMatcher {
    /// Which parameter; compared without decoding, as Envoy does.
    pub name: Box<[u8]>,
    /// What is asked of its first value.
    pub test: QueryTest,
}

/// What a [`QueryMatcher`] asks.
#[derive(Clone, Debug)]
pub enum QueryTest {
    /// The parameter is there (`true`) or absent (`false`).
    Present(bool),
    /// The parameter's value passes; `?k` has the empty value.
    Value(StringMatcher),
}

impl QueryMatcher {
    /// Does the query (the part after `?`, without a fragment) pass?
    pub fn matches(&self, query: &[u8]) -> bool {
        match (&self.test, self.value(query)) {
            (QueryTest::Present(want), value) => *want == value.is_some(),
            (QueryTest::Value(matcher), Some(value)) => matcher.matches(value),
            (QueryTest::Value(_), None) => false,
        }
    }

    fn value<'q>(&self, query: &'q [u8]) -> Option<&'q [u8]> {
        query.split(|byte| *byte == b'&').find_map(|pair| match pair.strip_prefix(&*self.name)? {
            value @ [] => Some(value),
            [b'=', value @ ..] => Some(value),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
