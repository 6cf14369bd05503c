"""What happens to a matched request: forward, redirect or answer (TM-14..TM-24, semantics 9-13, 18)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2
from google.protobuf import duration_pb2
from meshloom.pilot.model.mesh_config import MeshConfig
from meshloom.pilot.model.virtual_service import (
    Destination,
    DirectResponse,
    Headers,
    HttpRedirect,
    HttpRoute,
    MirrorPolicy,
    Percent,
    RedirectPort,
    RouteDestination,
)
from meshloom.pilot.translate import names
from meshloom.pilot.translate.protos import duration, u32
from meshloom.pilot.translate.routes.faults import fraction
from meshloom.pilot.translate.routes.headers import apply_headers, authority_of
from meshloom.pilot.translate.routes.matching import regex
from meshloom.pilot.translate.routes.retries import retry_policy
from meshloom.pilot.translate.traits import Traits

_Redirect = route_components_pb2.RedirectAction
_REDIRECT_CODES = {
    301: _Redirect.MOVED_PERMANENTLY,
    302: _Redirect.FOUND,
    303: _Redirect.SEE_OTHER,
    307: _Redirect.TEMPORARY_REDIRECT,
    308: _Redirect.PERMANENT_REDIRECT,
}


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What an action needs to know besides the rule. `cluster` names a destination's cluster; `port` is the
    listener's."""

    config: MeshConfig
    traits: Traits
    port: int
    cluster: Callable[[Destination], str]


def apply_action(made: route_components_pb2.Route, rule: HttpRoute, to: Forwarding) -> None:
    """Fills in the action and the header operations of `made`, whose match is there already.

    A destination's operations come after its rule's, so that they win. Envoy runs those of weighted clusters
    before the route's, whatever the table says, so there the rule's stand beside them.
    """
    if len(rule.route) < 2:
        apply_headers(made, rule.headers)
    if rule.redirect is not None:
        made.redirect.CopyFrom(_redirect(rule.redirect, to.port))
    elif rule.direct_response is not None:
        made.direct_response.CopyFrom(_direct_response(rule.direct_response))
    else:
        made.route.CopyFrom(_forward(rule, to))
        if len(rule.route) == 1:
            apply_headers(made, rule.route[0].headers)


def default_forward(cluster: str, to: Forwarding) -> route_components_pb2.RouteAction:
    """Where no rule says anything: everything to the service, with the mesh's default retries."""
    made = route_components_pb2.RouteAction(cluster=cluster)
    _limits(made, HttpRoute(), to)
    return made


def _forward(rule: HttpRoute, to: Forwarding) -> route_components_pb2.RouteAction:
    made = route_components_pb2.RouteAction()
    _limits(made, rule, to)
    _split(made, rule, to)
    _rewrite(made, rule)
    if not to.traits.own:
        for mirror in _mirrors(rule):
            _add_mirror(made, mirror, to)
    return made


def _limits(made: route_components_pb2.RouteAction, rule: HttpRoute, to: Forwarding) -> None:
    """No timeout unless the rule has one: Envoy's own default of 15 s is not Istio's.

    `max_stream_duration` is what gRPC's own client reads; Envoy, where it is given, no longer heeds
    `timeout`. So proxies get the older `max_grpc_timeout` for the `grpc-timeout` header, as from Istio.
    """
    limit = duration(rule.timeout) if rule.timeout else duration_pb2.Duration()
    made.timeout.CopyFrom(limit)
    if to.traits.grpc:
        made.max_stream_duration.max_stream_duration.CopyFrom(limit)
    else:
        made.max_grpc_timeout.CopyFrom(limit)
    retries = retry_policy(rule.retries, to.config.default_http_retry_policy)
    if retries is not None:
        made.retry_policy.CopyFrom(retries)


def _split(made: route_components_pb2.RouteAction, rule: HttpRoute, to: Forwarding) -> None:
    if len(rule.route) == 1:
        made.cluster = to.cluster(rule.route[0].destination)
        return
    shares = [share for share in rule.route if share.weight > 0]
    if not shares:
        made.cluster = names.BLACK_HOLE
    for share in shares:
        made.weighted_clusters.clusters.append(_weighted(share, rule.headers, to))


def _weighted(
    share: RouteDestination, rule: Headers | None, to: Forwarding
) -> route_components_pb2.WeightedCluster.ClusterWeight:
    made = route_components_pb2.WeightedCluster.ClusterWeight(
        name=to.cluster(share.destination), weight=u32(share.weight)
    )
    apply_headers(made, rule)
    apply_headers(made, share.headers)
    if (authority := authority_of(share.headers)) is not None:
        made.host_rewrite_literal = authority
    return made


def _rewrite(made: route_components_pb2.RouteAction, rule: HttpRoute) -> None:
    """With an exact or a regex match Envoy replaces the whole path by `prefix_rewrite`, as Istio has it."""
    authority = authority_of(rule.headers)
    if authority is None and len(rule.route) == 1:
        authority = authority_of(rule.route[0].headers)
    if rule.rewrite is not None:
        authority = rule.rewrite.authority or authority
        if rule.rewrite.uri_regex_rewrite is not None:
            made.regex_rewrite.pattern.CopyFrom(regex(rule.rewrite.uri_regex_rewrite.match or ""))
            made.regex_rewrite.substitution = rule.rewrite.uri_regex_rewrite.rewrite or ""
        elif rule.rewrite.uri:
            made.prefix_rewrite = rule.rewrite.uri
    if authority:
        made.host_rewrite_literal = authority


def _mirrors(rule: HttpRoute) -> list[MirrorPolicy]:
    """`mirror` is the older form of one entry of `mirrors`."""
    if rule.mirrors:
        return list(rule.mirrors)
    if rule.mirror is None:
        return []
    whole = rule.mirror_percent if rule.mirror_percent is not None else rule.mirror_percent_snake
    share = rule.mirror_percentage
    if share is None and whole is not None:
        share = Percent(value=float(whole))
    return [MirrorPolicy(destination=rule.mirror, percentage=share)]


def _add_mirror(made: route_components_pb2.RouteAction, rule: MirrorPolicy, to: Forwarding) -> None:
    if rule.percentage is not None and rule.percentage.value == 0:
        return
    share = base_pb2.RuntimeFractionalPercent(default_value=fraction(rule.percentage, default=100.0))
    made.request_mirror_policies.add(
        cluster=to.cluster(rule.destination), runtime_fraction=share, disable_shadow_host_suffix_append=True
    )


def _redirect(rule: HttpRedirect, port: int) -> route_components_pb2.RedirectAction:
    made = route_components_pb2.RedirectAction(
        host_redirect=rule.authority or "",
        response_code=_REDIRECT_CODES.get(rule.redirect_code or 301, _Redirect.MOVED_PERMANENTLY),
    )
    if rule.scheme:
        made.scheme_redirect = rule.scheme
    if rule.prefix_rewrite is not None:
        made.prefix_rewrite = rule.prefix_rewrite
    elif rule.uri:
        made.path_redirect = rule.uri
    if rule.port is not None:
        made.port_redirect = rule.port
    elif rule.derive_port is RedirectPort.FROM_REQUEST_PORT:
        made.port_redirect = port
    return made


def _direct_response(rule: DirectResponse) -> route_components_pb2.DirectResponseAction:
    made = route_components_pb2.DirectResponseAction(status=rule.status)
    if rule.body is not None and rule.body.bytes_ is not None:
        made.body.inline_bytes = base64.b64decode(rule.body.bytes_)
    elif rule.body is not None:
        made.body.inline_string = rule.body.string or ""
    return made
