"""What Istio's rules become, as files to be read and reviewed: rules/*.yaml and golden/*.yaml.

After a wanted change, `MESHLOOM_GOLDEN=write pytest tests/pilot/translate` rewrites them; the diff is what
is reviewed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from meshloom.pilot.translate.resource import TypeUrl

from tests.pilot.translate.mesh import (
    ORDERS_SUBSETS,
    gateway,
    resource,
    routes,
    sidecar,
    translated,
)

RULES = Path(__file__).parent / "rules"
GOLDEN = Path(__file__).parent / "golden"
ORDERS = "outbound|80||orders.default.svc.cluster.local"


def rules(name: str) -> str:
    return (RULES / f"{name}.yaml").read_text()


def check(name: str, found: Any) -> None:
    path = GOLDEN / f"{name}.yaml"
    plain = json.loads(json.dumps(found))
    text = yaml.safe_dump(plain, sort_keys=True, width=110)
    if os.environ.get("MESHLOOM_GOLDEN") == "write":
        path.write_text(text)
    assert yaml.safe_load(text) == yaml.safe_load(path.read_text()), f"differs from {path}"


@pytest.mark.parametrize("name", sorted(file.stem for file in RULES.glob("http-*.yaml")))
def test_http_rules(name: str) -> None:
    snapshot = translated(sidecar(), ORDERS_SUBSETS, rules(name))
    check(name, routes(snapshot))


def test_a_service_without_rules() -> None:
    check("http-default", routes(translated(sidecar())))


def test_the_http_proxy_knows_every_name() -> None:
    table = resource(translated(sidecar()), TypeUrl.ROUTE, "http_proxy")
    check("http-proxy-domains", {host["name"]: host["domains"] for host in table["virtual_hosts"]})


def test_destination_policy() -> None:
    snapshot = translated(sidecar(), rules("cluster-policy"))
    subset = "outbound|80|v1|orders.default.svc.cluster.local"
    check("cluster-policy", [resource(snapshot, TypeUrl.CLUSTER, name) for name in (ORDERS, subset)])


def test_mutual_tls_is_automatic() -> None:
    snapshot = translated(sidecar())
    check(
        "cluster-mtls",
        [resource(snapshot, TypeUrl.CLUSTER, ORDERS), resource(snapshot, TypeUrl.ENDPOINT, ORDERS)],
    )


def test_service_entries() -> None:
    snapshot = translated(sidecar(), rules("service-entries"))
    names = ("outbound|443||api.example", "outbound|80||round.example", "outbound|80||static.example")
    clusters = [resource(snapshot, TypeUrl.CLUSTER, name) for name in names]
    check("service-entries", [*clusters, resource(snapshot, TypeUrl.ENDPOINT, names[2])])


@pytest.mark.parametrize("mode", ["PERMISSIVE", "STRICT", "DISABLE"])
@pytest.mark.parametrize("own", [True, False], ids=["ours", "envoy"])
def test_inbound(mode: str, own: bool) -> None:
    policy = f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default}}
spec: {{mtls: {{mode: {mode}}}}}
"""
    snapshot = translated(sidecar(own_filters=own), policy)
    check(
        f"inbound-{mode.lower()}-{'ours' if own else 'envoy'}",
        [
            resource(snapshot, TypeUrl.LISTENER, "10.0.0.1_8080"),
            resource(snapshot, TypeUrl.CLUSTER, "inbound|8080||"),
        ],
    )


def test_gateway() -> None:
    snapshot = translated(gateway(port_map={443: 8443}), rules("gateway"))
    listeners = snapshot.of(TypeUrl.LISTENER).resources
    tables = snapshot.of(TypeUrl.ROUTE).resources
    check(
        "gateway",
        {
            "listeners": [resource(snapshot, TypeUrl.LISTENER, name) for name in sorted(listeners)],
            "tables": [resource(snapshot, TypeUrl.ROUTE, name) for name in sorted(tables)],
        },
    )
