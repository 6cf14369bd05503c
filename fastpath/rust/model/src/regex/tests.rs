use std::time::Instant;

use super::{FullRegex, InvalidRegex, MAX_PATTERN_LEN, RegexCache, RegexReplace};

fn full(pattern: &str) -> FullRegex {
    FullRegex::parse(pattern).unwrap()
}

#[test]
fn the_whole_text_must_match() {
    assert!(full("/rx/[a-z]+").is_match(b"/rx/abc"));
    assert!(!full("/rx/[a-z]+").is_match(b"/rx/abc/d"));
    assert!(!full("curl").is_match(b"curl/7.88.1"));
    assert!(full("a|ab").is_match(b"ab"));
    assert!(full("^bench-[0-9]+$").is_match(b"bench-17"));
    assert!(!full("a").is_match(b"a\n"));
}

#[test]
fn bytes_that_are_not_text_can_be_matched() {
    assert!(full(".*").is_match(b"\xff\xfe"));
    assert!(!full(r"\d").is_match("٣".as_bytes()));
}

#[test]
fn what_re2_lacks_or_reads_otherwise_is_refused() {
    for pattern in
        [r"(a)\1", "(?=a)", "(?<=a)b", "*", "a(", "(?x) a", "[a&&b]", "[[a]b]", "a{1001}", r"\Qa\E", "a)|(b"]
    {
        assert!(matches!(FullRegex::parse(pattern), Err(InvalidRegex::Syntax(_))), "{pattern}");
    }
}

#[test]
fn size_is_capped_before_memory_is_taken() {
    assert!(matches!(FullRegex::parse(""), Err(InvalidRegex::Empty)));
    assert!(matches!(FullRegex::parse(&"a".repeat(MAX_PATTERN_LEN + 1)), Err(InvalidRegex::TooLong(_))));
    assert!(matches!(FullRegex::parse("(x{1000}){1000}"), Err(InvalidRegex::TooLarge)));
    assert!(matches!(FullRegex::parse(&"(".repeat(3000)), Err(InvalidRegex::Syntax(_))));
}

#[test]
fn a_nested_repetition_takes_linear_time() {
    let evil = full("(a+)+$");
    let text = [vec![b'a'; 64 * 1024], vec![b'!']].concat();
    let start = Instant::now();

    assert!(!evil.is_match(&text));

    assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
}

#[test]
fn the_literal_beginning_is_known() {
    assert_eq!(full("/api/v[0-9]+/users").literal_prefix(), b"/api/v");
    assert_eq!(full("/a/b|/a/c").literal_prefix(), b"/a/");
    assert_eq!(full("^/x.*").literal_prefix(), b"/x");
    assert_eq!(full(".*").literal_prefix(), b"");
    assert_eq!(full("(?i)/a").literal_prefix(), b"/");
}

#[test]
fn equal_patterns_are_compiled_once() {
    let mut cache = RegexCache::default();

    let (first, second) = (cache.full("a+").unwrap(), cache.full("a+").unwrap());

    assert!(std::ptr::eq(first.pattern(), second.pattern()));
}

#[test]
fn every_match_is_replaced_with_groups() {
    let swap = RegexReplace::parse("/([a-z]+)/([a-z]+)", r"/\2/\1\\").unwrap();

    assert_eq!(swap.replace_all(b"/a/b/c/d!"), b"/b/a\\/d/c\\!");
    assert_eq!(swap.replace_all(b"none"), b"none");
    assert!(RegexReplace::parse("a", r"\1").is_err());
    assert!(RegexReplace::parse("a", r"\x").is_err());
}
