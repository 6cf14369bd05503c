//! Which virtual host a host name belongs to: exact name, then longest `*suffix`, then longest `prefix*`, then `*`.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::prefix_tree::PrefixTree;

/// A host name; most fit where they are looked for, which spares a cache miss.
type Name = SmallVec<[u8; 32]>;

/// Positions of virtual hosts by domain. Case of ASCII letters does not matter.
#[derive(Clone, Debug)]
pub struct HostIndex {
    exact: HashMap<Name, usize>,
    /// `*.foo` is filed as `oof.`.
    suffixes: PrefixTree<usize>,
    prefixes: PrefixTree<usize>,
    any: Option<usize>,
}

/// Why domains do not make an index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DomainConflict {
    /// Two virtual hosts (or one, twice) claim a domain.
    #[error("the domain is already taken; domains must be unique in a route table, whatever their case")]
    Duplicate,
    /// Only one star at one end.
    #[error("a domain is a name, `*suffix`, `prefix*` or `*`")]
    Wildcard,
    /// Empty.
    #[error("the domain is empty")]
    Empty,
}

/// Collects domains.
#[derive(Debug, Default)]
pub(crate) struct HostIndexBuilder {
    exact: HashMap<Box<[u8]>, usize>,
    suffixes: HashMap<Box<[u8]>, usize>,
    prefixes: HashMap<Box<[u8]>, usize>,
    any: Option<usize>,
}

impl HostIndexBuilder {
    pub(crate) fn add(&mut self, domain: &str, host: usize) -> Result<(), DomainConflict> {
        let lower = domain.to_ascii_lowercase();
        let (table, text) = match (lower.strip_prefix('*'), lower.strip_suffix('*')) {
            _ if lower.is_empty() => return Err(DomainConflict::Empty),
            _ if lower == "*" => return taken(self.any.replace(host)),
            (Some(suffix), _) => (&mut self.suffixes, suffix.bytes().rev().collect::<Vec<u8>>()),
            (None, Some(prefix)) => (&mut self.prefixes, prefix.as_bytes().to_vec()),
            (None, None) => (&mut self.exact, lower.as_bytes().to_vec()),
        };
        match text.contains(&b'*') {
            true => Err(DomainConflict::Wildcard),
            false => taken(table.insert(text.into(), host)),
        }
    }

    pub(crate) fn build(self) -> HostIndex {
        HostIndex {
            exact: self.exact.into_iter().map(|(name, host)| (Name::from_slice(&name), host)).collect(),
            suffixes: PrefixTree::new(self.suffixes),
            prefixes: PrefixTree::new(self.prefixes),
            any: self.any,
        }
    }
}

fn taken(previous: Option<usize>) -> Result<(), DomainConflict> {
    match previous {
        Some(_) => Err(DomainConflict::Duplicate),
        None => Ok(()),
    }
}

impl HostIndex {
    /// The position of the virtual host for a host name. A star stands for at least one byte.
    pub fn find(&self, host: &[u8]) -> Option<usize> {
        if host.iter().any(u8::is_ascii_uppercase) {
            let lower: SmallVec<[u8; 256]> = host.iter().map(u8::to_ascii_lowercase).collect();
            return self.find_lower(&lower);
        }
        self.find_lower(host)
    }

    fn find_lower(&self, host: &[u8]) -> Option<usize> {
        if let Some(found) = self.exact.get(host) {
            return Some(*found);
        }
        if !self.suffixes.is_empty() {
            let reversed: SmallVec<[u8; 256]> = host.iter().rev().copied().collect();
            if let Some(found) = longest(&self.suffixes, &reversed) {
                return Some(found);
            }
        }
        longest(&self.prefixes, host).or(self.any)
    }
}

fn longest(tree: &PrefixTree<usize>, text: &[u8]) -> Option<usize> {
    tree.prefixes_of(text).find(|(prefix, _)| prefix.len() < text.len()).map(|(_, host)| *host)
}
