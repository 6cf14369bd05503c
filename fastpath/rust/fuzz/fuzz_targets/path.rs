//! What a policy sees is what the server gets: a normalised path is normal, and stays so.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshloom_wire::path::{EscapedSlashes, PathOutcome, PathRules, normalize};

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, target) = input;
    // The codec lets nothing else through.
    if !target.starts_with(b"/") || !target.iter().all(|byte| matches!(byte, b'!'..=b'~') && *byte != b'#') {
        return;
    }
    let rules = PathRules {
        normalize: choice & 1 != 0,
        merge_slashes: choice & 2 != 0,
        escaped_slashes: match choice >> 2 & 3 {
            0 => EscapedSlashes::Keep,
            1 => EscapedSlashes::Reject,
            2 => EscapedSlashes::UnescapeAndRedirect,
            _ => EscapedSlashes::UnescapeAndForward,
        },
    };
    let normal = match normalize(target, rules) {
        PathOutcome::Reject => return,
        PathOutcome::Unchanged => target.to_vec(),
        PathOutcome::Changed(normal) | PathOutcome::Redirect(normal) => normal,
    };
    assert_eq!(normalize(&normal, rules), PathOutcome::Unchanged, "{}", normal.escape_ascii());
    let path = normal.split(|byte| *byte == b'?').next().unwrap_or_default();
    assert!(path.starts_with(b"/"));
    let merged = path.windows(2).all(|pair| pair != b"//");
    assert!(merged || !rules.merge_slashes);
    let plain = path.split(|byte| *byte == b'/').all(|segment| segment != b"." && segment != b"..");
    assert!(plain || !rules.normalize);
});
