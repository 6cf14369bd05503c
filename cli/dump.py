"""Reads Envoy's /config_dump, which meshproxy and Envoy both serve, into rows that a person can read.
Pure."""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
Rows = tuple[list[str], list[list[object]]]


def resources(dump: Json, section: str, keys: dict[str, str]) -> list[Json]:
    """The resources of one section (`ClustersConfigDump`, ...); `keys` maps list names to the field
    inside."""
    found = []
    for config in dump.get("configs", []):
        if str(config.get("@type", "")).endswith(f".{section}"):
            for name, inner in keys.items():
                found += [_inside(entry, inner) for entry in config.get(name, [])]
    return [resource for resource in found if resource]


def _inside(entry: Json, path: str) -> Json:
    value: Any = entry
    for step in path.split("."):
        value = value.get(step, {}) if isinstance(value, dict) else {}
    return value if isinstance(value, dict) else {}


def listeners(dump: Json) -> list[Json]:
    keys = {"dynamic_listeners": "active_state.listener", "static_listeners": "listener"}
    return resources(dump, "ListenersConfigDump", keys)


def clusters(dump: Json) -> list[Json]:
    keys = {"dynamic_active_clusters": "cluster", "static_clusters": "cluster"}
    return resources(dump, "ClustersConfigDump", keys)


def routes(dump: Json) -> list[Json]:
    keys = {"dynamic_route_configs": "route_config", "static_route_configs": "route_config"}
    return resources(dump, "RoutesConfigDump", keys)


def endpoints(dump: Json) -> list[Json]:
    keys = {"dynamic_endpoint_configs": "endpoint_config", "static_endpoint_configs": "endpoint_config"}
    return resources(dump, "EndpointsConfigDump", keys)


def secrets(dump: Json) -> list[Json]:
    keys = {"dynamic_active_secrets": "secret", "static_secrets": "secret"}
    return resources(dump, "SecretsConfigDump", keys)


def listener_rows(found: list[Json]) -> Rows:
    rows: list[list[object]] = []
    for listener in found:
        address = listener.get("address", {}).get("socket_address", {})
        where = [address.get("address", ""), address.get("port_value", "")]
        for chain in listener.get("filter_chains", []):
            match = chain.get("filter_chain_match", {})
            rows.append([*where, _match(match), _destination(chain), listener.get("name", "")])
    return ["ADDRESS", "PORT", "MATCH", "DESTINATION", "LISTENER"], rows


def _match(match: Json) -> str:
    parts = [
        ("ALPN", match.get("application_protocols")),
        ("SNI", match.get("server_names")),
        ("Trans", match.get("transport_protocol")),
        ("Port", match.get("destination_port")),
    ]
    shown = (f"{name}: {','.join(v) if isinstance(v, list) else v}" for name, v in parts if v)
    return "; ".join(shown) or "ALL"


def _destination(chain: Json) -> str:
    for network in chain.get("filters", []):
        config = network.get("typed_config", {})
        if rds := config.get("rds"):
            return f"Route: {rds.get('route_config_name', '')}"
        if route := config.get("route_config"):
            return f"Inline Route: {route.get('name', '')}"
        if cluster := config.get("cluster"):
            return f"Cluster: {cluster}"
        if config.get("weighted_clusters"):
            return "Clusters: weighted"
    return "-"


def cluster_rows(found: list[Json]) -> Rows:
    rows: list[list[object]] = []
    for cluster in found:
        direction, port, subset, host = _name_parts(cluster.get("name", ""))
        rows.append([host, port or "-", subset or "-", direction or "-", cluster.get("type", "STATIC")])
    return ["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE"], rows


def _name_parts(name: str) -> tuple[str, str, str, str]:
    parts = name.split("|")
    return (parts[0], parts[1], parts[2], parts[3]) if len(parts) == 4 else ("", "", "", name)


def route_rows(found: list[Json]) -> Rows:
    rows: list[list[object]] = []
    for table in found:
        for host in table.get("virtual_hosts", []):
            for route in host.get("routes", []):
                domains = ", ".join(host.get("domains", [])[:2])
                rows.append(
                    [table.get("name", ""), domains, _route_match(route.get("match", {})), _action(route)]
                )
    return ["NAME", "DOMAINS", "MATCH", "ACTION"], rows


def _route_match(match: Json) -> str:
    path = next(
        (f"{text}{match[kind]}" for kind, text in _PATHS if kind in match),
        f"regex {match.get('safe_regex', {}).get('regex', '')}",
    )
    names = [str(header.get("name", "")) for header in match.get("headers", [])]
    return path + (f" if {', '.join(names)}" if names else "")


_PATHS = (("path", ""), ("prefix", "prefix "), ("path_separated_prefix", "prefix "))


def _action(route: Json) -> str:
    if action := route.get("route"):
        if weighted := action.get("weighted_clusters"):
            return ", ".join(f"{c.get('name')} {c.get('weight', 0)}" for c in weighted.get("clusters", []))
        return str(action.get("cluster") or action.get("cluster_header") or "")
    if redirect := route.get("redirect"):
        return f"redirect {redirect.get('host_redirect', '')}{redirect.get('path_redirect', '')}"
    return f"direct response {route.get('direct_response', {}).get('status', '')}"


def endpoint_rows(found: list[Json]) -> Rows:
    rows = [list(row) for assignment in found for row in _endpoints_of(assignment)]
    return ["ENDPOINT", "HEALTH", "WEIGHT", "CLUSTER"], rows


def _endpoints_of(assignment: Json) -> Iterator[tuple[object, ...]]:
    for locality in assignment.get("endpoints", []):
        for endpoint in locality.get("lb_endpoints", []):
            address = endpoint.get("endpoint", {}).get("address", {})
            socket = address.get("socket_address", {})
            where = (
                address.get("pipe", {}).get("path") or f"{socket.get('address')}:{socket.get('port_value')}"
            )
            health = endpoint.get("health_status", "UNKNOWN")
            weight = endpoint.get("load_balancing_weight", 1)
            yield where, health, weight, assignment.get("cluster_name", "")
