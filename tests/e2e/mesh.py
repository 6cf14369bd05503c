"""A mesh as a user starts it: `meshloom up` in a process of its own, spoken to by command line and HTTP."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.envoy import envoy_binary

ROOT = Path(__file__).parents[2]
START_S = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str
    headers: Mapping[str, str]
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class UpMesh:
    """A running `meshloom up`."""

    home: Path
    facts: dict[str, Any]
    process: subprocess.Popen[str]

    def meshloom(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return run_meshloom(arguments, self.home, stdin)

    def apply(self, path: Path | str) -> None:
        done = self.meshloom("apply", "-f", str(path))
        assert done.returncode == 0, done.stdout + done.stderr

    def get(self, path: str, headers: Mapping[str, str] | None = None, port: str = "8080") -> Answer:
        host, _, number = self.facts["gateway"][port].rpartition(":")
        connection = http.client.HTTPConnection(host, int(number), timeout=30)
        started = time.monotonic()
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            response = connection.getresponse()
            body = response.read().decode()
        finally:
            connection.close()
        return Answer(response.status, body, dict(response.getheaders()), time.monotonic() - started)

    def logs(self) -> str:
        return "\n".join(
            f"== {p.name}\n{p.read_text()[-2000:]}" for p in sorted((self.home / "log").glob("*"))
        )


def run_meshloom(
    arguments: Sequence[str], home: Path, stdin: str = "", timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """One command, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "meshloom.cli", *arguments],
        env={**os.environ, "MESHLOOM_HOME": str(home)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@contextmanager
def up(directory: Path, *options: str, proxy: str = "meshproxy") -> Iterator[UpMesh]:
    """Runs until the block ends, then checks that it ended well and left no process behind."""
    home = Path(tempfile.mkdtemp(prefix="meshloom-test-"))
    argv = [sys.executable, "-m", "meshloom.cli", "up", str(directory), "-o", "json", *options]
    if proxy == "envoy":
        argv += ["--proxy", str(envoy_binary())]
    with (home / "up.err").open("w") as errors:
        process = subprocess.Popen(
            argv,
            env={**os.environ, "MESHLOOM_HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            process_group=0,
        )
    try:
        mesh = UpMesh(home, _facts(process, home), process)
        yield mesh
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=40) == 0
    finally:
        process.kill()
        process.wait()
    assert_gone(home)
    shutil.rmtree(home)


def _facts(process: subprocess.Popen[str], home: Path) -> dict[str, Any]:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            facts: dict[str, Any] = json.loads("".join(lines))
            return facts
    raise AssertionError(f"up ended with {process.wait()}: {(home / 'up.err').read_text()}")


def assert_gone(home: Path, within: float = 10.0) -> None:
    """No process is left that was started with this home."""
    deadline = time.monotonic() + within
    while left := _started_under(home):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.05)


def _started_under(home: Path) -> list[str]:
    marker, found = f"MESHLOOM_HOME={home}".encode(), []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if marker in (entry / "environ").read_bytes().split(b"\0"):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return [command for command in found if command]
