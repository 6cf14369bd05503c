//! Finds the first route for a path without trying all of them.
//!
//! Each route is filed under the text that every path it takes must begin with: its prefix, or the literal beginning of
//! its regular expression; exact paths have a table of their own. The few lists that can hold a match for a path are
//! merged in the order of the configuration, so the outcome is that of trying one route after the other.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::PathMatcher;
use super::prefix_tree::PrefixTree;

/// Positions of routes, ascending.
type Positions = Box<[u32]>;

/// So few routes are tried one after the other faster than looked up.
const FEW: u32 = 4;

/// Positions of routes by path.
#[derive(Clone, Debug)]
pub struct PathIndex(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// Every one of so many routes may match.
    Scan(u32),
    /// Only some may.
    Lookup(Box<Lookup>),
}

#[derive(Clone, Debug)]
struct Lookup {
    by_case: Half,
    without_case: Half,
}

/// The routes for which case matters, or the others (whose texts, and the path they are looked up with, are lower case).
#[derive(Clone, Debug)]
struct Half {
    exact: HashMap<Box<[u8]>, Positions>,
    prefixes: PrefixTree<Positions>,
}

impl PathIndex {
    /// Files the paths of routes, given in the order of the configuration.
    pub fn new<'m>(paths: impl IntoIterator<Item = &'m PathMatcher>) -> Self {
        let (mut by_case, mut without_case) = (HalfBuilder::default(), HalfBuilder::default());
        let mut count = 0;
        for (position, path) in (0u32..).zip(paths) {
            let half = if ignores_case(path) { &mut without_case } else { &mut by_case };
            half.add(position, path);
            count = position + 1;
        }
        match count <= FEW {
            true => Self(Kind::Scan(count)),
            false => Self(Kind::Lookup(Box::new(Lookup {
                by_case: by_case.build(),
                without_case: without_case.build(),
            }))),
        }
    }

    /// Asks `test` about the positions that may match, in ascending order, until it has an answer.
    pub fn find<T>(&self, path: &[u8], mut test: impl FnMut(usize) -> Option<T>) -> Option<T> {
        match &self.0 {
            Kind::Scan(count) => (0..*count as usize).find_map(test),
            Kind::Lookup(lookup) => lookup.find(path, &mut test),
        }
    }
}

impl Lookup {
    fn find<T>(&self, path: &[u8], test: &mut impl FnMut(usize) -> Option<T>) -> Option<T> {
        let mut lists: SmallVec<[&[u32]; 8]> = SmallVec::new();
        self.by_case.collect(path, &mut lists);
        if !self.without_case.is_empty() {
            let lower: SmallVec<[u8; 128]> = path.iter().map(u8::to_ascii_lowercase).collect();
            self.without_case.collect(&lower, &mut lists);
        }
        if let [only] = lists.as_slice() {
            return only.iter().find_map(|position| test(*position as usize));
        }
        loop {
            let least =
                lists.iter_mut().filter(|list| !list.is_empty()).min_by_key(|list| list.first().copied())?;
            let (position, rest) = least.split_first()?;
            *least = rest;
            if let Some(found) = test(*position as usize) {
                return Some(found);
            }
        }
    }
}

fn ignores_case(path: &PathMatcher) -> bool {
    match path {
        PathMatcher::Exact(text) | PathMatcher::Prefix(text) | PathMatcher::SegmentPrefix(text) => {
            text.ignore_case
        }
        PathMatcher::Regex(_) => false,
    }
}

#[derive(Default)]
struct HalfBuilder {
    exact: HashMap<Box<[u8]>, Vec<u32>>,
    prefixes: HashMap<Box<[u8]>, Vec<u32>>,
}

impl HalfBuilder {
    fn add(&mut self, position: u32, path: &PathMatcher) {
        let (table, text): (_, &[u8]) = match path {
            PathMatcher::Exact(text) => (&mut self.exact, &text.text),
            PathMatcher::Prefix(text) | PathMatcher::SegmentPrefix(text) => (&mut self.prefixes, &text.text),
            PathMatcher::Regex(regex) => (&mut self.prefixes, regex.literal_prefix()),
        };
        table.entry(text.into()).or_default().push(position);
    }

    fn build(self) -> Half {
        Half {
            exact: self.exact.into_iter().map(|(text, positions)| (text, positions.into())).collect(),
            prefixes: PrefixTree::new(
                self.prefixes.into_iter().map(|(text, positions)| (text, positions.into())),
            ),
        }
    }
}

impl Half {
    fn collect<'i>(&'i self, path: &[u8], lists: &mut SmallVec<[&'i [u32]; 8]>) {
        if !self.exact.is_empty() {
            lists.extend(self.exact.get(path).map(|positions| &**positions));
        }
        lists.extend(self.prefixes.prefixes_of(path).map(|(_, positions)| &**positions));
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }
}
