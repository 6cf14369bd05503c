use std::borrow::Cow;

use super::{HeaderMatcher, HeaderName, HeaderTest, QueryMatcher, QueryTest, RequestHead, StringMatcher};

struct Head(Option<&'static str>);

impl RequestHead for Head {
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        (name == "x").then_some(self.0?).map(|value| Cow::Borrowed(value.as_bytes()))
    }

    fn path(&self) -> &[u8] {
        b"/"
    }
}

fn exact(text: &str) -> StringMatcher {
    StringMatcher::Exact(text.as_bytes().into())
}

fn header(test: HeaderTest, invert: bool, missing_as_empty: bool) -> HeaderMatcher {
    HeaderMatcher { name: HeaderName::parse("X").unwrap(), test, invert, missing_as_empty }
}

#[test]
fn an_absent_header_fails_a_value_test_even_inverted() {
    assert!(!header(HeaderTest::Value(exact("a")), false, false).matches(&Head(None)));
    assert!(!header(HeaderTest::Value(exact("a")), true, false).matches(&Head(None)));
    assert!(header(HeaderTest::Value(exact("a")), true, false).matches(&Head(Some("b"))));
}

#[test]
fn without_headers_takes_an_absent_header_for_an_empty_one() {
    let without = header(HeaderTest::Value(exact("a")), true, true);

    assert!(without.matches(&Head(None)));
    assert!(without.matches(&Head(Some("b"))));
    assert!(!without.matches(&Head(Some("a"))));
}

#[test]
fn presence_is_tested_in_both_senses() {
    let cases = [(true, false, true), (false, false, false), (true, true, false), (false, true, true)];
    for (want, invert, there) in cases {
        let matcher = header(HeaderTest::Present(want), invert, false);
        assert_eq!(matcher.matches(&Head(Some("v"))), there, "{want} {invert}");
        assert_eq!(matcher.matches(&Head(None)), !there, "{want} {invert}");
    }
}

#[test]
fn a_range_holds_whole_numbers_only() {
    let range = |value| header(HeaderTest::Range(-10..0), false, false).matches(&Head(Some(value)));

    assert!(range("-10"));
    assert!(range("-1"));
    assert!(!range("0"));
    assert!(!range("-1somestring"));
    assert!(!range("10.9"));
}

#[test]
fn strings_are_compared_in_all_forms() {
    let folded = StringMatcher::IgnoreCase(Box::new(StringMatcher::Contains(b"chrome".as_slice().into())));

    assert!(folded.matches(b"Mozilla CHROME/1"));
    assert!(StringMatcher::Suffix(b"c".as_slice().into()).matches(b"abc"));
    assert!(!StringMatcher::Prefix(b"A".as_slice().into()).matches(b"abc"));
}

#[test]
fn an_empty_query_value_is_that_of_a_bare_key() {
    let empty = QueryMatcher { name: b"k".as_slice().into(), test: QueryTest::Value(exact("")) };

    assert!(empty.matches(b"k"));
    assert!(empty.matches(b"a=1&k="));
    assert!(!empty.matches(b"k=1"));
    assert!(!empty.matches(b"kk"));
    assert!(!empty.matches(b""));
}

#[test]
fn the_first_value_of_a_parameter_counts() {
    let one = QueryMatcher { name: b"k".as_slice().into(), test: QueryTest::Value(exact("1")) };

    assert!(one.matches(b"k=1&k=2"));
    assert!(!one.matches(b"k=2&k=1"));
    assert!(QueryMatcher { name: b"k".as_slice().into(), test: QueryTest::Present(false) }.matches(b"x=1"));
}

#[test]
fn a_name_that_no_request_can_have_is_refused() {
    assert!(HeaderName::parse("a b").is_none());
    assert!(HeaderName::parse("").is_none());
    assert!(HeaderName::parse(":").is_none());
    assert_eq!(HeaderName::parse("X-Id").unwrap().as_str(), "x-id");
}
