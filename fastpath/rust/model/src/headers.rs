//! Header operations of routes, virtual hosts, route tables and weighted clusters.

use std::sync::Arc;

use crate::matcher::HeaderName;
use crate::template::Template;

/// Header operations in the order in which they are done, one level after the other.
///
/// Inside a level: first everything in `remove`; then all values of `set` are rendered, and only then written, so that no
/// value sees another's effect; then `overwrite` kinds; then those that append.
#[derive(Clone, Debug, Default)]
pub struct HeaderOps {
    /// The most specific level first, unless the table says `most_specific_header_mutations_wins`.
    pub levels: Box<[Arc<HeaderLevel>]>,
}

impl HeaderOps {
    /// Is there nothing to do?
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }
}

/// What one level (a route, a virtual host ...) does.
#[derive(Clone, Debug, Default)]
pub struct HeaderLevel {
    /// Headers to take away, before anything is set.
    pub remove: Box<[HeaderName]>,
    /// Headers to set. Those that overwrite are done before those that append.
    pub set: Box<[HeaderSet]>,
}

impl HeaderLevel {
    /// Is there nothing to do?
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty()
    }
}

/// One header to set.
#[derive(Clone, Debug)]
pub struct HeaderSet {
    /// The header, in lower case.
    pub name: HeaderName,
    /// Its value.
    pub value: Template,
    /// What to do when the header is there already.
    pub action: AppendAction,
    /// Set it even when the rendered value is empty.
    pub keep_empty: bool,
}

/// What to do when a header is there already, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendAction {
    /// Add one more line.
    Append,
    /// Add it only when there is none.
    AddIfAbsent,
    /// Replace what is there, or add.
    Overwrite,
    /// Replace what is there; never add.
    OverwriteIfExists,
}
