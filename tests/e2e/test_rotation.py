"""Certificates that live for seconds, renewed again and again under load: nobody notices."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.mesh import UpMesh, up
from tests.e2e.test_up import CONFIG, PROGRAM, SETTINGS, deployment
from tests.support.wait import until

# A mesh needs the machine: these run one after the other, also when other tests run in parallel.

STRICT = """
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: team}
spec: {mtls: {mode: STRICT}}
"""
LOAD_S = 10.0


@pytest.fixture(params=["meshproxy", "envoy"])
def mesh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[UpMesh]:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "echo.yaml").write_text(CONFIG.replace("    retries", "#   retries") + STRICT)
    (tmp_path / "config" / "deployment.yaml").write_text(deployment(2))
    (tmp_path / "echo.py").write_text(PROGRAM)
    (tmp_path / "meshloom.yaml").write_text(SETTINGS)
    with up(tmp_path, "--cert-ttl", "6s", proxy=request.param) as running:
        until(lambda: running.get("/").status == 200, "the echo answers", 20)
        yield running


def serials(mesh: UpMesh) -> set[str]:
    """What the gateway shows its peers now."""
    rows = mesh.meshloom("proxy-config", "secrets", "istio-ingressgateway").stdout.splitlines()[1:]
    return {row.split()[4] for row in rows if "spiffe://" in row}


def test_certificates_rotate_under_load_and_no_request_is_lost(mesh: UpMesh) -> None:
    statuses: list[int] = []
    before = serials(mesh)
    stop = time.monotonic() + LOAD_S

    def user() -> None:
        while time.monotonic() < stop:
            statuses.append(mesh.get("/").status)

    users = [threading.Thread(target=user) for _ in range(4)]
    for thread in users:
        thread.start()
    for thread in users:
        thread.join()

    assert len(statuses) > 100
    assert set(statuses) == {200}
    after = serials(mesh)
    assert before
    assert after
    assert not before & after, "another certificate is in use"
    assert json.loads(mesh.meshloom("proxy-status", "-o", "json").stdout)
