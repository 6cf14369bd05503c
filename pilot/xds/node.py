"""Reads the node that a client introduces itself with: Istio's id and metadata keys, and a few of our own."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from typing import Any

from envoy.config.core.v3 import base_pb2
from google.protobuf import json_format
from meshloom.pilot.model.base import Namespace
from meshloom.pilot.translate.proxy import HostPort, Proxy, ProxyKind

_ID_FORM = "sidecar~<ip>~<workload>.<namespace>~<dns domain>"


class InvalidNode(Exception):
    """A node that cannot be served. The text names the field and says what would be right."""


def parse_node(node: base_pb2.Node) -> Proxy:
    """Raises InvalidNode."""
    metadata: dict[str, Any] = json_format.MessageToDict(node.metadata)
    parts = node.id.split("~")
    if len(parts) != 4:
        raise InvalidNode(f'node.id is "{node.id}", want {_ID_FORM}')
    role, ip, workload, domain = parts
    name, _, namespace = workload.partition(".")
    return Proxy(
        id=node.id,
        kind=_kind(role, metadata, node.user_agent_name),
        ip=_ip(ip, metadata),
        name=str(metadata.get("NAME") or name),
        namespace=Namespace(str(metadata.get("NAMESPACE") or namespace or domain.split(".")[0] or "default")),
        service_account=str(metadata.get("SERVICE_ACCOUNT") or "default"),
        labels=_strings(metadata, "LABELS"),
        own_filters=node.user_agent_name == "meshproxy",
        app_ports=_app_ports(_strings(metadata, "MESHLOOM_APP_PORTS")),
        port_map=_port_map(_strings(metadata, "MESHLOOM_PORT_MAP")),
        gateway_bind=str(metadata.get("GATEWAY_BIND") or "0.0.0.0"),
        locality=_locality(node.locality),
        identity=str(metadata.get("MESHLOOM_MESH_TLS", "true")).lower() != "false",
    )


def _kind(role: str, metadata: Mapping[str, Any], user_agent: str) -> ProxyKind:
    if metadata.get("GENERATOR") == "grpc" or user_agent.lower().startswith("grpc"):
        return ProxyKind.GRPC
    try:
        return ProxyKind(role)
    except ValueError:
        raise InvalidNode(f'node.id starts with "{role}", want sidecar or router') from None


def _ip(from_id: str, metadata: Mapping[str, Any]) -> str:
    first = from_id or str(metadata.get("INSTANCE_IPS", "")).split(",")[0]
    try:
        return str(ipaddress.ip_address(first))
    except ValueError:
        raise InvalidNode(f'node.id holds "{first}" as the address, want an IP: {_ID_FORM}') from None


def _strings(metadata: Mapping[str, Any], key: str) -> dict[str, str]:
    """An object of strings; bootstrap writers that know only strings may write it as JSON text."""
    raw = metadata.get(key) or {}
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except ValueError:
            raise InvalidNode(f"node.metadata.{key} is not JSON") from None
    if not isinstance(raw, dict):
        raise InvalidNode(f"node.metadata.{key} is {type(raw).__name__}, want an object")
    return {str(name): _plain(value) for name, value in raw.items()}


def _plain(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _app_ports(raw: Mapping[str, str]) -> dict[int, HostPort]:
    ports: dict[int, HostPort] = {}
    for container_port, text in raw.items():
        host, _, port = text.rpartition(":")
        ports[_port("MESHLOOM_APP_PORTS", container_port)] = HostPort(
            host or "127.0.0.1", _port("MESHLOOM_APP_PORTS", port)
        )
    return ports


def _port_map(raw: Mapping[str, str]) -> dict[int, int]:
    key = "MESHLOOM_PORT_MAP"
    return {_port(key, asked): _port(key, given) for asked, given in raw.items()}


def _port(key: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise InvalidNode(f'node.metadata.{key} holds "{text}", want a port from 1 to 65535')
    return int(text)


def _locality(locality: base_pb2.Locality) -> str:
    return "/".join(part for part in (locality.region, locality.zone, locality.sub_zone) if part)
