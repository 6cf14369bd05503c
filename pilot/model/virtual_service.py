"""Istio's VirtualService, every field of its schema. Features TM-01..TM-27 say what each one means."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec
from meshloom.pilot.model.base import Int32, PortNumber, Schema, UInt32
from meshloom.pilot.model.duration import PositiveDuration


class StringMatch(Schema, frozen=True):
    """At most one field is set; none set means "is present" where Istio allows that (headers, query)."""

    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None


class Percent(Schema, frozen=True):
    """0.0 to 100.0."""

    value: float = 0.0


class PortSelector(Schema, frozen=True):
    number: PortNumber


class Destination(Schema, frozen=True):
    """`host` is a short name until the mesh model is built; in a `MeshModel` it is always fully qualified."""

    host: str
    subset: str | None = None
    port: PortSelector | None = None


class HeaderOperations(Schema, frozen=True):
    set: Mapping[str, str] = {}
    add: Mapping[str, str] = {}
    remove: tuple[str, ...] = ()


class Headers(Schema, frozen=True):
    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


class RouteDestination(Schema, frozen=True):
    """Weighted HTTP, TLS or TCP destination. `headers` is HTTP only."""

    destination: Destination
    weight: Int32 = 0
    headers: Headers | None = None


class L4RouteDestination(Schema, frozen=True):
    destination: Destination
    weight: Int32 = 0


class HttpMatch(Schema, frozen=True):
    """Conditions are AND-ed. `gateways` and the `source_` fields select proxies, not requests."""

    name: str | None = None
    uri: StringMatch | None = None
    ignore_uri_case: bool = False
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: Mapping[str, StringMatch] = {}
    without_headers: Mapping[str, StringMatch] = {}
    query_params: Mapping[str, StringMatch] = {}
    port: PortNumber | None = None
    source_labels: Mapping[str, str] = {}
    source_namespace: str | None = None
    gateways: tuple[str, ...] = ()
    stat_prefix: str | None = None


class RedirectPort(StrEnum):
    FROM_PROTOCOL_DEFAULT = "FROM_PROTOCOL_DEFAULT"
    FROM_REQUEST_PORT = "FROM_REQUEST_PORT"


class HttpRedirect(Schema, frozen=True):
    uri: str | None = None
    prefix_rewrite: str | None = None
    authority: str | None = None
    scheme: str | None = None
    port: PortNumber | None = None
    derive_port: RedirectPort | None = None
    redirect_code: UInt32 | None = None


class DirectResponseBody(Schema, frozen=True):
    """One of the two; `bytes_` is base64 text."""

    string: str | None = None
    bytes_: str | None = msgspec.field(default=None, name="bytes")


class DirectResponse(Schema, frozen=True):
    status: UInt32
    body: DirectResponseBody | None = None


class RegexRewrite(Schema, frozen=True):
    match: str | None = None
    rewrite: str | None = None


class HttpRewrite(Schema, frozen=True):
    uri: str | None = None
    authority: str | None = None
    uri_regex_rewrite: RegexRewrite | None = None


class HttpRetry(Schema, frozen=True):
    """`attempts` counts re-tries; 0 switches retries off, absent leaves the default of 2."""

    attempts: Int32 | None = None
    per_try_timeout: PositiveDuration | None = None
    retry_on: str | None = None
    retry_remote_localities: bool | None = None
    retry_ignore_previous_hosts: bool | None = None
    backoff: PositiveDuration | None = None


class FaultDelay(Schema, frozen=True):
    """Neither percentage set: nobody is delayed. `percent` is the old whole-number form."""

    fixed_delay: PositiveDuration | None = None
    exponential_delay: PositiveDuration | None = None
    percentage: Percent | None = None
    percent: Int32 | None = None


class FaultAbort(Schema, frozen=True):
    http_status: Int32 | None = None
    grpc_status: str | None = None
    http2_error: str | None = None
    percentage: Percent | None = None


class HttpFault(Schema, frozen=True):
    delay: FaultDelay | None = None
    abort: FaultAbort | None = None


class MirrorPolicy(Schema, frozen=True):
    """Absent percentage: every request is mirrored."""

    destination: Destination
    percentage: Percent | None = None


class UnmatchedPreflights(StrEnum):
    UNSPECIFIED = "UNSPECIFIED"
    FORWARD = "FORWARD"
    IGNORE = "IGNORE"


class CorsPolicy(Schema, frozen=True):
    """`allow_origin` is the old list of exact origins."""

    allow_origins: tuple[StringMatch, ...] = ()
    allow_origin: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: PositiveDuration | None = None
    allow_credentials: bool | None = None
    unmatched_preflights: UnmatchedPreflights = UnmatchedPreflights.UNSPECIFIED


class Delegate(Schema, frozen=True):
    name: str | None = None
    namespace: str | None = None


class HttpRoute(Schema, frozen=True):
    """No `match`: every request. One of route, redirect, direct_response, delegate says what happens."""

    name: str | None = None
    match: tuple[HttpMatch, ...] = ()
    route: tuple[RouteDestination, ...] = ()
    redirect: HttpRedirect | None = None
    direct_response: DirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: HttpRewrite | None = None
    timeout: PositiveDuration | None = None
    retries: HttpRetry | None = None
    fault: HttpFault | None = None
    mirror: Destination | None = None
    mirrors: tuple[MirrorPolicy, ...] = ()
    mirror_percentage: Percent | None = None
    mirror_percent: UInt32 | None = None
    mirror_percent_snake: UInt32 | None = msgspec.field(default=None, name="mirror_percent")
    cors_policy: CorsPolicy | None = None
    headers: Headers | None = None


class TlsMatch(Schema, frozen=True):
    sni_hosts: tuple[str, ...]
    destination_subnets: tuple[str, ...] = ()
    port: PortNumber | None = None
    source_labels: Mapping[str, str] = {}
    source_namespace: str | None = None
    gateways: tuple[str, ...] = ()


class TlsRoute(Schema, frozen=True):
    match: tuple[TlsMatch, ...]
    route: tuple[L4RouteDestination, ...] = ()


class TcpMatch(Schema, frozen=True):
    destination_subnets: tuple[str, ...] = ()
    port: PortNumber | None = None
    source_labels: Mapping[str, str] = {}
    source_namespace: str | None = None
    source_subnet: str | None = None
    gateways: tuple[str, ...] = ()


class TcpRoute(Schema, frozen=True):
    match: tuple[TcpMatch, ...] = ()
    route: tuple[L4RouteDestination, ...] = ()


class VirtualService(Schema, frozen=True):
    """In a `MeshModel`: `hosts` fully qualified; `gateways` `mesh` or `namespace/name`, never empty."""

    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    http: tuple[HttpRoute, ...] = ()
    tls: tuple[TlsRoute, ...] = ()
    tcp: tuple[TcpRoute, ...] = ()
    export_to: tuple[str, ...] = ()
