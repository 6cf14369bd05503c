"""The arbiter with real processes and sockets; what its workers do inside is the toy's."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import children
from tests.support.server import free_port
from tests.support.wait import until

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 15.0


@dataclass
class Toy:
    process: subprocess.Popen[bytes]
    folder: Path
    port: int

    def ask(self) -> int:
        """The process id of the worker that answers a new connection."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            return int(connection.makefile().read() or 0)

    def heard(self, kind: str) -> list[dict[str, Any]]:
        """What the agent heard of one type."""
        path = self.folder / "heard"
        lines = path.read_text().splitlines() if path.exists() else []
        return [entry for entry in map(json.loads, lines) if entry["type"] == kind]

    def workers(self) -> list[dict[str, Any]]:
        heard = self.heard("workers")
        return list(heard[-1]["workers"]) if heard else []

    def serving(self) -> dict[int, int]:
        """Process ids of serving workers by slot."""
        return {worker["slot"]: worker["pid"] for worker in self.workers() if worker["state"] == "serving"}

    def births(self, slot: int) -> list[float]:
        return sorted(float(path.read_text() or "inf") for path in self.folder.glob(f"born-{slot}-*"))

    def children(self) -> list[int]:
        return children(self.process.pid)

    def log(self) -> str:
        return (self.folder / "stderr").read_text()


StartToy = Callable[..., Toy]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartToy]:
    with contextlib.ExitStack() as stack:

        def start_one(workers: int = 2, behaviour: str = "well", *flags: str, port: int = 0) -> Toy:
            folder = tmp_path / f"toy-{time.monotonic_ns()}"
            folder.mkdir()
            port = port or free_port()
            (folder / "port").write_text(str(port))
            argv = [sys.executable, "-m", "tests.meshproxy.toy", str(folder), str(workers), behaviour, *flags]
            with (folder / "stderr").open("wb") as stderr:
                process = subprocess.Popen(argv, stderr=stderr, cwd=ROOT)
            stack.callback(end, process)
            return Toy(process, folder, port)

        yield start_one


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGQUIT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def serves(toy: Toy, workers: int = 2) -> dict[int, int]:
    return dict(until(lambda: len(s := toy.serving()) == workers and s, f"serving: {toy.log()}"))


def test_the_arbiter_has_one_thread_and_knows_no_grpc(start: StartToy) -> None:
    toy = start()
    serves(toy)

    status = Path(f"/proc/{toy.process.pid}/status").read_text()
    assert "Threads:\t1\n" in status
    script = (
        "import sys, meshloom.meshproxy.__main__, meshloom.meshproxy.arbiter.supervisor as s;"
        "print([m for m in ('grpc', 'google.protobuf', 'asyncio', 'dataclasses', 'meshloom.fastpath._core')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


def test_a_killed_worker_is_replaced_within_200_ms_and_its_queue_is_served(start: StartToy) -> None:
    toy = start()
    before = serves(toy)
    until(lambda: {toy.ask() for _ in range(8)} == set(before.values()), "both answer")
    time.sleep(0.4)  # a worker that was killed in its first moments would be taken for a crash

    os.kill(before[0], signal.SIGKILL)
    killed = time.monotonic()
    answers = {toy.ask() for _ in range(40)}

    assert 0 not in answers
    after = until(lambda: len(s := toy.serving()) == 2 and s != before and s, "replaced")
    assert after[1] == before[1]
    assert toy.births(0)[-1] - killed < 0.2


def test_a_stopped_worker_is_killed_and_replaced(start: StartToy) -> None:
    toy = start()
    before = serves(toy)

    os.kill(before[1], signal.SIGSTOP)

    after = until(lambda: len(s := toy.serving()) == 2 and s[1] != before[1] and s, "replaced")
    assert after[0] == before[0]
    assert "no heartbeat" in toy.log()


def test_a_crash_loop_backs_off_while_the_others_serve(start: StartToy) -> None:
    toy = start(2, "dies-after-first")
    before = serves(toy)
    time.sleep(0.4)

    os.kill(before[0], signal.SIGKILL)

    births = until(lambda: len(b := toy.births(0)) >= 6 and b, "five more attempts")
    gaps = [later - earlier for earlier, later in itertools.pairwise(births[1:])]
    assert all(later > earlier * 1.5 for earlier, later in itertools.pairwise(gaps))
    assert toy.serving() == {1: before[1]}


def test_workers_that_can_never_start_end_the_arbiter_with_an_exit_code(start: StartToy) -> None:
    toy = start(1, "dies-at-boot")

    assert toy.process.wait(DEADLINE_S) == 1
    assert len(toy.births(0)) == 5


def test_a_killed_agent_is_replaced_and_gets_the_last_good_configuration(start: StartToy) -> None:
    toy = start()
    before = serves(toy)
    agent = next(pid for pid in toy.children() if pid not in before.values())

    os.kill(agent, signal.SIGKILL)

    starts = until(lambda: len(s := toy.heard("start")) == 2 and s, "a second agent")
    assert [start["versions"] for start in starts] == [[], [1]]
    assert toy.ask() in before.values()
    assert toy.serving() == before


def test_a_burst_of_hups_is_few_reloads_and_no_lost_worker(start: StartToy) -> None:
    toy = start()
    before = serves(toy)

    for _ in range(100):
        toy.process.send_signal(signal.SIGHUP)

    until(lambda: toy.heard("reload"), "a reload")
    assert toy.ask() in before.values()
    assert toy.serving() == before


def test_sigterm_drains_and_ends_everything(start: StartToy) -> None:
    toy = start()
    serves(toy)
    children = toy.children()

    toy.process.send_signal(signal.SIGTERM)

    assert toy.process.wait(DEADLINE_S) == 0
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_a_taken_port_ends_the_start_with_the_reason(start: StartToy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        toy = start(2, "well", port=taken.getsockname()[1])

        assert toy.process.wait(DEADLINE_S) == 1
    assert "Address already in use" in toy.log()


def test_another_meshproxy_on_the_port_is_no_partner(start: StartToy) -> None:
    first = start()
    serves(first)

    second = start(2, "well", port=first.port)

    assert second.process.wait(DEADLINE_S) == 1


def test_a_new_generation_takes_the_sockets_and_ends_the_old_one(start: StartToy) -> None:
    family = ("--base-id", str(os.getpid() * 10 + 1))
    old = start(2, "well", *family)
    before = serves(old)

    new = start(2, "well", *family, "--restart-epoch", "1", port=old.port)
    answers: list[int] = []
    while old.process.poll() is None:
        answers.append(new.ask())

    assert old.process.wait(DEADLINE_S) == 0
    assert 0 not in answers
    # The old generation may have ended before the new one's agent has heard of anything.
    after = serves(new)
    assert set(after.values()).isdisjoint(before.values())
    assert new.ask() in after.values()


def test_a_new_generation_that_cannot_start_leaves_the_old_one_alone(start: StartToy) -> None:
    family = ("--base-id", str(os.getpid() * 10 + 2))
    old = start(1, "well", *family)
    before = serves(old, 1)

    new = start(1, "dies-at-boot", *family, "--restart-epoch", "1", port=old.port)

    assert new.process.wait(DEADLINE_S) == 1
    assert old.process.poll() is None
    assert old.ask() == before[0]


def test_a_killed_arbiter_leaves_its_sockets_to_the_workers(start: StartToy) -> None:
    toy = start(1)
    before = serves(toy, 1)

    toy.process.kill()
    toy.process.wait()

    # The toy worker ends when its arbiter is gone; the real one serves on.
    until(lambda: not Path(f"/proc/{before[0]}").exists(), "the worker has noticed")
