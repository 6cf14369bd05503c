"""The demo as a test: its promises, its JSON, and that it leaves nothing behind when it is interrupted."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.e2e.mesh import assert_gone, run_meshloom
from tests.support.process import descendants
from tests.support.wait import until

# A mesh needs the machine: these run one after the other, also when other tests run in parallel.

KEYS = {
    "canary": {"firefox", "chrome"},
    "scale": {"seconds"},
    "failure": {"lost", "ejected_after_s"},
    "rollout": {"lost", "shares", "converged_s"},
    "identity": {"peer", "plaintext_refused"},
    "metrics": {"requests_total", "client_total"},
}


def test_every_promise_is_kept_and_every_number_is_there(tmp_path: Path) -> None:
    done = run_meshloom(["demo", "--output", "json"], tmp_path, timeout=110)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    for step, keys in KEYS.items():
        assert keys <= report[step].keys()
    assert (set(report["canary"]["firefox"]), set(report["canary"]["chrome"])) == ({"1.1"}, {"1.0"})
    assert report["failure"]["lost"] == report["rollout"]["lost"] == 0
    assert report["identity"]["plaintext_refused"] is True
    assert report["identity"]["peer"]["orders"] == "spiffe://cluster.local/ns/shop/sa/storefront"
    assert report["metrics"]["requests_total"] == report["metrics"]["client_total"] > 500
    assert_gone(tmp_path)


def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    demo = start(tmp_path)
    until(lambda: len(descendants(demo.pid)) > 5, "the mesh is starting", 30)
    demo.send_signal(signal.SIGINT)
    assert demo.wait(30) == 130
    assert_gone(tmp_path)


def test_sigkill_ends_everything(tmp_path: Path) -> None:
    demo = start(tmp_path)
    until(lambda: len(descendants(demo.pid)) > 5, "the mesh is starting", 30)
    demo.kill()
    demo.wait()
    assert_gone(tmp_path)


def start(home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "meshloom.cli", "demo"],
        env={**os.environ, "MESHLOOM_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
