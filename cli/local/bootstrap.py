"""The Envoy bootstrap of a local sidecar or gateway, as Istio's agent would write it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ADMIN_PORT = 15000


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """Who a proxy is, to Pilot, to Mixer and to its peers."""

    role: str
    """`sidecar` or `router`."""
    ip: str
    name: str
    namespace: str
    owner: str
    labels: Mapping[str, str]
    service_account: str
    app_ports: Mapping[int, int] = field(default_factory=dict)
    """Container port -> the port its program listens on here."""
    port_map: Mapping[int, int] = field(default_factory=dict)
    """Gateway port -> local port."""
    bind: str = "127.0.0.1"
    """What a gateway listens on."""

    @property
    def id(self) -> str:
        return f"{self.role}~{self.ip}~{self.name}.{self.namespace}~{self.namespace}.svc.cluster.local"

    @property
    def app(self) -> str:
        return self.labels.get("app") or self.labels.get("app.kubernetes.io/name") or self.owner


@dataclass(frozen=True, slots=True)
class Upstreams:
    """Whom a proxy takes its orders from. Without a mixer nothing is reported; without `sds` there is no
    identity."""

    pilot: str
    sds: Path | None
    mixer: str = ""


def bootstrap(node: NodeSpec, upstreams: Upstreams) -> str:
    """JSON, which is YAML too."""
    clusters = [_cluster("xds-grpc", _address(upstreams.pilot))]
    if upstreams.sds is not None:
        clusters.append(_cluster("sds-grpc", {"pipe": {"path": str(upstreams.sds)}}))
    config = {
        "node": _node(node, upstreams),
        "admin": {"address": _address(f"{node.ip}:{ADMIN_PORT}")},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "static_resources": {"clusters": clusters},
    }
    return json.dumps(config, indent=1)


def _node(node: NodeSpec, upstreams: Upstreams) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "NAME": node.name,
        "NAMESPACE": node.namespace,
        "WORKLOAD_NAME": node.owner,
        "OWNER": f"kubernetes://apis/apps/v1/namespaces/{node.namespace}/deployments/{node.owner}",
        "SERVICE_ACCOUNT": node.service_account,
        "LABELS": dict(node.labels),
        "INSTANCE_IPS": node.ip,
        "CLUSTER_ID": "Kubernetes",
        "MESH_ID": "cluster.local",
        "MESHLOOM_ADMIN": f"{node.ip}:{ADMIN_PORT}",
    }
    if upstreams.mixer:
        metadata["MESHLOOM_MIXER"] = upstreams.mixer
    if node.app_ports:
        metadata["MESHLOOM_APP_PORTS"] = {str(c): f"127.0.0.1:{p}" for c, p in node.app_ports.items()}
    if node.role == "router":
        metadata["GATEWAY_BIND"] = node.bind
        metadata["MESHLOOM_PORT_MAP"] = {str(g): str(p) for g, p in node.port_map.items()}
    return {"id": node.id, "cluster": f"{node.app}.{node.namespace}", "metadata": metadata}


def _cluster(name: str, address: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def _address(text: str) -> dict[str, Any]:
    host, _, port = text.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}
