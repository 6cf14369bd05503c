//! What a route does.

use std::sync::Arc;
use std::time::Duration;

use meshloom_xds as xds;
use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::config::route::v3 as proto;

use super::context::Context;
use super::hash_policy::hash_policies;
use super::header::{Levels, RawLevels, levels, stack};
use super::matching;
use super::overrides::overrides;
use super::parts::{choice, data, duration, limit, one_line};
use super::path::{At, Invalid};
use super::retry::retry_policy;
use super::subset::metadata_match;
use super::upgrade;
use crate::filter::FilterOverrides;
use crate::route::{
    ClusterName, DirectResponse, Forward, GrpcTimeout, HostRewrite, IdleTimeout, PathMatcher, PathRewrite,
    PortRewrite, Redirect, RedirectPath, ResourcePriority, RetryPolicy, StreamDuration, Target,
    WeightedCluster, WeightedClusters,
};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

/// What an action needs to know of the route around it.
pub(super) struct Around<'r> {
    pub(super) path: &'r PathMatcher,
    /// Header operations, the route's first.
    pub(super) levels: &'r [&'r Levels],
    pub(super) most_specific_wins: bool,
    pub(super) overrides: &'r FilterOverrides,
    pub(super) retry: Option<&'r Arc<RetryPolicy>>,
    pub(super) max_body: usize,
}

pub(super) fn forward(
    value: proto::RouteAction,
    around: &Around<'_>,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Forward, Invalid> {
    use proto::route_action::ClusterNotFoundResponseCode as NotFound;
    let proto::RouteAction {
        cluster_specifier,
        cluster_not_found_response_code,
        metadata_match: metadata,
        prefix_rewrite,
        regex_rewrite,
        host_rewrite_specifier,
        append_x_forwarded_host,
        timeout,
        idle_timeout,
        retry_policy: retry,
        priority,
        max_stream_duration,
        max_grpc_timeout,
        grpc_timeout_offset,
        upgrade_configs,
        hash_policy,
    } = value;
    let own_retry = retry.map(|value| retry_policy(value, &at.field("retry_policy"), cx)).transpose()?;
    Ok(Forward {
        target: target(cluster_specifier, metadata.as_ref(), around, at, cx)?,
        metadata_match: metadata_match(metadata.as_ref(), None),
        cluster_not_found_status: match choice(
            cluster_not_found_response_code,
            &at.field("cluster_not_found_response_code"),
        )? {
            NotFound::ServiceUnavailable => 503,
            NotFound::NotFound => 404,
            NotFound::InternalServerError => 500,
        },
        path_rewrite: path_rewrite(&prefix_rewrite, regex_rewrite.as_ref(), around.path, at, cx)?,
        host_rewrite: host_rewrite_specifier.map(|value| host_rewrite(value, at, cx)).transpose()?.flatten(),
        append_x_forwarded_host,
        // A limit on the whole stream takes the place of the others.
        timeout: limit(timeout, Some(DEFAULT_TIMEOUT), &at.field("timeout"))?
            .filter(|_| max_stream_duration.is_none()),
        grpc_timeout: grpc_timeout(max_grpc_timeout, grpc_timeout_offset, at)?
            .filter(|_| max_stream_duration.is_none()),
        idle_timeout: match duration(idle_timeout, &at.field("idle_timeout"))? {
            None => IdleTimeout::Inherit,
            Some(Duration::ZERO) => IdleTimeout::Off,
            Some(after) => IdleTimeout::After(after),
        },
        stream_duration: max_stream_duration
            .map(|value| stream_duration(&value, &at.field("max_stream_duration")))
            .transpose()?,
        retry: own_retry.map(Arc::new).or_else(|| around.retry.cloned()),
        priority: resource_priority(priority, &at.field("priority"))?,
        hash_policies: hash_policies(&hash_policy, &at.field("hash_policy"), cx)?,
        upgrades: upgrade::of_route(&upgrade_configs, &at.field("upgrade_configs"))?,
    })
}

fn grpc_timeout(
    max: Option<xds::Duration>,
    offset: Option<xds::Duration>,
    at: &At<'_>,
) -> Result<Option<GrpcTimeout>, Invalid> {
    let offset = duration(offset, &at.field("grpc_timeout_offset"))?.unwrap_or_default();
    let max = duration(max, &at.field("max_grpc_timeout"))?;
    Ok(max.map(|max| GrpcTimeout { max, offset }))
}

fn stream_duration(
    value: &proto::route_action::MaxStreamDuration,
    at: &At<'_>,
) -> Result<StreamDuration, Invalid> {
    let proto::route_action::MaxStreamDuration {
        max_stream_duration,
        grpc_timeout_header_max,
        grpc_timeout_header_offset,
    } = *value;
    let offset = duration(grpc_timeout_header_offset, &at.field("grpc_timeout_header_offset"))?;
    Ok(StreamDuration {
        limit: duration(max_stream_duration, &at.field("max_stream_duration"))?,
        grpc: duration(grpc_timeout_header_max, &at.field("grpc_timeout_header_max"))?
            .map(|max| GrpcTimeout { max, offset: offset.unwrap_or_default() }),
    })
}

pub(super) fn resource_priority(value: i32, at: &At<'_>) -> Result<ResourcePriority, Invalid> {
    use meshloom_xds::envoy::config::core::v3::RoutingPriority;
    Ok(match choice(value, at)? {
        RoutingPriority::Default => ResourcePriority::Default,
        RoutingPriority::High => ResourcePriority::High,
    })
}

fn target(
    value: Option<proto::route_action::ClusterSpecifier>,
    metadata: Option<&core::Metadata>,
    around: &Around<'_>,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Target, Invalid> {
    use proto::route_action::ClusterSpecifier as Specifier;
    match value {
        Some(Specifier::Cluster(name)) => cx.cluster(&name, &at.field("cluster")).map(Target::Cluster),
        Some(Specifier::ClusterHeader(name)) => {
            matching::header_name(&name, &at.field("cluster_header")).map(Target::Header)
        }
        Some(Specifier::WeightedClusters(value)) => {
            weighted(value, metadata, around, &at.field("weighted_clusters"), cx).map(Target::Weighted)
        }
        None => Err(at.refuse("give cluster, cluster_header or weighted_clusters")),
    }
}

fn weighted(
    value: proto::WeightedCluster,
    metadata: Option<&core::Metadata>,
    around: &Around<'_>,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<WeightedClusters, Invalid> {
    let proto::WeightedCluster { clusters, header_name } = value;
    let at_clusters = at.field("clusters");
    let mut entries = Vec::with_capacity(clusters.len());
    for (nth, cluster) in clusters.iter().enumerate() {
        entries.push(weighted_cluster(cluster, metadata, around, &at_clusters.item(nth), cx)?);
    }
    let total: u64 = entries.iter().map(|entry| u64::from(entry.weight)).sum();
    if total == 0 || total > u64::from(u32::MAX) {
        return Err(at_clusters.refuse("the weights must add up to more than 0, and to less than 2^32"));
    }
    Ok(WeightedClusters {
        entries: entries.into(),
        total,
        header: header_name
            .filter(|name| !name.is_empty())
            .map(|name| matching::header_name(&name, &at.field("header_name")))
            .transpose()?,
    })
}

fn weighted_cluster(
    value: &proto::weighted_cluster::ClusterWeight,
    metadata: Option<&core::Metadata>,
    around: &Around<'_>,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<WeightedCluster, Invalid> {
    let proto::weighted_cluster::ClusterWeight {
        name,
        cluster_header,
        weight,
        metadata_match: own_metadata,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        typed_per_filter_config,
        host_rewrite_literal,
    } = value;
    let cluster = match (name.as_str(), cluster_header.as_str()) {
        (name, "") => ClusterName::Known(cx.cluster(name, &at.field("name"))?),
        ("", header) => ClusterName::Header(matching::header_name(header, &at.field("cluster_header"))?),
        _ => return Err(at.refuse("give name or cluster_header, not both")),
    };
    let raw = RawLevels {
        request_add: request_headers_to_add,
        request_remove: request_headers_to_remove,
        response_add: response_headers_to_add,
        response_remove: response_headers_to_remove,
    };
    let own = levels(&raw, at)?;
    let all: Vec<&Levels> = std::iter::once(&own).chain(around.levels.iter().copied()).collect();
    let (request_headers, response_headers) = stack(&all, around.most_specific_wins);
    Ok(WeightedCluster {
        cluster,
        metadata_match: metadata_match(metadata, own_metadata.as_ref()),
        weight: weight.unwrap_or(0),
        request_headers,
        response_headers,
        overrides: overrides(typed_per_filter_config, around.overrides, at, cx)?,
        host_rewrite: host_rewrite_literal
            .as_deref()
            .filter(|host| !host.is_empty())
            .map(|host| HostRewrite::Literal(host.into())),
    })
}

/// How much of the path is replaced depends on how it was matched.
fn prefix_rewrite(with: &str, path: &PathMatcher) -> PathRewrite {
    match path {
        PathMatcher::Prefix(text) | PathMatcher::SegmentPrefix(text) => {
            PathRewrite::Prefix { matched: text.text.len(), with: with.as_bytes().into() }
        }
        PathMatcher::Exact(_) | PathMatcher::Regex(_) => PathRewrite::Whole(with.as_bytes().into()),
    }
}

fn path_rewrite(
    prefix: &str,
    regex: Option<&meshloom_xds::envoy::r#type::matcher::v3::RegexMatchAndSubstitute>,
    path: &PathMatcher,
    at: &At<'_>,
    cx: &Context,
) -> Result<Option<PathRewrite>, Invalid> {
    match (prefix, regex) {
        ("", None) => Ok(None),
        ("", Some(regex)) => {
            matching::replace(regex, &at.field("regex_rewrite"), cx).map(|r| Some(PathRewrite::Regex(r)))
        }
        (prefix, None) => {
            let prefix = one_line(prefix, &at.field("prefix_rewrite"))?;
            Ok(Some(prefix_rewrite(prefix, path)))
        }
        (_, Some(_)) => Err(at.refuse("give prefix_rewrite or regex_rewrite, not both")),
    }
}

fn host_rewrite(
    value: proto::route_action::HostRewriteSpecifier,
    at: &At<'_>,
    cx: &Context,
) -> Result<Option<HostRewrite>, Invalid> {
    use proto::route_action::HostRewriteSpecifier as Specifier;
    Ok(match value {
        Specifier::HostRewriteLiteral(host) => {
            Some(HostRewrite::Literal(one_line(&host, &at.field("host_rewrite_literal"))?.into()))
        }
        Specifier::AutoHostRewrite(on) => on.then_some(HostRewrite::Endpoint),
        Specifier::HostRewriteHeader(name) => {
            Some(HostRewrite::Header(matching::header_name(&name, &at.field("host_rewrite_header"))?))
        }
        Specifier::HostRewritePathRegex(value) => {
            Some(HostRewrite::Path(matching::replace(&value, &at.field("host_rewrite_path_regex"), cx)?))
        }
    })
}

pub(super) fn redirect(
    value: proto::RedirectAction,
    around: &Around<'_>,
    at: &At<'_>,
    cx: &Context,
) -> Result<Redirect, Invalid> {
    use proto::redirect_action::{RedirectResponseCode as Code, SchemeRewriteSpecifier as Scheme};
    let proto::RedirectAction {
        scheme_rewrite_specifier,
        host_redirect,
        port_redirect,
        path_rewrite_specifier,
        response_code,
        strip_query,
    } = value;
    let at_port = at.field("port_redirect");
    Ok(Redirect {
        status: match choice(response_code, &at.field("response_code"))? {
            Code::MovedPermanently => 301,
            Code::Found => 302,
            Code::SeeOther => 303,
            Code::TemporaryRedirect => 307,
            Code::PermanentRedirect => 308,
        },
        scheme: match scheme_rewrite_specifier {
            Some(Scheme::HttpsRedirect(true)) => Some("https".into()),
            Some(Scheme::HttpsRedirect(false)) | None => None,
            Some(Scheme::SchemeRedirect(scheme)) => {
                Some(one_line(&scheme, &at.field("scheme_redirect"))?.into())
            }
        },
        host: match one_line(&host_redirect, &at.field("host_redirect"))? {
            "" => None,
            host => Some(host.into()),
        },
        port: match u16::try_from(port_redirect) {
            Ok(0) => PortRewrite::Keep,
            Ok(port) => PortRewrite::Set(port),
            Err(_) => return Err(at_port.refuse("a port is at most 65535")),
        },
        path: redirect_path(path_rewrite_specifier, around, at, cx)?,
        strip_query,
    })
}

fn redirect_path(
    value: Option<proto::redirect_action::PathRewriteSpecifier>,
    around: &Around<'_>,
    at: &At<'_>,
    cx: &Context,
) -> Result<RedirectPath, Invalid> {
    use proto::redirect_action::PathRewriteSpecifier as Path;
    Ok(match value {
        None => RedirectPath::Keep,
        Some(Path::PathRedirect(path)) if path.is_empty() => RedirectPath::Keep,
        Some(Path::PathRedirect(path)) => {
            RedirectPath::Replace(one_line(&path, &at.field("path_redirect"))?.into())
        }
        Some(Path::PrefixRewrite(with)) => {
            let with = one_line(&with, &at.field("prefix_rewrite"))?;
            RedirectPath::Rewrite(prefix_rewrite(with, around.path))
        }
        Some(Path::RegexRewrite(value)) => RedirectPath::Rewrite(PathRewrite::Regex(matching::replace(
            &value,
            &at.field("regex_rewrite"),
            cx,
        )?)),
    })
}

pub(super) fn direct_response(
    value: &proto::DirectResponseAction,
    around: &Around<'_>,
    at: &At<'_>,
) -> Result<DirectResponse, Invalid> {
    let proto::DirectResponseAction { status, body } = value;
    let status = match u16::try_from(*status) {
        Ok(status @ 200..=599) => status,
        _ => return Err(at.field("status").refuse("give a status from 200 to 599")),
    };
    let at = at.field("body");
    let body = body.as_ref().map(|body| data(body, &at)).transpose()?.unwrap_or_default();
    if body.len() > around.max_body {
        return Err(at.refuse(format!(
            "{} bytes; max_direct_response_body_size_bytes is {}",
            body.len(),
            around.max_body
        )));
    }
    // RFC 9110 6.4.1: these have no body; sending one would be read as the next response.
    let body = if matches!(status, 204 | 304) { Vec::new() } else { body };
    Ok(DirectResponse { status, body: body.into() })
}
