//! Subsets of clusters, and the labels that endpoints and routes have for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshloom_xds as xds;
use meshloom_xds::envoy::config::cluster::v3::cluster as proto;
use meshloom_xds::envoy::config::core::v3 as core;

use super::parts::choice;
use super::path::{At, Invalid};
use crate::endpoint::SubsetLabel;
use crate::subset::{Criteria, Fallback, MetadataMatch, Selector, SelectorFallback, Subsets};

/// The filter whose metadata is about subsets.
const FILTER: &str = "envoy.lb";
/// The criterion that is none: it lists alternatives.
const ALTERNATIVES: &str = "fallback_list";

/// `None` without selectors: then nothing is divided, as in Envoy.
pub(super) fn subsets(value: proto::LbSubsetConfig, at: &At<'_>) -> Result<Option<Subsets>, Invalid> {
    use proto::lb_subset_config::{
        LbSubsetFallbackPolicy as Policy, LbSubsetMetadataFallbackPolicy as Metadata,
    };
    let proto::LbSubsetConfig {
        fallback_policy,
        default_subset,
        subset_selectors,
        locality_weight_aware,
        scale_locality_weight,
        panic_mode_any,
        list_as_any,
        metadata_fallback_policy,
    } = value;
    let fallback = match choice(fallback_policy, &at.field("fallback_policy"))? {
        Policy::NoFallback => Fallback::None,
        Policy::AnyEndpoint => Fallback::Any,
        Policy::DefaultSubset => Fallback::Default,
    };
    let metadata: Metadata = choice(metadata_fallback_policy, &at.field("metadata_fallback_policy"))?;
    let at_selectors = at.field("subset_selectors");
    let selectors: Vec<Selector> = subset_selectors
        .into_iter()
        .enumerate()
        .map(|(nth, value)| selector(value, &at_selectors.item(nth)))
        .collect::<Result<_, _>>()?;
    if selectors.is_empty() {
        return Ok(None);
    }
    if scale_locality_weight && !locality_weight_aware {
        return Err(at.field("scale_locality_weight").refuse("this goes with locality_weight_aware"));
    }
    Ok(Some(Subsets {
        fallback,
        default_subset: default_subset.as_ref().map(criteria).unwrap_or_default(),
        selectors: selectors.into(),
        locality_weight_aware,
        scale_locality_weight,
        panic_mode_any,
        list_as_any,
        fallback_list: metadata == Metadata::FallbackList,
    }))
}

fn selector(value: proto::lb_subset_config::LbSubsetSelector, at: &At<'_>) -> Result<Selector, Invalid> {
    use proto::lb_subset_config::lb_subset_selector::LbSubsetSelectorFallbackPolicy as Policy;
    let proto::lb_subset_config::LbSubsetSelector {
        keys,
        single_host_per_subset,
        fallback_policy,
        fallback_keys_subset,
    } = value;
    let keys = sorted(keys);
    let subset = sorted(fallback_keys_subset);
    let fallback = match choice(fallback_policy, &at.field("fallback_policy"))? {
        Policy::NotDefined => SelectorFallback::Inherit,
        Policy::NoFallback => SelectorFallback::To(Fallback::None),
        Policy::AnyEndpoint => SelectorFallback::To(Fallback::Any),
        Policy::DefaultSubset => SelectorFallback::To(Fallback::Default),
        Policy::KeysSubset => {
            let fits = !subset.is_empty()
                && subset.len() < keys.len()
                && subset.iter().all(|key| keys.contains(key));
            if !fits {
                let at = at.field("fallback_keys_subset");
                return Err(at.refuse("give some of the selector's keys, but not all of them"));
            }
            SelectorFallback::Keys(subset)
        }
    };
    if single_host_per_subset && keys.len() != 1 {
        return Err(at.field("keys").refuse("with single_host_per_subset, give exactly one key"));
    }
    Ok(Selector { keys, fallback, single_host: single_host_per_subset })
}

fn sorted(keys: Vec<String>) -> Box<[Arc<str>]> {
    let mut keys: Vec<Arc<str>> = keys.into_iter().map(Into::into).collect();
    keys.sort();
    keys.dedup();
    keys.into()
}

/// What a route, and the weighted cluster drawn from it, ask for. The cluster's word goes before the route's.
pub(super) fn metadata_match(
    route: Option<&core::Metadata>,
    cluster: Option<&core::Metadata>,
) -> Option<Arc<MetadataMatch>> {
    let mut fields: BTreeMap<&str, &xds::Value> = BTreeMap::new();
    for metadata in [route, cluster].into_iter().flatten() {
        let found = metadata.filter_metadata.get(FILTER).into_iter().flat_map(|filter| &filter.fields);
        fields.extend(found.map(|(key, value)| (key.as_str(), value)));
    }
    if fields.is_empty() {
        return None;
    }
    let texts = |fields: &BTreeMap<&str, &xds::Value>| -> Criteria {
        fields.iter().map(|(key, value)| ((*key).into(), canonical(value))).collect()
    };
    let all = texts(&fields);
    let alternatives = match fields.remove(ALTERNATIVES).and_then(|value| value.kind.as_ref()) {
        Some(xds::value::Kind::ListValue(list)) => {
            let plain = texts(&fields);
            let each = list.values.iter().filter_map(|item| match &item.kind {
                Some(xds::value::Kind::StructValue(item)) => {
                    Some(MetadataMatch::merged(&plain, &criteria(item)))
                }
                _ => None,
            });
            Some(each.collect())
        }
        _ => None,
    };
    Some(Arc::new(MetadataMatch { criteria: all, alternatives }))
}

fn criteria(value: &xds::Struct) -> Criteria {
    value.fields.iter().map(|(key, value)| (key.as_str().into(), canonical(value))).collect()
}

/// The labels of an endpoint.
pub(super) fn subset_labels(metadata: &core::Metadata) -> Box<[SubsetLabel]> {
    let fields = metadata.filter_metadata.get(FILTER).into_iter().flat_map(|filter| &filter.fields);
    fields
        .map(|(key, value)| SubsetLabel {
            key: key.as_str().into(),
            value: canonical(value),
            items: match &value.kind {
                Some(xds::value::Kind::ListValue(list)) => Some(list.values.iter().map(canonical).collect()),
                _ => None,
            },
        })
        .collect()
}

/// One text for each value: equal values have equal texts, others have others. A string is its own text; the rest begin
/// with a NUL, which no string of a label has.
pub(super) fn canonical(value: &xds::Value) -> Arc<str> {
    match &value.kind {
        Some(xds::value::Kind::StringValue(text)) => text.as_str().into(),
        _ => {
            let mut out = String::from("\0");
            write(value, &mut out);
            out.into()
        }
    }
}

fn write(value: &xds::Value, out: &mut String) {
    use std::fmt::Write as _;
    use xds::value::Kind;
    // Writing to a string cannot fail.
    let _ = match &value.kind {
        None | Some(Kind::NullValue(_)) => out.write_str("null"),
        Some(Kind::BoolValue(flag)) => write!(out, "{flag}"),
        Some(Kind::NumberValue(number)) => write!(out, "{number}"),
        Some(Kind::StringValue(text)) => write!(out, "{text:?}"),
        Some(Kind::ListValue(list)) => {
            out.push('[');
            for item in &list.values {
                write(item, out);
                out.push(',');
            }
            out.write_char(']')
        }
        Some(Kind::StructValue(fields)) => {
            out.push('{');
            for (key, item) in &fields.fields {
                let _ = write!(out, "{key:?}:");
                write(item, out);
                out.push(',');
            }
            out.write_char('}')
        }
    };
}
