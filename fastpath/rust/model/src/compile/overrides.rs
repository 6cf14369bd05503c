//! Settings of filters on routes (`typed_per_filter_config`).

use std::collections::BTreeMap;
use std::sync::Arc;

use meshloom_xds as xds;
use meshloom_xds::envoy::config::route::v3 as route;

use super::context::Context;
use super::fault::fault;
use super::parts::{extension, unpack, unsupported};
use super::path::{At, Invalid};
use super::types;
use crate::filter::{FilterOverride, FilterOverrides};

/// Reads the settings of one level and puts them over those of the level around it.
pub(super) fn overrides(
    values: &BTreeMap<String, xds::Any>,
    outer: &FilterOverrides,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<FilterOverrides, Invalid> {
    if values.is_empty() {
        return Ok(outer.clone());
    }
    let at = at.field("typed_per_filter_config");
    let mut merged = Vec::with_capacity(values.len());
    for (name, any) in values {
        merged.push(filter_override(name, any, &at.key(name), cx)?);
    }
    merged.extend(outer.0.iter().filter(|entry| !values.contains_key(&*entry.name)).cloned());
    Ok(FilterOverrides(merged.into()))
}

fn filter_override(
    name: &str,
    any: &xds::Any,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<FilterOverride, Invalid> {
    let mut made = FilterOverride { name: name.into(), disabled: None, fault: None };
    let (kind, any) = extension(Some(any), at)?;
    if kind != types::FILTER_CONFIG {
        made.fault = Some(fault_settings(kind, any, at, cx)?);
        return Ok(made);
    }
    let route::FilterConfig { config, disabled } = unpack(any, at)?;
    match (&config, disabled) {
        (None, true) => made.disabled = Some(true),
        (None, false) => made.disabled = Some(false),
        (Some(_), true) => return Err(at.refuse("a filter that is disabled takes no config")),
        (Some(config), false) => {
            let at = at.field("config");
            let (kind, any) = extension(Some(config), &at)?;
            made.disabled = Some(false);
            made.fault = Some(fault_settings(kind, any, &at, cx)?);
        }
    }
    Ok(made)
}

fn fault_settings(
    kind: &str,
    any: &xds::Any,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Arc<crate::filter::Fault>, Invalid> {
    match kind {
        types::FAULT => Ok(Arc::new(fault(unpack(any, at)?, at, cx)?)),
        other => Err(unsupported(other, "only the fault filter has settings on routes", at)),
    }
}
