//! Route tables, virtual hosts and routes.

use std::sync::Arc;

use meshloom_xds::envoy::config::route::v3 as proto;

use super::action::{Around, direct_response, forward, redirect};
use super::context::Context;
use super::header::{Levels, RawLevels, levels, stack};
use super::matching;
use super::overrides::overrides;
use super::parts::{choice, runtime_fraction, text};
use super::path::{At, Invalid};
use super::retry::retry_policy;
use crate::filter::FilterOverrides;
use crate::ids::RouteTableName;
use crate::route::{
    HostIndexBuilder, PathMatcher, PathText, RequireTls, RetryPolicy, Route, RouteAction, RouteMatcher,
    RouteTable, VirtualHost,
};

/// Longest body of a direct response, unless the table says otherwise, in bytes.
const DEFAULT_MAX_BODY: u32 = 4096;

/// What routes inherit from the table.
struct TableWide {
    levels: Levels,
    most_specific_wins: bool,
    overrides: FilterOverrides,
    max_body: usize,
}

/// What routes inherit from their virtual host.
struct HostWide<'t> {
    table: &'t TableWide,
    name: Arc<str>,
    levels: Levels,
    overrides: FilterOverrides,
    retry: Option<Arc<RetryPolicy>>,
    attempt_count_in_request: bool,
    attempt_count_in_response: bool,
    retry_buffer_limit: Option<u64>,
}

pub(super) fn route_table(
    value: proto::RouteConfiguration,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<RouteTable, Invalid> {
    let proto::RouteConfiguration {
        name,
        virtual_hosts,
        response_headers_to_add,
        response_headers_to_remove,
        request_headers_to_add,
        request_headers_to_remove,
        most_specific_header_mutations_wins,
        max_direct_response_body_size_bytes,
        ignore_port_in_host_matching,
        typed_per_filter_config,
    } = value;
    let raw = RawLevels {
        request_add: &request_headers_to_add,
        request_remove: &request_headers_to_remove,
        response_add: &response_headers_to_add,
        response_remove: &response_headers_to_remove,
    };
    let table = TableWide {
        levels: levels(&raw, at)?,
        most_specific_wins: most_specific_header_mutations_wins,
        overrides: overrides(&typed_per_filter_config, &FilterOverrides::default(), at, cx)?,
        max_body: max_direct_response_body_size_bytes.unwrap_or(DEFAULT_MAX_BODY) as usize,
    };
    let at = at.field("virtual_hosts");
    let (mut hosts, mut index) = (Vec::with_capacity(virtual_hosts.len()), HostIndexBuilder::default());
    for (nth, host) in virtual_hosts.into_iter().enumerate() {
        let at = at.item(nth);
        for (position, domain) in host.domains.iter().enumerate() {
            let added = index.add(domain, nth);
            added
                .map_err(|error| at.field("domains").item(position).refuse(format!("{domain:?}: {error}")))?;
        }
        hosts.push(Arc::new(virtual_host(host, &table, &at, cx)?));
    }
    let name = RouteTableName::try_from(name.as_str()).ok();
    Ok(RouteTable::new(name, index.build(), hosts.into(), ignore_port_in_host_matching))
}

fn virtual_host(
    value: proto::VirtualHost,
    table: &TableWide,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<VirtualHost, Invalid> {
    use proto::virtual_host::TlsRequirementType as Requirement;
    let proto::VirtualHost {
        name,
        domains,
        routes,
        require_tls,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        typed_per_filter_config,
        include_request_attempt_count,
        include_attempt_count_in_response,
        retry_policy: retry,
        per_request_buffer_limit_bytes,
        request_body_buffer_limit,
    } = value;
    text(&name, &at.field("name"))?;
    if domains.is_empty() {
        return Err(at.field("domains").refuse("give at least one"));
    }
    let raw = RawLevels {
        request_add: &request_headers_to_add,
        request_remove: &request_headers_to_remove,
        response_add: &response_headers_to_add,
        response_remove: &response_headers_to_remove,
    };
    let retry = retry.map(|value| retry_policy(value, &at.field("retry_policy"), cx)).transpose()?;
    let host = HostWide {
        table,
        name: name.into(),
        levels: levels(&raw, at)?,
        overrides: overrides(&typed_per_filter_config, &table.overrides, at, cx)?,
        retry: retry.map(Arc::new),
        attempt_count_in_request: include_request_attempt_count,
        attempt_count_in_response: include_attempt_count_in_response,
        retry_buffer_limit: buffer_limit(per_request_buffer_limit_bytes, request_body_buffer_limit, at)?,
    };
    let require_tls = match choice(require_tls, &at.field("require_tls"))? {
        Requirement::None => RequireTls::Never,
        Requirement::ExternalOnly => RequireTls::External,
        Requirement::All => RequireTls::Always,
    };
    let at = at.field("routes");
    let mut compiled = Vec::with_capacity(routes.len());
    for (nth, value) in routes.into_iter().enumerate() {
        compiled.push(Arc::new(route(value, &host, &at.item(nth), cx)?));
    }
    let domains = domains.into_iter().map(Into::into).collect();
    Ok(VirtualHost::new(host.name, domains, require_tls, compiled.into()))
}

fn buffer_limit(old: Option<u32>, new: Option<u64>, at: &At<'_>) -> Result<Option<u64>, Invalid> {
    match (old, new) {
        (Some(_), Some(_)) => Err(at
            .field("per_request_buffer_limit_bytes")
            .refuse("give request_body_buffer_limit alone; this is its old form")),
        (old, new) => Ok(new.or(old.map(u64::from))),
    }
}

fn route(value: proto::Route, host: &HostWide<'_>, at: &At<'_>, cx: &mut Context) -> Result<Route, Invalid> {
    let proto::Route {
        name,
        r#match,
        action,
        typed_per_filter_config,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        per_request_buffer_limit_bytes,
        request_body_buffer_limit,
        stat_prefix,
    } = value;
    let at_match = at.field("match");
    let matcher = route_match(at_match.required(r#match)?, &at_match, cx)?;
    let raw = RawLevels {
        request_add: &request_headers_to_add,
        request_remove: &request_headers_to_remove,
        response_add: &response_headers_to_add,
        response_remove: &response_headers_to_remove,
    };
    let own = levels(&raw, at)?;
    let all = [&own, &host.levels, &host.table.levels];
    let overrides = overrides(&typed_per_filter_config, &host.overrides, at, cx)?;
    let around = Around {
        path: &matcher.path,
        levels: &all,
        most_specific_wins: host.table.most_specific_wins,
        overrides: &overrides,
        retry: host.retry.as_ref(),
        max_body: host.table.max_body,
    };
    let action = route_action(action, &around, at, cx)?;
    let (request_headers, response_headers) = stack(&all, host.table.most_specific_wins);
    Ok(Route {
        name: name.into(),
        virtual_host: Arc::clone(&host.name),
        stat_prefix: (!stat_prefix.is_empty()).then(|| stat_prefix.into()),
        matcher,
        action,
        request_headers,
        response_headers,
        overrides,
        attempt_count_in_request: host.attempt_count_in_request,
        attempt_count_in_response: host.attempt_count_in_response,
        retry_buffer_limit: buffer_limit(per_request_buffer_limit_bytes, request_body_buffer_limit, at)?
            .or(host.retry_buffer_limit),
    })
}

fn route_action(
    value: Option<proto::route::Action>,
    around: &Around<'_>,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<RouteAction, Invalid> {
    use proto::route::Action;
    Ok(match value {
        Some(Action::Route(value)) => {
            RouteAction::Forward(Box::new(forward(value, around, &at.field("route"), cx)?))
        }
        Some(Action::Redirect(value)) => {
            RouteAction::Redirect(Box::new(redirect(value, around, &at.field("redirect"), cx)?))
        }
        Some(Action::DirectResponse(value)) => {
            RouteAction::Direct(direct_response(&value, around, &at.field("direct_response"))?)
        }
        None => return Err(at.refuse("give route, redirect or direct_response")),
    })
}

fn route_match(value: proto::RouteMatch, at: &At<'_>, cx: &mut Context) -> Result<RouteMatcher, Invalid> {
    let proto::RouteMatch {
        path_specifier,
        case_sensitive,
        runtime_fraction: fraction,
        headers,
        query_parameters,
        grpc,
    } = value;
    let connect = matches!(path_specifier, Some(proto::route_match::PathSpecifier::ConnectMatcher(_)));
    let fraction =
        fraction.map(|value| runtime_fraction(&value, &at.field("runtime_fraction"))).transpose()?;
    Ok(RouteMatcher {
        path: path_matcher(path_specifier, !case_sensitive.unwrap_or(true), at, cx)?,
        headers: matching::headers(&headers, &at.field("headers"), cx)?,
        query: matching::queries(&query_parameters, &at.field("query_parameters"), cx)?,
        grpc: grpc.is_some(),
        connect,
        fraction,
    })
}

fn path_matcher(
    value: Option<proto::route_match::PathSpecifier>,
    ignore_case: bool,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<PathMatcher, Invalid> {
    use proto::route_match::PathSpecifier as Specifier;
    match value {
        Some(Specifier::Prefix(prefix)) => Ok(PathMatcher::Prefix(PathText::new(&prefix, ignore_case))),
        Some(Specifier::Path(path)) => Ok(PathMatcher::Exact(PathText::new(&path, ignore_case))),
        Some(Specifier::SafeRegex(value)) => {
            matching::regex(&value, &at.field("safe_regex"), cx).map(PathMatcher::Regex)
        }
        Some(Specifier::PathSeparatedPrefix(prefix)) => {
            let at = at.field("path_separated_prefix");
            let plain = prefix.starts_with('/') && !prefix.ends_with('/') && !prefix.contains(['?', '#']);
            match plain {
                true => Ok(PathMatcher::SegmentPrefix(PathText::new(&prefix, ignore_case))),
                false => Err(at.refuse("this begins with /, does not end with /, and has no ? or #")),
            }
        }
        Some(Specifier::ConnectMatcher(_)) => Ok(PathMatcher::Prefix(PathText::new("", false))),
        None => Err(at.refuse("give prefix, path, safe_regex, path_separated_prefix or connect_matcher")),
    }
}
