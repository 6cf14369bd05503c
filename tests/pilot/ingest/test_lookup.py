"""Which VirtualService, DestinationRule, PeerAuthentication, Gateway counts (semantics 8, 16, 31, 33)."""

from __future__ import annotations

from typing import Any

import pytest
from meshloom.pilot.model.base import Hostname, Namespace
from meshloom.pilot.model.destination_rule import SimpleLoadBalancer
from meshloom.pilot.model.lookup.destination_rules import (
    Client,
    MergedRule,
    destination_rule_for,
    traffic_policy,
)
from meshloom.pilot.model.lookup.gateways import gateways_for
from meshloom.pilot.model.lookup.peer_authentication import inbound_mtls, mtls_policies
from meshloom.pilot.model.lookup.virtual_services import (
    gateway_virtual_services,
    mesh_host_index,
    server_hosts,
    virtual_service_for,
)
from meshloom.pilot.model.lookup.visibility import find_service
from meshloom.pilot.model.mesh import MeshModel
from meshloom.pilot.model.peer_authentication import MtlsMode

from tests.pilot.ingest.documents import document, model

SHOP, OTHER, ROOT = Namespace("shop"), Namespace("other"), Namespace("istio-system")
WEB = document(
    "Service", "shop/web", {"ports": [{"port": 80, "name": "http"}, {"port": 81, "name": "http-b"}]}
)
WEB_HOST = Hostname("web.shop.svc.cluster.local")


def rule(name: str, *hosts: str, created: int = 1, **fields: Any) -> str:
    spec = {"hosts": list(hosts), "http": [{"route": [{"destination": {"host": "web"}}]}], **fields}
    return document("VirtualService", name, spec, creationTimestamp=f"2026-01-0{created}T00:00:00Z")


def followed(mesh: MeshModel, host: Hostname, viewer: Namespace) -> str | None:
    found = virtual_service_for(mesh, host, viewer)
    return found.name if found else None


def test_of_two_rules_for_a_host_sidecars_follow_the_oldest() -> None:
    mesh = model(rule("shop/young", "web", created=2), rule("shop/old", "web", created=1))
    assert followed(mesh, WEB_HOST, OTHER) == "old"


def test_the_most_specific_host_wins_over_age() -> None:
    mesh = model(
        rule("shop/any", "*.local", created=1),
        rule("shop/near", "*.shop.svc.cluster.local", created=2),
        rule("shop/exact", "web", created=3),
    )
    assert followed(mesh, WEB_HOST, SHOP) == "exact"
    assert followed(mesh, Hostname("x.shop.svc.cluster.local"), SHOP) == "near"
    assert followed(mesh, Hostname("x.local"), SHOP) == "any"
    assert mesh_host_index(mesh, SHOP).find("x.com") is None


def test_a_rule_for_gateways_alone_or_for_other_namespaces_is_not_followed() -> None:
    mesh = model(rule("shop/gate", "web", gateways=["g"]), rule("shop/hidden", "web", exportTo=["."]))
    assert followed(mesh, WEB_HOST, SHOP) == "hidden"
    assert followed(mesh, WEB_HOST, OTHER) is None


def test_destinations_are_fully_qualified_in_the_rules_namespace() -> None:
    route = {
        "route": [{"destination": {"host": "web"}}],
        "mirror": {"host": "b"},
        "match": [{"gateways": ["g"]}],
    }
    mesh = model(document("VirtualService", "shop/a", {"hosts": ["web", "x.com"], "http": [route]}))
    (found,) = mesh.virtual_services
    (http,) = found.spec.http
    assert found.spec.hosts == (WEB_HOST, "x.com")
    assert found.spec.gateways == ("mesh",)
    assert http.route[0].destination.host == WEB_HOST
    assert http.mirror is not None
    assert http.mirror.host == "b.shop.svc.cluster.local"
    assert http.match[0].gateways == ("shop/g",)


def test_a_gateway_serves_the_rules_bound_to_it_for_the_hosts_that_both_name() -> None:
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    servers = [{"port": port, "hosts": ["shop/*.example.com", "./own.org"]}]
    mesh = model(
        document("Gateway", "edge/g", {"selector": {"istio": "ingress"}, "servers": servers}),
        rule("shop/a", "a.example.com", "a.org", gateways=["edge/g"]),
        rule("other/b", "b.example.com", gateways=["edge/g"]),
        rule("edge/c", "own.org", gateways=["g"]),
        rule("shop/d", "d.example.com", gateways=["g"]),
    )
    (gateway,) = gateways_for(mesh, {"istio": "ingress", "x": "y"})
    bound = gateway_virtual_services(mesh, gateway, Namespace("edge"))
    assert {vs.name: server_hosts(gateway, gateway.spec.servers[0], vs) for vs in bound} == {
        "a": ("a.example.com",),
        "b": (),
        "c": ("own.org",),
    }
    assert gateways_for(mesh, {"istio": "egress"}) == ()


def test_a_delegates_routes_are_narrowed_by_the_roots_match_and_inherit_from_it() -> None:
    root = {
        "hosts": ["a.com"],
        "http": [
            {
                "name": "r",
                "match": [{"uri": {"prefix": "/api"}, "headers": {"x": {"exact": "1"}}}],
                "delegate": {"name": "d", "namespace": "other"},
                "timeout": "3s",
            },
            {"route": [{"destination": {"host": "web"}}]},
        ],
    }
    to_b = [{"destination": {"host": "b"}}]
    delegate = {
        "http": [
            {"name": "in", "match": [{"uri": {"prefix": "/api/v1"}}], "route": to_b},
            {"name": "out", "match": [{"uri": {"prefix": "/other"}}], "route": to_b},
            {"name": "any", "route": to_b, "timeout": "1s"},
        ]
    }
    mesh = model(
        document("VirtualService", "shop/root", root), document("VirtualService", "other/d", delegate)
    )
    (found,) = mesh.virtual_services
    first, second, last = found.spec.http
    assert (first.name, second.name) == ("r-in", "r-any")
    assert [str(first.timeout), str(second.timeout)] == ["3s", "1s"]
    assert first.match[0].uri is not None
    assert first.match[0].uri.prefix == "/api/v1"
    assert "x" in first.match[0].headers
    assert first.route[0].destination.host == "b.other.svc.cluster.local"
    assert last.route[0].destination.host == WEB_HOST


def destination(name: str, host: str = "web.shop.svc.cluster.local", created: int = 1, **fields: Any) -> str:
    stamp = f"2026-01-0{created}T00:00:00Z"
    return document("DestinationRule", name, {"host": host, **fields}, creationTimestamp=stamp)


def simple(value: str) -> dict[str, Any]:
    return {"loadBalancer": {"simple": value}}


def merged(mesh: MeshModel, namespace: Namespace, **labels: str) -> MergedRule | None:
    service = find_service(mesh, WEB_HOST, namespace)
    assert service is not None
    return destination_rule_for(mesh, service, Client(namespace, labels))


def names(found: MergedRule | None) -> list[str]:
    return [f"{source.namespace}/{source.name}" for source in found.sources] if found else []


def test_the_clients_namespace_counts_first_then_the_services_then_the_root() -> None:
    everywhere = [destination(f"{namespace}/x") for namespace in (ROOT, SHOP, OTHER)]
    third = Namespace("third")
    assert names(merged(model(WEB, *everywhere), OTHER)) == ["other/x"]
    assert names(merged(model(WEB, *everywhere), third)) == ["shop/x"]
    assert names(merged(model(WEB, everywhere[0]), third)) == ["istio-system/x"]
    assert names(merged(model(WEB, destination("shop/x", exportTo=["."])), third)) == []


def test_a_proxy_of_the_root_namespace_prefers_its_private_rules_only() -> None:
    mesh = model(WEB, destination(f"{ROOT}/public"), destination("shop/x"))
    assert names(merged(mesh, ROOT)) == ["shop/x"]
    mesh = model(WEB, destination(f"{ROOT}/private", exportTo=["."]), destination("shop/x"))
    assert names(merged(mesh, ROOT)) == ["istio-system/private"]


def test_rules_of_one_namespace_merge_subsets_and_the_oldest_policy_counts() -> None:
    mesh = model(
        WEB,
        destination(
            "shop/b", created=2, trafficPolicy=simple("RANDOM"), subsets=[{"name": "v1"}, {"name": "v2"}]
        ),
        destination("shop/a", created=1, subsets=[{"name": "v1", "labels": {"version": "1"}}]),
        destination("shop/c", created=3, trafficPolicy=simple("ROUND_ROBIN")),
    )
    found = merged(mesh, SHOP)
    assert found is not None
    assert names(found) == ["shop/a", "shop/b", "shop/c"]
    assert [(subset.name, dict(subset.labels)) for subset in found.subsets] == [
        ("v1", {"version": "1"}),
        ("v2", {}),
    ]
    assert traffic_policy(found, 80) == traffic_policy(found, 80, "v1")
    balancer = traffic_policy(found, 80).load_balancer
    assert balancer is not None
    assert balancer.simple is SimpleLoadBalancer.RANDOM


def test_different_exports_do_not_merge_and_a_workload_selector_stands_apart() -> None:
    mesh = model(WEB, destination("shop/a", exportTo=["."]), destination("shop/b", created=2))
    assert names(merged(mesh, SHOP)) == ["shop/a"]
    selecting: dict[str, Any] = {"workloadSelector": {"matchLabels": {"app": "x"}}}
    mesh = model(WEB, destination("shop/a"), destination("shop/b", created=2, **selecting))
    assert names(merged(mesh, SHOP, app="x")) == ["shop/b"]
    assert names(merged(mesh, SHOP, app="y")) == ["shop/a"]


def test_an_exact_host_wins_over_a_wildcard() -> None:
    mesh = model(WEB, destination("shop/wild", "*.local"), destination("shop/exact", "web", created=2))
    assert names(merged(mesh, SHOP)) == ["shop/exact"]
    assert names(merged(model(WEB, destination("shop/wild", "*.local")), SHOP)) == ["shop/wild"]


def test_port_settings_replace_and_subset_settings_overlay() -> None:
    pool = {"connectionPool": {"tcp": {"maxConnections": 1}}}
    port = {"port": {"number": 81}, **simple("RANDOM")}
    policy = {**pool, **simple("ROUND_ROBIN"), "portLevelSettings": [port]}
    subset = {"name": "s", "trafficPolicy": {"tls": {"mode": "SIMPLE"}}}
    found = merged(model(WEB, destination("shop/a", trafficPolicy=policy, subsets=[subset])), SHOP)
    at_80, at_81, in_subset = (
        traffic_policy(found, 80),
        traffic_policy(found, 81),
        traffic_policy(found, 80, "s"),
    )
    assert at_80.connection_pool is not None
    assert at_81.connection_pool is None
    assert at_81.load_balancer is not None
    assert at_81.load_balancer.simple is SimpleLoadBalancer.RANDOM
    assert in_subset.tls is not None
    assert in_subset.connection_pool == at_80.connection_pool


def authentication(name: str, mode: str | None = None, created: int = 1, **fields: Any) -> str:
    spec = {**({"mtls": {"mode": mode}} if mode else {}), **fields}
    return document("PeerAuthentication", name, spec, creationTimestamp=f"2026-01-0{created}T00:00:00Z")


APP: dict[str, Any] = {"selector": {"matchLabels": {"app": "web"}}}
PORTS: dict[str, Any] = {"portLevelMtls": {"80": {"mode": "DISABLE"}, "81": {"mode": "UNSET"}}}


@pytest.mark.parametrize(
    ("policies", "port", "mode"),
    [
        ([], 80, MtlsMode.PERMISSIVE),
        ([authentication(f"{ROOT}/m", "STRICT")], 80, MtlsMode.STRICT),
        ([authentication(f"{ROOT}/m", "STRICT"), authentication("shop/n", "DISABLE")], 80, MtlsMode.DISABLE),
        ([authentication(f"{ROOT}/m", "STRICT"), authentication("shop/n", "UNSET")], 80, MtlsMode.STRICT),
        ([authentication("shop/n", "STRICT"), authentication("shop/w", **APP)], 80, MtlsMode.STRICT),
        ([authentication("shop/w", "STRICT", **APP, **PORTS)], 80, MtlsMode.DISABLE),
        ([authentication("shop/w", "STRICT", **APP, **PORTS)], 81, MtlsMode.STRICT),
        ([authentication("shop/w", "STRICT", **APP, **PORTS)], 82, MtlsMode.STRICT),
        (
            [authentication("shop/b", "DISABLE", 2), authentication("shop/a", "STRICT", 1)],
            80,
            MtlsMode.STRICT,
        ),
        ([authentication(f"{ROOT}/m", "STRICT", **APP)], 80, MtlsMode.PERMISSIVE),
        ([authentication("other/n", "STRICT")], 80, MtlsMode.PERMISSIVE),
    ],
)
def test_the_narrowest_set_mode_counts(policies: list[str], port: int, mode: MtlsMode) -> None:
    mesh = model(WEB, *policies)
    assert inbound_mtls(mesh, SHOP, {"app": "web"}, port) is mode


def test_the_policies_behind_a_mode_are_known_narrowest_first() -> None:
    mesh = model(
        authentication(f"{ROOT}/m", "STRICT"),
        authentication("shop/n", "UNSET"),
        authentication("shop/w", **APP),
    )
    assert [policy.name for policy in mtls_policies(mesh, SHOP, {"app": "web"})] == ["w", "n", "m"]
