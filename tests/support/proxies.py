"""Starts meshproxy or the real Envoy on one and the same bootstrap, and finds where it listens."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.support.envoy import envoy_binary
from tests.support.process import children, command_line

Kind = Literal["meshproxy", "envoy"]
KINDS: tuple[Kind, ...] = ("meshproxy", "envoy")
START_SECONDS = 20.0


@dataclass
class Proxy:
    """A proxy that serves."""

    kind: Kind
    process: subprocess.Popen[bytes]
    admin: str
    folder: Path

    def get(self, path: str) -> str:
        """An admin page."""
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=5) as reply:
            return str(reply.read().decode())

    def port(self, listener: str) -> int:
        """Where a listener listens, as the admin endpoint tells it."""
        for entry in json.loads(self.get("/listeners?format=json"))["listener_statuses"]:
            if entry["name"] == listener:
                return int(entry["local_address"]["socket_address"]["port_value"])
        raise AssertionError(f"{self.kind} has no listener {listener}: {self.get('/listeners')}")

    def stat(self, name: str) -> int:
        """The value of one counter or gauge; 0 while it was never touched."""
        for line in self.get("/stats").splitlines():
            if line.startswith(f"{name}: "):
                return int(line.rpartition(" ")[2])
        return 0

    def workers(self) -> list[int]:
        """The processes that serve: the children of the arbiter that are not its agent, or Envoy itself."""
        own = self.process.pid
        found = [child for child in children(own) if command_line(child) == command_line(own)]
        return sorted(found) or [own]

    def worker(self) -> int:
        """The process that serves, where there is one."""
        return self.workers()[0]

    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()


def command(kind: Kind) -> list[str]:
    if kind == "envoy":
        return [str(envoy_binary())]
    return [sys.executable, "-m", "meshloom.meshproxy"]


@contextlib.contextmanager
def running(kind: Kind, bootstrap: Mapping[str, Any], folder: Path, *flags: str) -> Iterator[Proxy]:
    """A proxy that serves `bootstrap` (an admin address is added), stopped by SIGTERM at the end."""
    with started(kind, bootstrap, folder, *flags) as proxy:
        wait_ready(proxy)
        yield proxy


@contextlib.contextmanager
def side_by_side(
    bootstrap: Mapping[str, Any] | Callable[[Kind], Mapping[str, Any]], folder: Path
) -> Iterator[list[Proxy]]:
    """meshproxy and Envoy on one bootstrap, or on one made for each; neither lets its log wait for long."""
    make = bootstrap if callable(bootstrap) else lambda _kind: bootstrap
    flags: dict[Kind, Sequence[str]] = {"meshproxy": (), "envoy": ("--file-flush-interval-msec", "50")}
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(running(kind, make(kind), folder / kind, *flags[kind])) for kind in KINDS]


@contextlib.contextmanager
def started(kind: Kind, bootstrap: Mapping[str, Any], folder: Path, *flags: str) -> Iterator[Proxy]:
    """A proxy whose admin endpoint is there, whether it is ready or not."""
    folder.mkdir(parents=True, exist_ok=True)
    admin = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
    (folder / "bootstrap.json").write_text(json.dumps({"admin": admin, **bootstrap}))
    address_file = folder / "admin-address"
    argv = [*command(kind), "-c", str(folder / "bootstrap.json"), "--admin-address-path", str(address_file)]
    argv += ["--disable-hot-restart", "-l", "warning", "--drain-time-s", "1", *flags]
    if "--concurrency" not in flags:
        argv += ["--concurrency", "1"]
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        yield Proxy(kind, process, wait_for(address_file, process, folder), folder)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(path: Path, process: subprocess.Popen[bytes], folder: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text().strip()):
            return text
        if process.poll() is not None:
            raise AssertionError(f"exited with {process.returncode}:\n{(folder / 'stderr').read_text()}")
        time.sleep(0.02)
    raise AssertionError(f"no admin address after {START_SECONDS} s:\n{(folder / 'stderr').read_text()}")


def wait_ready(proxy: Proxy) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if proxy.get("/ready").strip() == "LIVE":
                return
        time.sleep(0.02)
    raise AssertionError(f"not ready after {START_SECONDS} s:\n{proxy.stderr()}")
