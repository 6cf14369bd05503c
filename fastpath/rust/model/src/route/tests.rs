use std::borrow::Cow;

use proptest::prelude::*;

use super::host_index::HostIndexBuilder;
use super::{HostIndex, PathIndex, PathMatcher, PathRewrite, PathText, WeightedClusters, split_path};
use crate::matcher::RequestHead;
use crate::regex::FullRegex;

fn text(text: &str, ignore_case: bool) -> PathText {
    PathText::new(text, ignore_case)
}

/// Paths over a small alphabet, so that prefixes, equal texts and near misses are common.
fn paths() -> impl Strategy<Value = String> {
    "/[abA/]{0,6}"
}

fn matchers() -> impl Strategy<Value = PathMatcher> {
    (paths(), any::<bool>(), 0..4).prop_map(|(path, ignore_case, kind)| match kind {
        0 => PathMatcher::Exact(text(&path, ignore_case)),
        1 => PathMatcher::Prefix(text(&path, ignore_case)),
        2 => PathMatcher::SegmentPrefix(text(path.trim_end_matches('/'), ignore_case)),
        _ => PathMatcher::Regex(FullRegex::parse(&format!("{path}.?")).unwrap()),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_index_finds_what_trying_one_after_the_other_finds(
        matchers in prop::collection::vec(matchers(), 0..20),
        path in paths(),
        skip in prop::collection::vec(any::<bool>(), 20),
    ) {
        let passes = |position: usize| matchers[position].matches(path.as_bytes()) && !skip[position];
        let naive = (0..matchers.len()).find(|position| passes(*position));

        let found = PathIndex::new(&matchers).find(path.as_bytes(), |position| passes(position).then_some(position));

        prop_assert_eq!(found, naive);
    }

    #[test]
    fn hosts_are_found_as_the_rules_say(
        domains in prop::collection::hash_set("([*]|[*]?[ab.]{1,4}|[ab.]{1,4}[*])", 0..12),
        host in "[abA.]{1,6}",
    ) {
        let domains: Vec<String> = domains.into_iter().collect();
        let naive = naive_host(&domains, &host.to_ascii_lowercase());

        prop_assert_eq!(index(&domains).find(host.as_bytes()), naive);
    }

    #[test]
    fn splitting_a_target_loses_nothing_but_marks(path in "/[a-z]{0,5}", query in "[a-z=&]{0,5}") {
        let target = format!("{path}?{query}#x");
        prop_assert_eq!(split_path(target.as_bytes()), (path.as_bytes(), query.as_bytes()));
    }
}

fn index(domains: &[String]) -> HostIndex {
    let mut builder = HostIndexBuilder::default();
    for (position, domain) in domains.iter().enumerate() {
        builder.add(domain, position).unwrap();
    }
    builder.build()
}

fn naive_host(domains: &[String], host: &str) -> Option<usize> {
    let rank = |domain: &str| match (domain.strip_prefix('*'), domain.strip_suffix('*')) {
        _ if domain == host => Some((3, 0)),
        _ if domain == "*" => Some((0, 0)),
        (Some(end), _) => (host.ends_with(end) && host.len() > end.len()).then_some((2, end.len())),
        (_, Some(start)) => (host.starts_with(start) && host.len() > start.len()).then_some((1, start.len())),
        _ => None,
    };
    let ranked = domains.iter().enumerate().filter_map(|(position, domain)| Some((rank(domain)?, position)));
    ranked.max().map(|(_, position)| position)
}

#[test]
fn a_wildcard_does_not_take_the_bare_domain_nor_a_host_with_a_port() {
    let index = index(&["*.foo.com".to_owned(), "foo.org".to_owned()]);

    assert_eq!(index.find(b"foo.com"), None);
    assert_eq!(index.find(b"a.foo.com"), Some(0));
    assert_eq!(index.find(b"FOO.org"), Some(1));
    assert_eq!(index.find(b"foo.org:80"), None);
}

#[test]
fn domains_must_be_unique_and_have_one_star_at_one_end() {
    let mut builder = HostIndexBuilder::default();

    builder.add("A.com", 0).unwrap();

    assert!(builder.add("a.COM", 1).is_err());
    assert!(builder.add("a.*.com", 1).is_err());
    assert!(builder.add("*a*", 1).is_err());
    assert!(builder.add("", 1).is_err());
}

#[test]
fn a_segment_prefix_ends_where_the_name_of_a_segment_does() {
    let matcher = PathMatcher::SegmentPrefix(text("/v2", false));

    for path in ["/v2", "/v2/x", "/v2;x", "/v2;", "/v2%2Fx", "/v2%5cx", "/v2%3b", "/v2\\x"] {
        assert!(matcher.matches(path.as_bytes()), "{path}");
    }
    for path in ["/v2example", "/v2%", "/v2%2", "/v2%20", "/v", ""] {
        assert!(!matcher.matches(path.as_bytes()), "{path}");
    }
}

#[test]
fn a_prefix_rewrite_replaces_what_matched_and_keeps_the_query() {
    let slash = PathRewrite::Prefix { matched: 4, with: b"/".as_slice().into() };

    assert_eq!(slash.apply(b"/foo/bar"), b"//bar");
    assert_eq!(slash.apply(b"/foobar?q=1"), b"/bar?q=1");
    assert_eq!(PathRewrite::Whole(b"/x".as_slice().into()).apply(b"/a/b?c"), b"/x?c");
}

struct Bucket(&'static str);

impl RequestHead for Bucket {
    fn header(&self, _: &str) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Borrowed(self.0.as_bytes()))
    }

    fn path(&self) -> &[u8] {
        b"/"
    }
}

#[test]
fn a_header_chooses_among_weights_and_nonsense_falls_back_to_chance() {
    use super::{ClusterName, WeightedCluster};
    use crate::ids::{ClusterIndex, Index};
    let entry = |position, weight| WeightedCluster {
        cluster: ClusterName::Known(ClusterIndex::at(position)),
        weight,
        metadata_match: None,
        request_headers: Default::default(),
        response_headers: Default::default(),
        overrides: Default::default(),
        host_rewrite: None,
    };
    let header = crate::matcher::HeaderName::parse("bucket");
    let clusters =
        WeightedClusters { entries: [entry(0, 0), entry(1, 3), entry(2, 1)].into(), total: 4, header };
    let pick = |value, random| clusters.pick(&Bucket(value), random).map(|(position, _)| position);

    assert_eq!(pick("6", 0), Some(1));
    assert_eq!(pick("7", 0), Some(2));
    assert_eq!(pick("-1", 3), Some(2));
    assert_eq!(pick("text", 0), Some(1));
}
