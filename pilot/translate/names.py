"""Names of resources, exactly Istio's: dashboards, logs and people recognise them."""

from __future__ import annotations

BLACK_HOLE = "BlackHoleCluster"
HTTP_PROXY_ROUTE = "http_proxy"


def outbound(hostname: str, port: int, subset: str = "") -> str:
    """A cluster, its endpoints, and (without a subset) the route table of its listener."""
    return f"outbound|{port}|{subset}|{hostname}"


def outbound_sni(hostname: str, port: int, subset: str = "") -> str:
    """The SNI of mutual TLS inside the mesh: the cluster's name in letters that DNS allows."""
    return f"outbound_.{port}_.{subset}_.{hostname}"


def inbound(port: int) -> str:
    return f"inbound|{port}||"


def listener(address: str, port: int) -> str:
    return f"{address}_{port}"


def rule_path(kind: str, namespace: str, name: str) -> str:
    """How resources refer to the rule they were made of (`virtual-service`, `destination-rule`)."""
    return f"/apis/networking.istio.io/v1alpha3/namespaces/{namespace}/{kind}/{name}"
