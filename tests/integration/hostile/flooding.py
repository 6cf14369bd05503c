"""What a flood costs: the attacker, the worker, and neighbours who go on meanwhile.

`pytest -s tests/integration/hostile -k flood` prints a table of each stage.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.support.http2_client import Http2Client, client_tls
from tests.support.process import cost
from tests.support.proxies import Proxy
from tests.support.wait import eventually

PACE = 0.002
# How much longer than at rest a neighbour may wait, beside what the machine itself was late.
RATIO = 50.0
# The clock of /proc counts hundredths of a second, and neighbours cost something too.
CPU_SLACK = 0.15
MEMORY = 6 << 20
AT_REST = 100
TRIES = 3


@dataclass(frozen=True)
class Outcome:
    """What became of an attack, and the CPU that sending it took."""

    cut: bool
    seconds: float
    cpu: float


@dataclass(frozen=True)
class Measured:
    """Seconds, but for `memory` in bytes."""

    outcome: Outcome
    worker_cpu: float
    memory: int
    at_rest: float
    meanwhile: float
    # How late the machine was at worst in waking a thread that has nothing to do with the proxy.
    lateness: float
    # How long the machine let the worker and ourselves wait for a processor.
    waited: float

    def is_bounded(self) -> bool:
        """Cut, or cheaper for the worker than for its sender; in either case nobody else notices."""
        stopped = self.outcome.cut or self.worker_cpu <= self.outcome.cpu + CPU_SLACK
        while_it_lasted = self.outcome.seconds if self.outcome.cut else 0.0
        machine = 2 * self.lateness + self.waited
        unnoticed = self.meanwhile <= RATIO * self.at_rest + machine + while_it_lasted
        return stopped and unnoticed and self.memory < MEMORY


class Neighbour(threading.Thread):
    """Somebody else, who goes on making requests on one connection."""

    def __init__(self, port: int, *, tls: bool = False, path: str = "/neighbour") -> None:
        super().__init__(daemon=True)
        self.client = Http2Client(port, tls=client_tls() if tls else None)
        self.path = path
        self.over = threading.Event()
        self.statuses: set[int] = set()
        self.took: list[float] = []
        self.lateness = 0.0
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            while not self.over.is_set() or len(self.took) < 5:
                began = time.monotonic()
                self.statuses.add(self.client.fetch(path=self.path).status)
                ended = time.monotonic()
                self.took.append(ended - began)
                time.sleep(PACE)
                self.lateness = max(self.lateness, time.monotonic() - ended - PACE)
        except Exception as failure:  # noqa: BLE001  # shown by the test's own thread
            self.failure = failure

    def finish(self) -> None:
        """Raises what went wrong; every answer was 200."""
        self.over.set()
        self.join(20)
        self.client.socket.close()
        if self.failure:
            raise AssertionError(f"after {len(self.took)} answers") from self.failure
        assert not self.is_alive(), f"no answer after {len(self.took)}"
        assert self.statuses == {200}

    def p99(self) -> float:
        return statistics.quantiles(self.took, n=100)[-1] if len(self.took) > 1 else self.took[0]


@dataclass
class Stage:
    """A proxy to be flooded, with what it holds and how fast it answers while nobody does."""

    proxy: Proxy
    listener: str = "edge"
    tls: bool = False
    neighbour_path: str = "/neighbour"
    port: int = 0
    worker: int = 0
    at_rest: float = 0.0
    held: int = 0
    measured: dict[str, Measured] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.port = self.proxy.port(self.listener)
        self.worker = self.proxy.worker()
        # Memory that every connection needs is there then, and so is the pool.
        neighbour = self._neighbour()
        neighbour.start()
        assert eventually(lambda: len(neighbour.took) >= AT_REST, 20.0)
        neighbour.finish()
        self.at_rest = neighbour.p99()
        assert eventually(lambda: self.stats()["downstream"] == 0)
        self.held = self.unaccounted()

    def _neighbour(self) -> Neighbour:
        return Neighbour(self.port, tls=self.tls, path=self.neighbour_path)

    def assert_bounded(self, name: str, attack: Callable[[int], Outcome]) -> None:
        """Busy machines delay anybody, but not again and again."""
        tries = (self.measure(name, attack) for _ in range(TRIES))
        assert any(each.is_bounded() for each in tries), self.measured[name]

    def measure(self, name: str, attack: Callable[[int], Outcome]) -> Measured:
        """Runs an attack beside a neighbour."""
        neighbour = self._neighbour()
        before, ourselves = cost(self.worker), cost(os.getpid())
        neighbour.start()
        outcome = attack(self.port)
        during = cost(self.worker)
        waited = during.waited - before.waited + cost(os.getpid()).waited - ourselves.waited
        neighbour.finish()
        self.measured[name] = Measured(
            outcome,
            during.cpu - before.cpu,
            during.memory - before.memory,
            self.at_rest,
            neighbour.p99(),
            neighbour.lateness,
            max(waited, 0.0),  # the delays of threads that have ended are forgotten
        )
        return self.measured[name]

    def stats(self) -> Mapping[str, int]:
        """Gauges of what is under way, by what they count."""
        found = {"downstream": 0, "upstream": 0, "requests": 0}
        ends = {
            f"http.{self.listener}.downstream_cx_active": "downstream",
            "downstream_pre_cx_active": "downstream",
            f"http.{self.listener}.downstream_rq_active": "requests",
            "upstream_cx_active": "upstream",
            "upstream_rq_active": "requests",
            "upstream_rq_pending_active": "requests",
            "http2.streams_active": "requests",
        }
        for line in self.proxy.get("/stats").splitlines():
            name, _, value = line.partition(": ")
            for end, kind in ends.items():
                if name.endswith(end):
                    found[kind] += int(value)
        return found

    def unaccounted(self) -> int:
        """The worker's descriptors that are no connection."""
        stats = self.stats()
        return len(os.listdir(f"/proc/{self.worker}/fd")) - stats["downstream"] - stats["upstream"]

    def assert_nothing_left(self) -> None:
        """Connections, requests, streams and descriptors of the attackers are gone."""

        def is_at_rest() -> bool:
            stats = self.stats()
            return stats["downstream"] == 0 and stats["requests"] == 0 and self.unaccounted() <= self.held

        assert eventually(is_at_rest, 10.0), (self.stats(), self.unaccounted(), self.held)


def table(title: str, stage: Stage) -> str:
    """Milliseconds and KiB."""
    lines = [f"\n{title:44} cut  theirs   ours    KiB  p99 at rest   during"]
    for name, one in stage.measured.items():
        cut, theirs, kib = "yes" if one.outcome.cut else "no", one.outcome.cpu * 1e3, one.memory >> 10
        lines.append(
            f"{name:44} {cut:>3} {theirs:7.1f} {one.worker_cpu * 1e3:6.0f} {kib:6}"
            f" {one.at_rest * 1e3:12.1f} {one.meanwhile * 1e3:8.1f}"
        )
    return "\n".join(lines)
