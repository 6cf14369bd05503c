"""What is made once, what is taken over, and what each client is spared."""

from __future__ import annotations

import msgspec
import pytest
from meshloom.pilot.model.base import Namespace
from meshloom.pilot.model.mesh import Health
from meshloom.pilot.model.outbound_ports import OutboundPorts
from meshloom.pilot.translate.proxy import ProxyKind
from meshloom.pilot.translate.resource import NO_RESOURCES, Resource, ResourceSet, TypeUrl
from meshloom.pilot.translate.snapshot import DanglingReference, Snapshot

from tests.pilot.translate.mesh import (
    ORDERS_SUBSETS,
    model,
    resource,
    sidecar,
    translated,
    translator,
    workloads,
)

ORDERS = "outbound|80||orders.default.svc.cluster.local"
MAIL_GRPC = "outbound|9000||mail.other.svc.cluster.local"


def test_proxies_of_one_namespace_share_what_they_have_in_common() -> None:
    made = translator(model(ORDERS_SUBSETS))
    one, other = made.snapshot(sidecar("10.0.0.1")), made.snapshot(sidecar("10.0.0.2"))

    assert one.of(TypeUrl.ROUTE) is other.of(TypeUrl.ROUTE)
    assert one.of(TypeUrl.ENDPOINT) is other.of(TypeUrl.ENDPOINT)
    assert one.of(TypeUrl.CLUSTER).resources[ORDERS] is other.of(TypeUrl.CLUSTER).resources[ORDERS]


def test_an_unhealthy_copy_changes_its_endpoint_list_and_nothing_else() -> None:
    running = workloads()
    before = translator(model(running=running))
    first = before.snapshot(sidecar())
    running[1] = msgspec.structs.replace(running[1], health=Health.UNHEALTHY)
    second = translator(model(running=running), before).snapshot(sidecar())

    changed = [
        name
        for type_url in TypeUrl
        for name, made in second.of(type_url).resources.items()
        if made is not first.of(type_url).resources.get(name)
    ]
    assert changed == [ORDERS]
    members = resource(second, TypeUrl.ENDPOINT, ORDERS)["endpoints"][0]["lb_endpoints"]
    assert [each["endpoint"]["address"]["socket_address"]["address"] for each in members] == ["10.0.0.1"]


def test_a_mesh_wide_change_takes_nothing_over() -> None:
    before = translator(model())
    before.snapshot(sidecar())
    disabled = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: DISABLE}}
"""
    after = translator(model(disabled), before).snapshot(sidecar())
    metadata = resource(after, TypeUrl.ENDPOINT, ORDERS)["endpoints"][0]["lb_endpoints"][0]["metadata"]
    assert "envoy.transport_socket_match" not in metadata["filter_metadata"]


@pytest.mark.parametrize("own", [True, False])
def test_grpc_is_routed_by_rules(own: bool) -> None:
    assert MAIL_GRPC in translated(sidecar(own_filters=own)).of(TypeUrl.ROUTE).resources


def test_only_our_own_proxy_is_told_of_telemetry_filters() -> None:
    bodies = {
        own: b"".join(
            r.body for r in translated(sidecar(own_filters=own)).of(TypeUrl.LISTENER).resources.values()
        )
        for own in (True, False)
    }
    assert b"istio.stats" in bodies[True]
    assert b"istio.stats" not in bodies[False]


def test_a_client_without_identity_is_not_asked_for_mutual_tls() -> None:
    snapshot = translated(sidecar(identity=False))
    assert "transport_socket_matches" not in resource(snapshot, TypeUrl.CLUSTER, ORDERS)


def test_a_proxyless_client_finds_services_by_every_name() -> None:
    listeners = translated(sidecar(kind=ProxyKind.GRPC)).of(TypeUrl.LISTENER).resources
    assert {
        "orders:80",
        "orders.default:80",
        "orders.default.svc.cluster.local:80",
        "mail.other:9000",
    } <= set(listeners)


def test_a_private_service_is_not_told_to_other_namespaces() -> None:
    private = """
apiVersion: v1
kind: Service
metadata: {name: secret, namespace: other, annotations: {networking.istio.io/exportTo: "."}}
spec: {ports: [{name: http, port: 80}]}
"""
    made = translator(model(private))
    name = "outbound|80||secret.other.svc.cluster.local"
    assert name not in made.snapshot(sidecar()).of(TypeUrl.CLUSTER).resources
    assert name in made.snapshot(sidecar(namespace="other")).of(TypeUrl.CLUSTER).resources


def test_a_service_port_keeps_its_number_for_as_long_as_it_exists() -> None:
    first = OutboundPorts().extended(model())
    more = model(*(_service(number) for number in range(200)))
    second = first.extended(more)

    assert first.by_key.items() <= second.by_key.items()
    assert len(set(second.by_key.values())) == len(second.by_key)
    assert second.extended(model()) == first


def test_a_snapshot_is_closed_under_references() -> None:
    listener = Resource.of_bytes("l", TypeUrl.LISTENER, b"", ("no such table",))
    with pytest.raises(DanglingReference, match="no such table"):
        Snapshot.build({**dict.fromkeys(TypeUrl, NO_RESOURCES), TypeUrl.LISTENER: ResourceSet.of([listener])})


def _service(number: int) -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: service-{number}, namespace: {Namespace("more")}}}
spec: {{ports: [{{name: http, port: 80}}]}}
"""
