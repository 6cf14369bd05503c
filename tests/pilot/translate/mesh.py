"""A small mesh for translation tests: three services, their copies, and whatever rules a test adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import any_pb2, json_format
from meshloom.pilot.ingest.parse import parse_text
from meshloom.pilot.model.base import Namespace
from meshloom.pilot.model.build import build_model
from meshloom.pilot.model.mesh import MeshModel, TlsMode, Workload, WorkloadPort
from meshloom.pilot.model.outbound_ports import OutboundPorts
from meshloom.pilot.translate.proxy import HostPort, Proxy, ProxyKind
from meshloom.pilot.translate.resource import TypeUrl
from meshloom.pilot.translate.settings import TranslateSettings
from meshloom.pilot.translate.snapshot import Snapshot
from meshloom.pilot.translate.translator import ModelTranslator

SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: mail, namespace: other}
spec:
  selector: {app: mail}
  ports: [{name: grpc-api, port: 9000}, {name: http, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec:
  selector: {app: db}
  ports: [{name: tcp, port: 5432}]
"""
ORDERS_SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: orders
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
"""


def workloads() -> list[Workload]:
    return [
        _workload("orders-v1", "default", "10.0.0.1", {"app": "orders", "version": "v1"}, 8080),
        _workload("orders-v2", "default", "10.0.0.2", {"app": "orders", "version": "v2"}, 8080),
        _workload("mail-1", "other", "10.0.0.3", {"app": "mail"}, 9000),
        _workload("db-1", "default", "10.0.0.4", {"app": "db"}, 5432, TlsMode.DISABLED),
    ]


def _workload(
    name: str,
    namespace: str,
    address: str,
    labels: Mapping[str, str],
    port: int,
    tls: TlsMode = TlsMode.ISTIO,
) -> Workload:
    return Workload(
        name=name,
        namespace=Namespace(namespace),
        address=address,
        labels=labels,
        ports=(WorkloadPort(port),),
        service_account=labels["app"],
        owner=labels["app"],
        tls_mode=tls,
    )


def model(*texts: str, running: Iterable[Workload] | None = None) -> MeshModel:
    objects = []
    for text in (SERVICES, *texts):
        parsed = parse_text(text, "test")
        assert not parsed.has_errors, parsed.diagnostics
        objects += [accepted.object for accepted in parsed.accepted]
    return build_model(objects, workloads() if running is None else list(running))


def translator(made: MeshModel, previous: ModelTranslator | None = None) -> ModelTranslator:
    return ModelTranslator(made, OutboundPorts().extended(made), TranslateSettings(), previous)


def sidecar(ip: str = "10.0.0.1", namespace: str = "default", **more: Any) -> Proxy:
    """By default beside orders-v1, whose program listens on 127.0.0.1:4000."""
    given: dict[str, Any] = {
        "kind": ProxyKind.SIDECAR,
        "labels": {"app": "orders"},
        "app_ports": {8080: HostPort("127.0.0.1", 4000)},
    }
    return Proxy(id=f"sidecar~{ip}", ip=ip, name="orders-v1", namespace=Namespace(namespace), **given | more)


def gateway(**more: Any) -> Proxy:
    return Proxy(
        id="router",
        kind=ProxyKind.ROUTER,
        ip="10.0.0.9",
        name="edge",
        namespace=Namespace("istio-system"),
        labels={"istio": "ingressgateway"},
        **more,
    )


def translated(proxy: Proxy, *texts: str) -> Snapshot:
    return translator(model(*texts)).snapshot(proxy)


def resource(snapshot: Snapshot, type_url: TypeUrl, name: str) -> Mapping[str, Any]:
    """Decoded, with the field names of Envoy's API."""
    made = snapshot.of(type_url).resources[name]
    packed = any_pb2.Any(type_url=made.type_url, value=made.body)
    found: dict[str, Any] = json_format.MessageToDict(packed, preserving_proto_field_name=True)
    del found["@type"]
    return found


def routes(snapshot: Snapshot, table: str = "outbound|80||orders.default.svc.cluster.local") -> list[Any]:
    """The routes of a table's first host, without the rule they came from."""
    found = resource(snapshot, TypeUrl.ROUTE, table)["virtual_hosts"][0].get("routes", [])
    for route in found:
        route.pop("metadata", None)
    return list(found)
