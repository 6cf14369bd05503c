//! Subsets of a cluster: endpoints by their labels, and routes that ask for labels.
//!
//! Labels are the fields of `filter_metadata["envoy.lb"]`. A value is compared as a whole, so it is kept as one text; see
//! [`crate::endpoint::SubsetLabel`].

use std::sync::Arc;

/// Keys and values, sorted by key.
pub type Criteria = Box<[(Arc<str>, Arc<str>)]>;

/// How a cluster is divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subsets {
    /// Where requests go whose criteria no subset fits.
    pub fallback: Fallback,
    /// The labels of the default subset.
    pub default_subset: Criteria,
    /// Each makes a subset of every combination of the values of its keys.
    pub selectors: Box<[Selector]>,
    /// Localities have their weights within a subset, too.
    pub locality_weight_aware: bool,
    /// Their weights are scaled by the share of their endpoints that is in the subset.
    pub scale_locality_weight: bool,
    /// When the fallback has nobody either, anybody is taken.
    pub panic_mode_any: bool,
    /// An endpoint with a list as its label is in the subset of each of its items.
    pub list_as_any: bool,
    /// `fallback_list` among a route's criteria gives alternatives, tried in turn.
    pub fallback_list: bool,
}

/// Where requests go that no subset fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Nowhere.
    None,
    /// To any endpoint.
    Any,
    /// To the default subset.
    Default,
}

/// Keys whose values make subsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The keys, sorted.
    pub keys: Box<[Arc<str>]>,
    /// Where requests go that ask for these keys in vain.
    pub fallback: SelectorFallback,
    /// Each subset has one endpoint: whoever comes first.
    pub single_host: bool,
}

/// Where requests go that ask for a selector's keys in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectorFallback {
    /// As the cluster says.
    Inherit,
    /// As this says.
    To(Fallback),
    /// To the subset of only these of their keys; without one, as the cluster says.
    Keys(Box<[Arc<str>]>),
}

/// What a route asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataMatch {
    /// The labels.
    pub criteria: Criteria,
    /// The labels with each alternative of `fallback_list` in turn, for clusters that look at these. `None` without
    /// such a list.
    pub alternatives: Option<Box<[Criteria]>>,
}

impl MetadataMatch {
    /// These criteria with `other`'s before them, where both name a key.
    #[must_use]
    pub fn merged(criteria: &[(Arc<str>, Arc<str>)], other: &[(Arc<str>, Arc<str>)]) -> Criteria {
        let mut merged: std::collections::BTreeMap<_, _> = criteria.iter().cloned().collect();
        merged.extend(other.iter().cloned());
        merged.into_iter().collect()
    }
}
