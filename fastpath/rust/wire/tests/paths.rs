//! Properties of path normalisation: what a policy saw is what every reader behind us sees.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use meshloom_wire::path::{EscapedSlashes, PathOutcome, PathRules, normalize};
use proptest::prelude::*;

/// Pieces of which attacks on paths are made.
const PIECES: [&str; 32] = [
    "/",
    "/",
    "//",
    ".",
    "..",
    "/../",
    "/./",
    "\\",
    ";",
    ";x",
    "..;",
    "%2e",
    "%2E",
    "%2f",
    "%5c",
    "%5C",
    "%25",
    "%252e",
    "%252f",
    "%c0%ae",
    "%c0%af",
    "%e0%80%af",
    "%00",
    "%",
    "%2",
    "%61",
    "%7e",
    "%3b",
    "a",
    "admin",
    "|",
    "%zz",
];

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&PIECES[..]), 0..12)
        .prop_map(|pieces| format!("/{}", pieces.concat()))
}

fn rules() -> impl Strategy<Value = PathRules> {
    use EscapedSlashes::{Keep, Reject, UnescapeAndForward, UnescapeAndRedirect};
    let slashes = prop::sample::select(vec![Keep, Reject, UnescapeAndForward, UnescapeAndRedirect]);
    (any::<bool>(), any::<bool>(), slashes).prop_map(|(normalize, merge_slashes, escaped_slashes)| {
        PathRules { normalize, merge_slashes, escaped_slashes }
    })
}

/// What a request asks for after the rules; `None` when it is refused.
fn outcome(target: &str, rules: PathRules) -> Option<String> {
    match normalize(target.as_bytes(), rules) {
        PathOutcome::Unchanged => Some(target.to_owned()),
        PathOutcome::Changed(path) | PathOutcome::Redirect(path) => Some(String::from_utf8(path).unwrap()),
        PathOutcome::Reject => None,
    }
}

/// One layer of escapes less, as a server would do it.
fn decode(path: &[u8]) -> Vec<u8> {
    let digit = |at: usize| path.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::new();
    let mut at = 0;
    while at < path.len() {
        match (path[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high << 4 | low).unwrap());
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| {
        let name = segment.split(|byte| *byte == b';').next().unwrap();
        matches!(name, b"." | b"..")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_normalised_path_is_normal(target in path(), rules in rules()) {
        if let Some(once) = outcome(&target, rules) {
            let twice = outcome(&once, rules);
            prop_assert_eq!(twice, Some(once), "{}", target);
        }
    }

    #[test]
    fn no_reader_climbs_out_of_a_normalised_path(target in path(), rules in rules()) {
        let rules = PathRules { normalize: true, ..rules };
        if let Some(normal) = outcome(&target, rules) {
            let mut seen = normal.into_bytes();
            for _ in 0..6 {
                prop_assert!(!has_dot_segment(&seen), "{} as {}", target, seen.escape_ascii());
                seen = decode(&seen);
            }
        }
    }

    #[test]
    fn merged_slashes_stay_single(target in path(), rules in rules()) {
        let rules = PathRules { merge_slashes: true, ..rules };
        if let Some(normal) = outcome(&target, rules) {
            prop_assert!(!normal.contains("//"), "{} as {}", target, normal);
        }
    }

    #[test]
    fn no_escaped_slash_is_left_where_they_are_unescaped(target in path(), rules in rules()) {
        let rules = PathRules { escaped_slashes: EscapedSlashes::UnescapeAndForward, ..rules };
        if let Some(normal) = outcome(&target, rules) {
            let lower = normal.to_ascii_lowercase();
            prop_assert!(!lower.contains("%2f") && !lower.contains("%5c"), "{} as {}", target, normal);
        }
    }

    #[test]
    fn the_query_is_nobody_s_business(target in path(), query in "[!-~&&[^#]]{0,20}", rules in rules()) {
        let with = outcome(&format!("{target}?{query}"), rules);
        prop_assert_eq!(with, outcome(&target, rules).map(|path| format!("{path}?{query}")));
    }
}
