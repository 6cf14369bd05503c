"""Translating a mesh of 1,000 services with 10 endpoints each: all of it, and after one endpoint went."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from meshloom.pilot.ingest.parse import parse_text
from meshloom.pilot.model.base import Namespace
from meshloom.pilot.model.build import build_model
from meshloom.pilot.model.mesh import MeshModel, TlsMode, Workload, WorkloadPort
from meshloom.pilot.model.outbound_ports import OutboundPorts
from meshloom.pilot.translate.proxy import Proxy, ProxyKind
from meshloom.pilot.translate.settings import TranslateSettings
from meshloom.pilot.translate.translator import ModelTranslator
from pytest_benchmark.fixture import BenchmarkFixture

SERVICES, COPIES, PROXIES = 1000, 10, 20
PROXY_NAMESPACE = Namespace("ns0")


@pytest.fixture(scope="module")
def models() -> Sequence[MeshModel]:
    """The mesh, and the mesh without its last copy."""
    text = "\n---\n".join(_service(number) for number in range(SERVICES))
    objects = [accepted.object for accepted in parse_text(text, "bench").accepted]
    running = [_copy(number, copy) for number in range(SERVICES) for copy in range(COPIES)]
    return [build_model(objects, running), build_model(objects, running[:-1])]


def test_full(benchmark: BenchmarkFixture, models: Sequence[MeshModel]) -> None:
    ports = OutboundPorts().extended(models[0])
    benchmark(lambda: _translate(ModelTranslator(models[0], ports, TranslateSettings())))


def test_after_one_endpoint_went(benchmark: BenchmarkFixture, models: Sequence[MeshModel]) -> None:
    ports = OutboundPorts().extended(models[0])
    before = ModelTranslator(models[0], ports, TranslateSettings())
    _translate(before)
    benchmark(lambda: _translate(ModelTranslator(models[1], ports, TranslateSettings(), before)))


def _translate(translator: ModelTranslator) -> None:
    for number in range(PROXIES):
        ip = f"10.200.0.{number}"
        proxy = Proxy(ip, ProxyKind.SIDECAR, ip, f"proxy-{number}", PROXY_NAMESPACE, own_filters=True)
        assert translator.snapshot(proxy)


def _service(number: int) -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: service-{number}, namespace: ns{number % 10}}}
spec: {{selector: {{app: service-{number}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}"""


def _copy(number: int, copy: int) -> Workload:
    return Workload(
        name=f"service-{number}-{copy}",
        namespace=Namespace(f"ns{number % 10}"),
        address=f"10.{number >> 8}.{number & 255}.{copy + 1}",
        labels={"app": f"service-{number}", "version": "v1"},
        ports=(WorkloadPort(8080),),
        service_account=f"service-{number}",
        tls_mode=TlsMode.ISTIO,
    )
