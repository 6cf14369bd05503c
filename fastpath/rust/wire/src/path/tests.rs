use super::{EscapedSlashes, PathOutcome, PathRules, climbs, normalize};

const BASE: PathRules =
    PathRules { normalize: true, merge_slashes: false, escaped_slashes: EscapedSlashes::Keep };

fn run(target: &str, rules: PathRules) -> String {
    match normalize(target.as_bytes(), rules) {
        PathOutcome::Unchanged => target.to_owned(),
        PathOutcome::Changed(changed) => String::from_utf8(changed).expect("ascii"),
        PathOutcome::Reject => "reject".to_owned(),
        PathOutcome::Redirect(to) => format!("redirect {}", String::from_utf8(to).expect("ascii")),
    }
}

#[test]
fn base_rules_give_what_a_real_envoy_gives() {
    assert_eq!(run("/dump/../dump/%2e%2e/dump//x%2fy", BASE), "/dump//x%2fy");
    for (raw, want) in [
        ("/", "/"),
        ("/a/b?x=/../y", "/a/b?x=/../y"),
        ("/a/./b", "/a/b"),
        ("/a/../../b", "/b"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/.", "/a/"),
        ("/%61dmin", "/admin"),
        ("/a\\b", "/a/b"),
        ("/x/%2E%2E/admin", "/admin"),
        ("/a%zz", "/a%zz"),
        ("/a%", "/a%"),
        ("/a%/../b", "/b"),
        ("/%2%2e/", "/%2./"),
        ("/a%2%35b%41", "/a%2525bA"),
        ("/%z%41", "/%zA"),
        ("/a\"b<>|", "/a%22b%3C%3E%7C"),
        ("/a%00", "reject"),
        ("/.hidden", "/.hidden"),
    ] {
        assert_eq!(run(raw, BASE), want, "{raw}");
    }
}

#[test]
fn slashes_are_merged_when_asked() {
    let rules = PathRules { merge_slashes: true, ..BASE };
    assert_eq!(run("//a///b//", rules), "/a/b/");
    assert_eq!(run("/a//../b", rules), "/a/b");
    for hidden in ["/%2fadmin", "/%5cadmin", "/%2F/admin", "/%252fadmin"] {
        assert_eq!(run(hidden, rules), "reject", "{hidden}");
        assert_eq!(run(hidden, BASE), hidden);
    }
    assert_eq!(run("/to/%2Fhome%2f", rules), "/to/%2Fhome%2f");
    assert_eq!(run("/%20%2f", rules), "/%20%2f");
}

#[test]
fn escaped_slashes_follow_the_rule() {
    let with = |escaped_slashes| PathRules { escaped_slashes, ..BASE };
    assert_eq!(run("/a%2Fb", with(EscapedSlashes::Reject)), "reject");
    assert_eq!(run("/a%2F..%5cb", with(EscapedSlashes::UnescapeAndForward)), "/b");
    assert_eq!(run("/a%2fb?q", with(EscapedSlashes::UnescapeAndRedirect)), "redirect /a/b?q");
    assert_eq!(run("/%2fevil.example/", with(EscapedSlashes::UnescapeAndRedirect)), "reject");
    assert_eq!(run("/a?b=%2f", with(EscapedSlashes::Reject)), "/a?b=%2f");
}

#[test]
fn normalising_twice_changes_nothing() {
    for raw in ["/a/%2e%2e/%2f//b/..//c\\..", "/%25%2e", "/a;b/../c%3b", "/..;/a", "/%2%65%2%65", "/%%32e"] {
        let once = run(raw, BASE);
        assert_eq!(run(&once, BASE), once, "{raw}");
    }
}

#[test]
fn what_could_still_climb_is_refused() {
    for raw in [
        "/x/..;/admin",
        "/x/.;a/admin",
        "/x/..;a=b;c/admin",
        "/x/%2e%2e;/admin",
        "/x/..%3b/admin",
        "/x/..%3Bv=1/admin",
        "/x/%252e%252e/admin",
        "/x/%252e./admin",
        "/x/%25252e%25252e/admin",
        "/x/..%2fadmin",
        "/x/..%252fadmin",
        "/x/..%5cadmin",
        "/x/..%255cadmin",
        "/x%2f..%2fadmin",
        "/x%2f%2e%2e%2fadmin",
        "/x/%c0%ae%c0%ae/admin",
        "/x/..%c0%afadmin",
        "/x/%e0%80%ae%e0%80%ae/admin",
        "/x/%f0%80%80%ae./admin",
        "/x/%25c0%25ae/admin",
        "/;/admin",
        "/;x/admin",
        "/x/%3bx/admin",
        "/%2525252525252e/x",
        "/%2%65%2%65/admin",
        "/%%32e/x",
    ] {
        assert_eq!(run(raw, BASE), "reject", "{raw}");
        // Nobody asked for it: then the path is nobody's but the server's.
        assert_eq!(run(raw, PathRules::default()), raw);
    }
}

#[test]
fn parameters_and_escapes_that_hide_nothing_pass() {
    for raw in [
        "/books;id=1/pages;from=2",
        "/;jsessionid=1",
        "/a;..",
        "/a/...;x",
        "/a%2fb",
        "/a%252fb",
        "/v1/%7Btenant%7D",
        "/caf%C3%A9",
        "/%E2%82%AC",
        "/100%25",
        "/a%20b%2520c",
        "/a%3bb",
        "/%zz",
        "/a%",
    ] {
        assert_eq!(run(raw, BASE), raw, "{raw}");
    }
}

#[test]
fn many_layers_cost_no_more_than_a_few() {
    let raw = format!("/%{}2e", "25".repeat(20_000));
    assert_eq!(run(&raw, BASE), "reject");
}

#[test]
fn a_target_climbs_by_dot_segments_open_or_hidden() {
    for target in ["/..", "/../x", "/./x", "/x/..?q", "/..;x/y", "/%2e%2e/", "/..%2fx", "/;x/y"] {
        assert!(climbs(target.as_bytes()), "{target}");
    }
    for target in ["/", "/x", "/x..", "/...", "/x?a=/../b", "/a;b=c/d", "//x", "/%20"] {
        assert!(!climbs(target.as_bytes()), "{target}");
    }
}
