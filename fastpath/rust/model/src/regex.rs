//! Regular expressions as Envoy takes them: RE2's dialect, the whole text must match, time linear in the text.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use regex_syntax::ast::{self, Ast, visit};
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, Look};

/// Longest pattern, in bytes.
pub const MAX_PATTERN_LEN: usize = 4096;
/// Largest compiled program, in bytes. A pattern such as `x{1000}{1000}` is refused before it takes memory.
pub const MAX_PROGRAM_SIZE: usize = 256 * 1024;
/// RE2's own limit on `{n,m}`.
const MAX_REPEAT: u32 = 1000;
/// The most one expression may use to speed itself up, per worker.
const CACHE_SIZE: usize = 128 * 1024;

/// Why a pattern is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRegex {
    /// An expression that matches the empty text only is a mistake.
    #[error("the regular expression is empty")]
    Empty,
    /// See [`MAX_PATTERN_LEN`].
    #[error("the regular expression has {0} bytes, at most {MAX_PATTERN_LEN} are allowed")]
    TooLong(usize),
    /// Not an expression of the dialect.
    #[error("not a valid RE2 expression: {0}")]
    Syntax(String),
    /// See [`MAX_PROGRAM_SIZE`].
    #[error("the regular expression compiles to more than {MAX_PROGRAM_SIZE} bytes")]
    TooLarge,
}

/// An expression that matches a whole text or not at all.
#[derive(Clone)]
pub struct FullRegex {
    pattern: Arc<str>,
    whole: Regex,
    /// Every text that matches begins with these bytes.
    literal_prefix: Arc<[u8]>,
}

impl FullRegex {
    /// Compiles a pattern. [`RegexCache::full`] does the same and shares equal patterns.
    pub fn parse(pattern: &str) -> Result<Self, InvalidRegex> {
        let hir = parse_hir(pattern)?;
        let literal_prefix = literal_prefix(&hir);
        let whole = compile(&Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]))?;
        Ok(Self { pattern: pattern.into(), whole, literal_prefix: literal_prefix.into() })
    }

    /// Does the whole text match?
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.whole.is_match(text)
    }

    /// What every matching text begins with; empty when nothing is known.
    pub fn literal_prefix(&self) -> &[u8] {
        &self.literal_prefix
    }

    /// The pattern as it was written.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }
}

impl fmt::Debug for FullRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FullRegex({:?})", self.pattern)
    }
}

/// Replaces every match of a pattern, as `regex_rewrite` does.
#[derive(Clone, Debug)]
pub struct RegexReplace {
    pattern: Regex,
    substitution: Arc<[Piece]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<[u8]>),
    Group(usize),
}

impl RegexReplace {
    /// Takes RE2's rewrite syntax: `\0` is the match, `\1` to `\9` are its groups, `\\` is a backslash.
    pub fn parse(pattern: &str, substitution: &str) -> Result<Self, InvalidRegex> {
        let pattern = compile(&parse_hir(pattern)?)?;
        let pieces = parse_substitution(substitution)?;
        let groups = pattern.group_info().group_len(regex_automata::PatternID::ZERO);
        let unknown = pieces.iter().find_map(|piece| match piece {
            Piece::Group(group) if *group >= groups => Some(*group),
            Piece::Group(_) | Piece::Text(_) => None,
        });
        match unknown {
            Some(group) => Err(InvalidRegex::Syntax(format!(
                "the substitution names \\{group}, a group that the pattern lacks"
            ))),
            None => Ok(Self { pattern, substitution: pieces.into() }),
        }
    }

    /// The text with every match replaced.
    pub fn replace_all(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 16);
        let mut done = 0;
        for captures in self.pattern.captures_iter(text) {
            let Some(found) = captures.get_match() else { continue };
            out.extend_from_slice(text.get(done..found.start()).unwrap_or_default());
            for piece in &*self.substitution {
                match piece {
                    Piece::Text(literal) => out.extend_from_slice(literal),
                    Piece::Group(group) => {
                        let span = captures.get_group(*group).map(|span| span.range());
                        out.extend_from_slice(span.and_then(|range| text.get(range)).unwrap_or_default());
                    }
                }
            }
            done = found.end();
        }
        out.extend_from_slice(text.get(done..).unwrap_or_default());
        out
    }
}

fn parse_substitution(substitution: &str) -> Result<Vec<Piece>, InvalidRegex> {
    let mut pieces = Vec::new();
    let mut text = Vec::new();
    let mut bytes = substitution.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            text.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'\\') => text.push(b'\\'),
            Some(digit @ b'0'..=b'9') => {
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text).into()));
                }
                pieces.push(Piece::Group(usize::from(digit - b'0')));
            }
            _ => {
                return Err(InvalidRegex::Syntax(
                    "in a substitution a backslash must be followed by a digit or a backslash".to_owned(),
                ));
            }
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.into()));
    }
    Ok(pieces)
}

/// Compiled expressions by pattern, so that a thousand routes with one expression hold it once.
#[derive(Debug, Default)]
pub struct RegexCache {
    full: HashMap<Box<str>, FullRegex>,
}

impl RegexCache {
    /// Patterns kept at most; past it the cache starts again.
    const CAPACITY: usize = 16_384;

    /// Compiles a pattern, or finds it again.
    pub fn full(&mut self, pattern: &str) -> Result<FullRegex, InvalidRegex> {
        if let Some(known) = self.full.get(pattern) {
            return Ok(known.clone());
        }
        let regex = FullRegex::parse(pattern)?;
        if self.full.len() >= Self::CAPACITY {
            self.full.clear();
        }
        self.full.insert(pattern.into(), regex.clone());
        Ok(regex)
    }
}

/// Classes such as `\d` are ASCII, as in RE2, and `.` stands for any byte, so that no header is invalid text.
fn syntax_config() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false).nest_limit(200)
}

fn parse_hir(pattern: &str) -> Result<Hir, InvalidRegex> {
    match pattern.len() {
        0 => return Err(InvalidRegex::Empty),
        len if len > MAX_PATTERN_LEN => return Err(InvalidRegex::TooLong(len)),
        _ => {}
    }
    let tree = ast::parse::ParserBuilder::new().nest_limit(200).build().parse(pattern);
    let tree = tree.map_err(|error| InvalidRegex::Syntax(error.kind().to_string()))?;
    visit(&tree, Dialect)?;
    syntax::parse_with(pattern, &syntax_config()).map_err(|error| InvalidRegex::Syntax(one_line(&error)))
}

fn one_line(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(inner) => inner.kind().to_string(),
        regex_syntax::Error::Translate(inner) => inner.kind().to_string(),
        other => other.to_string(),
    }
}

fn compile(hir: &Hir) -> Result<Regex, InvalidRegex> {
    let config = Regex::config()
        .utf8_empty(false)
        .nfa_size_limit(Some(MAX_PROGRAM_SIZE))
        .hybrid_cache_capacity(CACHE_SIZE)
        .onepass_size_limit(Some(CACHE_SIZE));
    Regex::builder().configure(config).build_from_hir(hir).map_err(|_| InvalidRegex::TooLarge)
}

fn literal_prefix(hir: &Hir) -> Vec<u8> {
    let literals = Extractor::new().extract(hir);
    literals.longest_common_prefix().map(<[u8]>::to_vec).unwrap_or_default()
}

/// Refuses what Rust's syntax reads otherwise than RE2's, so that a pattern never means two things.
struct Dialect;

impl ast::Visitor for Dialect {
    type Output = ();
    type Err = InvalidRegex;

    fn finish(self) -> Result<(), InvalidRegex> {
        Ok(())
    }

    fn visit_pre(&mut self, tree: &Ast) -> Result<(), InvalidRegex> {
        match tree {
            Ast::Flags(set) => flags(&set.flags),
            Ast::Group(group) => group.flags().map_or(Ok(()), flags),
            Ast::Repetition(repetition) => repeat(&repetition.op.kind),
            _ => Ok(()),
        }
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ast::ClassSetBinaryOp) -> Result<(), InvalidRegex> {
        Err(InvalidRegex::Syntax("`&&`, `--` and `~~` in a class must be escaped".to_owned()))
    }

    fn visit_class_set_item_pre(&mut self, item: &ast::ClassSetItem) -> Result<(), InvalidRegex> {
        match item {
            ast::ClassSetItem::Bracketed(_) => {
                Err(InvalidRegex::Syntax("`[` in a class must be escaped".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

fn flags(flags: &ast::Flags) -> Result<(), InvalidRegex> {
    match flags.flag_state(ast::Flag::IgnoreWhitespace) {
        Some(_) => Err(InvalidRegex::Syntax("RE2 has no flag `x`".to_owned())),
        None => Ok(()),
    }
}

fn repeat(kind: &ast::RepetitionKind) -> Result<(), InvalidRegex> {
    let most = match kind {
        ast::RepetitionKind::Range(ast::RepetitionRange::Exactly(n) | ast::RepetitionRange::AtLeast(n)) => *n,
        ast::RepetitionKind::Range(ast::RepetitionRange::Bounded(_, n)) => *n,
        _ => 0,
    };
    match most > MAX_REPEAT {
        true => Err(InvalidRegex::Syntax(format!("a repetition counts at most to {MAX_REPEAT}"))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
