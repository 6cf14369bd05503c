"""Every sample of Istio's, document by document: the real Envoy refuses none, as sidecar and as gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path

from meshloom.pilot.ingest.parse import parse_text

from tests.peers.bookinfo import platform, rules, running_bookinfo
from tests.peers.proxy import Node, Run, pod_ip, running_proxy
from tests.support.pilot import Mesh, running_pilot
from tests.support.shared import shared_data

SAMPLES = ("bookinfo/networking/*.yaml", "samples/**/*.yaml", "istio/api-testdata/*-valid.yaml")
ENOUGH = 80  # documents that mean something to us; fewer would say that the samples were not found


async def test_no_sample_is_refused(tmp_path: Path) -> None:
    client, edge = pod_ip(), pod_ip()
    plain = {"MESHLOOM_MESH_TLS": "false"}
    sidecar = Node("sidecar", client, "client", "default", plain)
    gateway = Node(
        "router",
        edge,
        "gw",
        "istio-system",
        {"LABELS": {"istio": "ingressgateway"}, "GATEWAY_BIND": edge, **plain},
    )
    applied = 0
    async with running_pilot() as mesh, running_bookinfo() as app:
        await mesh.run(app.workloads.values())
        await mesh.apply(platform(), rules("destination-rule-all"))
        base = dict(mesh.objects)
        async with (
            running_proxy(sidecar, mesh.port, tmp_path, Run(delta=False)),
            running_proxy(gateway, mesh.port, tmp_path, Run(delta=True)),
        ):
            for document in _documents():
                parsed = parse_text(document, "sample")
                if parsed.has_errors or not parsed.accepted:
                    continue  # kinds of the platform, and rules that mean nothing outside a test of Istio's
                mesh.objects = base | {each.object.key: each.object for each in parsed.accepted}
                await _converge(mesh, document)
                applied += 1
    assert applied >= ENOUGH


def _documents() -> list[str]:
    files = sorted(file for pattern in SAMPLES for file in shared_data().glob(pattern))
    return [document for file in files for document in file.read_text().split("\n---")]


async def _converge(mesh: Mesh, document: str) -> None:
    await mesh.publish()
    async with asyncio.timeout(15):
        while any(s.sync != "SYNCED" for c in mesh.hub.connections.values() for s in c.statuses()):
            assert mesh.refusals() == [], document
            await asyncio.sleep(0.002)
