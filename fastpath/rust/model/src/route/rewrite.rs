//! Path rewriting.

use super::split_path;
use crate::regex::RegexReplace;

/// How a path is rewritten. The query stays.
#[derive(Clone, Debug)]
pub enum PathRewrite {
    /// As many bytes as matched are replaced by the text.
    Prefix { matched: usize, with: Box<[u8]> },
    /// The whole path is replaced by the text.
    Whole(Box<[u8]>),
    /// Every match in the path is replaced.
    Regex(RegexReplace),
}

impl PathRewrite {
    /// The new request target for this one (`/a?b=c`).
    pub fn apply(&self, target: &[u8]) -> Vec<u8> {
        let (path, _) = split_path(target);
        let tail = target.get(path.len()..).unwrap_or_default();
        let mut out = match self {
            Self::Prefix { matched, with } => [with, path.get(*matched..).unwrap_or_default()].concat(),
            Self::Whole(text) => text.to_vec(),
            Self::Regex(replace) => replace.replace_all(path),
        };
        out.extend_from_slice(tail);
        out
    }
}
