"""Any part of the control plane may be down: traffic goes on, and when the part is back so is all it does."""

import os
import signal
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.mesh import UpMesh, up
from tests.e2e.test_up import CONFIG, PROGRAM, SETTINGS, deployment
from tests.support.wait import until

# A mesh needs the machine: these run one after the other, also when other tests run in parallel.


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpMesh]:
    folder = tmp_path_factory.mktemp("echo")
    (folder / "config").mkdir()
    (folder / "config" / "echo.yaml").write_text(CONFIG)
    (folder / "config" / "deployment.yaml").write_text(deployment(2))
    (folder / "echo.py").write_text(PROGRAM)
    (folder / "meshloom.yaml").write_text(SETTINGS)
    with up(folder) as running:
        until(lambda: running.get("/").status == 200, "the echo answers", 20)
        yield running


def pid_of(mesh: UpMesh, service: str) -> int:
    """The process of a service of this mesh."""
    marker = f"MESHLOOM_HOME={mesh.home}".encode()
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            ours = marker in (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if ours and f"meshloom.{service}".encode() in words:
            return int(entry.name)
    return 0


@contextmanager
def load(mesh: UpMesh) -> Iterator[list[int]]:
    """Requests without a pause while the block runs; their statuses are complete when it ends."""
    statuses: list[int] = []
    stop = threading.Event()

    def user() -> None:
        while not stop.is_set():
            statuses.append(mesh.get("/").status)

    thread = threading.Thread(target=user)
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join()


def kill(mesh: UpMesh, service: str) -> None:
    pid = pid_of(mesh, service)
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid_of(mesh, service) not in (0, pid), f"{service} is started again", 30)


def copies(mesh: UpMesh) -> set[str]:
    return {mesh.get("/").json()["copy"] for _ in range(8)}


def test_pilot_may_be_killed_and_rules_work_again_when_it_is_back(mesh: UpMesh) -> None:
    before = {copy["name"] for copy in mesh.facts["copies"]}
    with load(mesh) as statuses:
        kill(mesh, "pilot")
        until(lambda: mesh.meshloom("get", "vs").returncode == 0, "Pilot answers", 30)
        rule = CONFIG.split("---")[2].replace("{attempts: 3", "{attempts: 2")
        assert mesh.meshloom("apply", "-f", "-", stdin=rule).returncode == 0
        until(lambda: "ERROR" not in mesh.meshloom("proxy-status").stdout, "all proxies are back", 20)
    assert set(statuses) == {200}
    until(lambda: copies(mesh) == before, "the same copies answer: none was started or stopped for it")


def test_auth_may_be_killed(mesh: UpMesh) -> None:
    with load(mesh) as statuses:
        kill(mesh, "auth")
    assert set(statuses) == {200}


def test_mixer_may_be_killed_and_counts_on(mesh: UpMesh) -> None:
    with load(mesh) as statuses:
        kill(mesh, "mixer")
    assert set(statuses) == {200}
    sent = mesh.get("/").status
    assert sent == 200
    until(lambda: "istio_requests_total{" in metrics(mesh), "Mixer has what the proxies counted", 20)


def metrics(mesh: UpMesh) -> str:
    try:
        with urllib.request.urlopen(f"http://{mesh.facts['mixer_http']}/metrics", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""
