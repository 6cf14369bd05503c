"""Short ways to write the parts of an Envoy bootstrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]
TYPE = "type.googleapis.com/"
HCM = TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
TCP_PROXY = TYPE + "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
TLS_INSPECTOR = "tls_inspector.v3.TlsInspector"
HTTP_INSPECTOR = "http_inspector.v3.HttpInspector"
PROXY_PROTOCOL = "proxy_protocol.v3.ProxyProtocol"
ORIGINAL_DST = "original_dst.v3.OriginalDst"
ROUTER = TYPE + "envoy.extensions.filters.http.router.v3.Router"
FAULT = TYPE + "envoy.extensions.filters.http.fault.v3.HTTPFault"
FILE_LOG = TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog"


def address(port: int, host: str = "127.0.0.1") -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def cluster(name: str, *ports: int, **fields: Any) -> Json:
    endpoints = [{"endpoint": {"address": address(port)}} for port in ports]
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment, **fields}


def router(**fields: Any) -> Json:
    return {"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER, **fields}}


def fault(**fields: Any) -> Json:
    return {"name": "envoy.filters.http.fault", "typed_config": {"@type": FAULT, **fields}}


def file_log(path: Path, text: str) -> Json:
    form = {"text_format_source": {"inline_string": text}}
    return {"name": "f", "typed_config": {"@type": FILE_LOG, "path": str(path), "log_format": form}}


def http_listener(name: str, virtual_hosts: Sequence[Mapping[str, Any]], **hcm: Any) -> Json:
    manager = {
        "@type": HCM,
        "stat_prefix": name,
        # As with routes over RDS, a route may name a cluster that is not there.
        "route_config": {
            "name": f"{name}-routes",
            "virtual_hosts": list(virtual_hosts),
            "validate_clusters": False,
        },
        "http_filters": [router()],
        **hcm,
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": name, "address": address(0), "filter_chains": [chain]}


def tcp_proxy(name: str, to: str, **fields: Any) -> Json:
    config = {"@type": TCP_PROXY, "stat_prefix": name, "cluster": to, **fields}
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": config}


def tcp_listener(name: str, to: str, **fields: Any) -> Json:
    """A listener that passes all connections to one cluster; `fields` are those of the TCP proxy."""
    chain = {"filters": [tcp_proxy(name, to, **fields)]}
    return {"name": name, "address": address(0), "filter_chains": [chain]}


def listener_filter(kind: str, disabled: Json | None = None, **fields: Any) -> Json:
    """`kind` as in `tls_inspector.v3.TlsInspector`."""
    config = {"@type": f"{TYPE}envoy.extensions.filters.listener.{kind}", **fields}
    made: Json = {"name": f"envoy.filters.listener.{kind.partition('.')[0]}", "typed_config": config}
    return made if disabled is None else {**made, "filter_disabled": disabled}


def virtual_host(*routes: Mapping[str, Any], domains: Sequence[str] = ("*",), **fields: Any) -> Json:
    return {"name": f"v-{domains[0]}", "domains": list(domains), "routes": list(routes), **fields}


def route(match: Mapping[str, Any], action: Mapping[str, Any] | str, **fields: Any) -> Json:
    """A route to a cluster by name, or with a whole `route` action."""
    return {"match": match, "route": {"cluster": action} if isinstance(action, str) else action, **fields}


def direct(match: Mapping[str, Any], status: int, body: str = "", **fields: Any) -> Json:
    response: Json = {"status": status}
    if body:
        response["body"] = {"inline_string": body}
    return {"match": match, "direct_response": response, **fields}


def static(listeners: Sequence[Mapping[str, Any]], clusters: Sequence[Mapping[str, Any]]) -> Json:
    return {"static_resources": {"listeners": list(listeners), "clusters": list(clusters)}}
