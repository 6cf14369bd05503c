"""`/clusters` and `/listeners`: who can be called, and where we listen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from meshloom.meshproxy.admin.view import View
from meshloom.meshproxy.agent.store import DNS_PREFIX
from meshloom.meshproxy.resources.compiled import Compiled
from meshloom.meshproxy.resources.protos import CLUSTER, ENDPOINTS, LISTENER, parse


class Host(NamedTuple):
    """An endpoint in its cluster."""

    address: str
    port: int
    hostname: str
    health: str
    weight: int
    priority: int
    region: str
    zone: str
    sub_zone: str


class ClusterView(NamedTuple):
    name: str
    static: bool
    hosts: tuple[Host, ...]
    max_connections: int
    max_pending: int
    max_requests: int
    max_retries: int


def clusters(view: View) -> Iterator[ClusterView]:
    store = view.agent.store
    for name, resource in store.published[CLUSTER].items():
        message: Any = parse(CLUSTER, resource.body)
        limits = next((t for t in message.circuit_breakers.thresholds if not t.priority), None)
        entry = store.accepted[CLUSTER].get(name)
        yield ClusterView(
            name,
            static=bool(entry and entry.static),
            hosts=tuple(_hosts(_assignment(view, resource, message))),
            max_connections=_limit(limits, "max_connections", 1024),
            max_pending=_limit(limits, "max_pending_requests", 1024),
            max_requests=_limit(limits, "max_requests", 1024),
            max_retries=_limit(limits, "max_retries", 3),
        )


def clusters_text(view: View) -> str:
    """Envoy's lines, `cluster::place::what::value`."""
    lines: list[str] = []
    for cluster in clusters(view):
        lines.append(f"{cluster.name}::observability_name::{cluster.name}")
        for what in ("max_connections", "max_pending", "max_requests", "max_retries"):
            label = "max_pending_requests" if what == "max_pending" else what
            lines.append(f"{cluster.name}::default_priority::{label}::{getattr(cluster, what)}")
        lines.append(f"{cluster.name}::added_via_api::{str(not cluster.static).lower()}")
        for host in cluster.hosts:
            lines += [f"{cluster.name}::{_place(host)}::{what}" for what in _host_lines(host)]
    return "".join(f"{line}\n" for line in lines)


def clusters_json(view: View) -> str:
    """As envoy.admin.v3.Clusters."""
    statuses = [
        {
            "name": cluster.name,
            "added_via_api": not cluster.static,
            "observability_name": cluster.name,
            "circuit_breakers": {
                "thresholds": [
                    {
                        "max_connections": cluster.max_connections,
                        "max_pending_requests": cluster.max_pending,
                        "max_requests": cluster.max_requests,
                        "max_retries": cluster.max_retries,
                    }
                ]
            },
            "host_statuses": [_host_json(host) for host in cluster.hosts],
        }
        for cluster in clusters(view)
    ]
    return json.dumps({"cluster_statuses": statuses}, indent=1)


def listeners_text(view: View) -> str:
    return "".join(f"{name}::{_joined(host, port)}\n" for name, host, port in bound_listeners(view))


def listeners_json(view: View) -> str:
    """As envoy.admin.v3.Listeners."""
    statuses = [
        {"name": name, "local_address": _socket_address(host, port)}
        for name, host, port in bound_listeners(view)
    ]
    return json.dumps({"listener_statuses": statuses}, indent=1)


def bound_listeners(view: View) -> Iterator[tuple[str, str, int]]:
    """Name, address and port as bound: where port 0 was configured, the port that the kernel gave."""
    bound = {(b["address"], b["port"]): b["bound_port"] for b in view.agent.fleet.bound}
    for name, listener in view.agent.store.published[LISTENER].items():
        for where in listener.listen:
            key = (where["address"], where["port"])
            if key in bound:
                yield name, key[0], bound[key]


def _assignment(view: View, resource: Compiled, message: Any) -> Any:
    names = [reference.name for reference in resource.references if reference.type_url == ENDPOINTS]
    if resource.dns_hosts:
        names = [DNS_PREFIX + resource.name]
    for name in names:
        if found := view.agent.store.published[ENDPOINTS].get(name):
            return parse(ENDPOINTS, found.body)
    return message.load_assignment


def _hosts(assignment: Any) -> Iterator[Host]:
    for group in assignment.endpoints:
        locality = group.locality
        for endpoint in group.lb_endpoints:
            address = endpoint.endpoint.address
            where = (address.pipe.path, 0)
            if address.HasField("socket_address"):
                where = (address.socket_address.address, address.socket_address.port_value)
            yield Host(
                *where,
                hostname=endpoint.endpoint.hostname,
                health=endpoint.DESCRIPTOR.fields_by_name["health_status"]
                .enum_type.values_by_number[endpoint.health_status]
                .name,
                weight=endpoint.load_balancing_weight.value or 1,
                priority=group.priority,
                region=locality.region,
                zone=locality.zone,
                sub_zone=locality.sub_zone,
            )


def _host_lines(host: Host) -> Iterator[str]:
    healthy = host.health in ("UNKNOWN", "HEALTHY")
    yield f"hostname::{host.hostname}"
    yield f"health_flags::{'healthy' if healthy else '/failed_eds_health'}"
    yield f"weight::{host.weight}"
    yield f"region::{host.region}"
    yield f"zone::{host.zone}"
    yield f"sub_zone::{host.sub_zone}"
    yield f"priority::{host.priority}"


def _host_json(host: Host) -> dict[str, Any]:
    return {
        "address": _socket_address(host.address, host.port),
        "health_status": {"eds_health_status": "HEALTHY" if host.health == "UNKNOWN" else host.health},
        "weight": host.weight,
        "hostname": host.hostname,
        "priority": host.priority,
        "locality": {"region": host.region, "zone": host.zone, "sub_zone": host.sub_zone},
    }


def _socket_address(host: str, port: int) -> dict[str, Any]:
    if host.startswith(("/", "@")):
        return {"pipe": {"path": host}}
    return {"socket_address": {"address": host, "port_value": port}}


def _place(host: Host) -> str:
    return _joined(host.address, host.port)


def _joined(host: str, port: int) -> str:
    if host.startswith(("/", "@")):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _limit(thresholds: Any, field: str, default: int) -> int:
    if thresholds is None or not thresholds.HasField(field):
        return default
    return int(getattr(thresholds, field).value)
