"""Services, endpoints, names and visibility of a built model (semantics 14, 17, 47-49)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshloom.pilot.model.base import Hostname, Namespace
from meshloom.pilot.model.duration import Duration
from meshloom.pilot.model.hosts import host_matches, intersect_hosts, resolve_host
from meshloom.pilot.model.lookup.endpoints import endpoints_of, service_accounts_of
from meshloom.pilot.model.lookup.visibility import find_service, visible_services
from meshloom.pilot.model.mesh import MeshModel, Service, TlsMode, Workload, WorkloadPort
from meshloom.pilot.model.protocol import Protocol, choose_protocol
from meshloom.pilot.model.resolve import resolve_export_to, resolve_gateway
from meshloom.pilot.model.service_entry import Resolution

from tests.pilot.ingest.documents import document, model

SHOP = Namespace("shop")
OTHER = Namespace("other")


def service(model: MeshModel, host: str, viewer: Namespace = SHOP) -> Service:
    found = find_service(model, Hostname(host), viewer)
    assert found is not None
    return found


def addresses(model: MeshModel, host: str, port: int, subset: dict[str, str] | None = None) -> list[str]:
    found = endpoints_of(model, service(model, host), port, subset)
    return [f"{endpoint.address}:{endpoint.port}" for endpoint in found]


def copy(name: str, address: str, version: str = "v1", **fields: object) -> Workload:
    labels = {"app": "web", "version": version}
    return Workload(name=name, namespace=SHOP, address=address, labels=labels, **fields)  # type: ignore[arg-type]


WEB = document(
    "Service", "shop/web", {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
)


def test_a_service_selects_workloads_of_its_namespace_by_label_and_subset() -> None:
    elsewhere = Workload(name="x", namespace=OTHER, address="10.0.0.9", labels={"app": "web"})
    mesh = model(WEB, workloads=(copy("a", "10.0.0.1"), copy("b", "10.0.0.2", "v2"), elsewhere))
    host = "web.shop.svc.cluster.local"
    assert addresses(mesh, host, 80) == ["10.0.0.1:8080", "10.0.0.2:8080"]
    assert addresses(mesh, host, 80, {"version": "v2"}) == ["10.0.0.2:8080"]
    assert addresses(mesh, host, 80, {"version": "v3"}) == []


def test_a_named_target_port_is_looked_up_in_the_workload_and_in_its_deployment() -> None:
    web = document(
        "Service", "shop/web", {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "main"}]}
    )
    container = {"name": "c", "ports": [{"containerPort": 9000, "name": "main"}]}
    pod = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    deployment = document(
        "Deployment", "shop/web", {"selector": {"matchLabels": {"app": "web"}}, "template": pod}
    )
    named = copy("a", "10.0.0.1", ports=(WorkloadPort(7000, "main"),))
    mesh = model(
        web, deployment, workloads=(named, copy("b", "10.0.0.2", owner="web"), copy("c", "10.0.0.3"))
    )
    assert addresses(mesh, "web.shop.svc.cluster.local", 80) == ["10.0.0.1:7000", "10.0.0.2:9000"]


ENTRY = {"hosts": ["db.example.com"], "ports": [{"number": 5432, "name": "pg", "protocol": "TCP"}]}


def test_a_service_entry_lists_its_endpoints_and_their_own_ports() -> None:
    listed = [{"address": "10.1.0.1", "ports": {"pg": 15432}}, {"address": "10.1.0.2"}]
    spec = {**ENTRY, "resolution": "STATIC", "endpoints": listed}
    mesh = model(document("ServiceEntry", "shop/db", spec))
    assert addresses(mesh, "db.example.com", 5432) == ["10.1.0.1:15432", "10.1.0.2:5432"]


def test_a_dns_service_entry_without_endpoints_is_its_own_endpoint() -> None:
    mesh = model(document("ServiceEntry", "shop/db", {**ENTRY, "resolution": "DNS"}))
    assert service(mesh, "db.example.com").resolution is Resolution.DNS
    assert addresses(mesh, "db.example.com", 5432) == ["db.example.com:5432"]


def test_a_service_entry_selects_workload_entries_and_registered_workloads() -> None:
    spec = {
        **ENTRY,
        "resolution": "STATIC",
        "location": "MESH_INTERNAL",
        "workloadSelector": {"labels": {"app": "web"}},
    }
    vm = {"address": "10.2.0.1", "labels": {"app": "web"}, "serviceAccount": "vm", "ports": {"pg": 15432}}
    mesh = model(
        document("ServiceEntry", "shop/db", spec),
        document("WorkloadEntry", "shop/vm", vm),
        workloads=(copy("a", "10.0.0.1"),),
    )
    assert addresses(mesh, "db.example.com", 5432) == ["10.0.0.1:5432", "10.2.0.1:15432"]
    assert service_accounts_of(mesh, service(mesh, "db.example.com"), 5432) == (
        "spiffe://cluster.local/ns/shop/sa/default",
        "spiffe://cluster.local/ns/shop/sa/vm",
    )
    modes = [e.workload.tls_mode for e in endpoints_of(mesh, service(mesh, "db.example.com"), 5432)]
    assert modes == [TlsMode.DISABLED, TlsMode.ISTIO]


def test_nothing_outside_the_mesh_gets_mutual_tls() -> None:
    listed = [{"address": "10.1.0.1", "serviceAccount": "x"}]
    mesh = model(document("ServiceEntry", "shop/db", {**ENTRY, "resolution": "STATIC", "endpoints": listed}))
    (endpoint,) = endpoints_of(mesh, service(mesh, "db.example.com"), 5432)
    assert endpoint.workload.tls_mode is TlsMode.DISABLED


def test_an_entry_for_a_platform_service_only_adds_its_names() -> None:
    spec = {"hosts": ["web.shop.svc.cluster.local"], "resolution": "DNS", "subjectAltNames": ["spiffe://x"]}
    mesh = model(WEB, document("ServiceEntry", "other/web", spec))
    (web,) = mesh.services
    assert (web.resolution, web.subject_alt_names) == (Resolution.STATIC, ("spiffe://x",))


def test_an_external_name_stands_for_another_host() -> None:
    spec = {"type": "ExternalName", "externalName": "db.example.com", "ports": [{"port": 5432}]}
    mesh = model(document("Service", "shop/db", spec))
    assert addresses(mesh, "db.shop.svc.cluster.local", 5432) == ["db.example.com:5432"]
    assert service(mesh, "db.shop.svc.cluster.local").mesh_external


def test_a_service_is_seen_where_it_is_exported() -> None:
    hidden = document(
        "Service", "shop/web", {"ports": [{"port": 80}]}, annotations={"networking.istio.io/exportTo": "."}
    )
    nobody = document("ServiceEntry", "shop/db", {**ENTRY, "exportTo": ["~"]})
    mesh = model(hidden, nobody)
    assert [s.hostname for s in visible_services(mesh, SHOP)] == ["web.shop.svc.cluster.local"]
    assert visible_services(mesh, OTHER) == ()


def test_of_two_declarations_of_a_host_the_viewers_own_counts_then_the_oldest() -> None:
    mesh = model(
        document(
            "ServiceEntry", "b/db", {**ENTRY, "resolution": "DNS"}, creationTimestamp="2026-01-02T00:00:00Z"
        ),
        document(
            "ServiceEntry", "c/db", {**ENTRY, "resolution": "DNS"}, creationTimestamp="2026-01-01T00:00:00Z"
        ),
    )
    seen = {
        viewer: service(mesh, "db.example.com", Namespace(viewer)).namespace for viewer in ("a", "b", "c")
    }
    assert seen == {"a": "c", "b": "b", "c": "c"}


@pytest.mark.parametrize(
    ("host", "resolved"),
    [
        ("reviews", "reviews.shop.svc.cluster.local"),
        ("reviews.prod", "reviews.prod"),
        ("*", "*"),
        ("*.com", "*.com"),
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
    ],
)
def test_short_names_belong_to_the_rules_namespace(host: str, resolved: str) -> None:
    assert resolve_host(host, SHOP, "cluster.local") == resolved


@pytest.mark.parametrize(
    ("name", "resolved"),
    [
        ("mesh", "mesh"),
        ("gw", "shop/gw"),
        ("./gw", "shop/gw"),
        ("a/gw", "a/gw"),
        ("gw.a.svc.cluster.local", "a/gw"),
    ],
)
def test_gateway_names(name: str, resolved: str) -> None:
    assert resolve_gateway(name, SHOP) == resolved


def test_export_lists_are_absolute_and_sorted() -> None:
    assert resolve_export_to((), SHOP, ()) == ("*",)
    assert resolve_export_to((), SHOP, (".",)) == ("shop",)
    assert resolve_export_to(("z", ".", "a"), SHOP, ()) == ("a", "shop", "z")
    assert resolve_export_to(("~",), SHOP, ()) == ()


def test_host_patterns() -> None:
    assert host_matches("*.foo.com", "a.b.foo.com")
    assert not host_matches("*.foo.com", "foo.com")
    assert host_matches("Foo.com", "fOO.com")
    assert intersect_hosts("*.com", "a.com") == "a.com"
    assert intersect_hosts("*.a.com", "*.com") == "*.a.com"
    assert intersect_hosts("a.com", "b.com") is None


@given(
    st.lists(st.sampled_from("ab*"), min_size=1, max_size=3),
    st.lists(st.sampled_from("ab*"), min_size=1, max_size=3),
)
def test_the_intersection_of_patterns_does_not_depend_on_their_order(
    left: list[str], right: list[str]
) -> None:
    one, two = (
        ".".join(part.replace("*", "x") if i else part for i, part in enumerate(p)) for p in (left, right)
    )
    assert intersect_hosts(one, two) == intersect_hosts(two, one)


@pytest.mark.parametrize(
    ("port", "name", "app_protocol", "transport", "chosen"),
    [
        (80, "http", None, "TCP", Protocol.HTTP),
        (80, "http-web", None, "TCP", Protocol.HTTP),
        (80, "web-http", None, "TCP", Protocol.AUTO),
        (80, "grpc-web-x", None, "TCP", Protocol.GRPC_WEB),
        (80, "grpc-x", None, "TCP", Protocol.GRPC),
        (80, "tcp", "http", "TCP", Protocol.HTTP),
        (80, "http", "kubernetes.io/h2c", "TCP", Protocol.HTTP2),
        (80, "http", "example.com/own", "TCP", Protocol.HTTP),
        (3306, None, None, "TCP", Protocol.TCP),
        (3306, "http", None, "TCP", Protocol.HTTP),
        (80, None, None, "TCP", Protocol.AUTO),
        (53, "dns", None, "UDP", Protocol.UDP),
    ],
)
def test_protocol_choice(
    port: int, name: str | None, app_protocol: str | None, transport: str, chosen: Protocol
) -> None:
    assert choose_protocol(port, name, app_protocol, transport) is chosen


@given(st.integers(0, 10**12))
def test_a_duration_is_read_back_as_it_is_written(microseconds: int) -> None:
    span = Duration(microseconds=microseconds)
    assert Duration.parse(str(span)) == span


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h30m", 5400), ("1.5s", 1.5), ("100ms", 0.1), ("0", 0), ("-1s", -1)]
)
def test_durations(text: str, seconds: float) -> None:
    assert Duration.parse(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1", "s", "1 s", "1d", "--1s", "5S"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        Duration.parse(text)
