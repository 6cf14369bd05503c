//! Which of many texts a text begins with.
//!
//! The texts are sorted, and each knows the longest other text that it begins with. All texts that some `path` begins
//! with form one chain: one binary search finds where `path` would stand, and the chain starts at or above the text
//! before that place. (If `q` is a prefix of `path`, everything sorted between `q` and `path` begins with `q` too.)

use smallvec::SmallVec;

/// A set of texts, each with a value.
#[derive(Clone, Debug)]
pub(super) struct PrefixTree<V> {
    nodes: Box<[Node<V>]>,
}

#[derive(Clone, Debug)]
struct Node<V> {
    text: SmallVec<[u8; 24]>,
    parent: Option<u32>,
    value: V,
}

impl<V> PrefixTree<V> {
    /// Texts must be different from each other.
    pub(super) fn new(texts: impl IntoIterator<Item = (Box<[u8]>, V)>) -> Self {
        let mut nodes: Vec<Node<V>> = texts
            .into_iter()
            .map(|(text, value)| Node { text: SmallVec::from_slice(&text), parent: None, value })
            .collect();
        nodes.sort_by(|a, b| a.text.cmp(&b.text));
        let mut chain: Vec<u32> = Vec::new();
        for position in 0..nodes.len() {
            while let Some(&top) = chain.last() {
                if begins_with(&nodes, position, top as usize) {
                    break;
                }
                chain.pop();
            }
            if let Some(node) = nodes.get_mut(position) {
                node.parent = chain.last().copied();
            }
            chain.push(u32::try_from(position).unwrap_or(u32::MAX));
        }
        Self { nodes: nodes.into() }
    }

    /// The values of all texts that `path` begins with, the longest first.
    pub(super) fn prefixes_of<'t, 'p>(
        &'t self,
        path: &'p [u8],
    ) -> impl Iterator<Item = (&'t [u8], &'t V)> + use<'t, 'p, V> {
        let before = self.nodes.partition_point(|node| *node.text <= *path);
        let mut next = before.checked_sub(1);
        std::iter::from_fn(move || {
            loop {
                let node = self.nodes.get(next?)?;
                next = node.parent.map(|parent| parent as usize);
                if path.starts_with(&node.text) {
                    return Some((&*node.text, &node.value));
                }
            }
        })
    }

    /// Is there no text at all?
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

fn begins_with<V>(nodes: &[Node<V>], longer: usize, shorter: usize) -> bool {
    match (nodes.get(longer), nodes.get(shorter)) {
        (Some(longer), Some(shorter)) => longer.text.starts_with(&shorter.text),
        _ => false,
    }
}
