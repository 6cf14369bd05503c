"""What the arbiter has told of the workers and their sockets: readiness and admin pages are made of it."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshloom.meshproxy.control import Message
from meshloom.runtime.log import Log

log = Log("agent")


@dataclass(frozen=True, slots=True)
class WorkerView:
    slot: int
    pid: int
    state: str
    """`vacant`, `booting`, `serving`, `draining` or `killed`."""
    restarts: int


@dataclass(slots=True)
class Fleet:
    workers: tuple[WorkerView, ...] = ()
    bound: tuple[dict[str, Any], ...] = ()
    """Address and port as configured, and `bound_port`."""
    bind_failures: int = 0
    bind_faults: tuple[dict[str, Any], ...] = ()
    draining: bool = False
    applied: dict[int, int] = field(default_factory=dict)
    """Version that each worker has told to be in force."""
    rejected: int = 0
    verdicts: dict[str, dict[str, str]] = field(default_factory=dict)
    """What health checks have found, by cluster and address."""
    _ejected: dict[tuple[str, str], set[int]] = field(default_factory=dict)

    @property
    def serving(self) -> bool:
        """Every worker serves."""
        return bool(self.workers) and all(worker.state == "serving" for worker in self.workers)

    def has_applied(self, version: int) -> bool:
        """Whether every worker has this version, or a later one, in force."""
        return self.serving and all(self.applied.get(w.slot, 0) >= version for w in self.workers)

    def is_ejected(self, cluster: str, address: str) -> bool:
        """Whether outlier detection has taken the endpoint out, in any worker."""
        return bool(self._ejected.get((cluster, address)))

    @property
    def restarts(self) -> int:
        return sum(worker.restarts for worker in self.workers)

    def any_alive(self) -> bool:
        """Whether there still is a process that serves, when nobody tells us any more."""
        return any(worker.pid and Path(f"/proc/{worker.pid}").exists() for worker in self.workers)

    def end_orphans(self) -> None:
        """Ask workers whose arbiter is gone to drain and end: nobody else will."""
        for worker in self.workers:
            if worker.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGTERM)

    def hear(self, message: Message) -> None:
        header = message.header
        match message.kind:
            case "workers":
                self.workers = tuple(WorkerView(**worker) for worker in header["workers"])
            case "bound":
                self.bound = tuple(header["listeners"])
                self.bind_faults = tuple(header["failed"])
                self.bind_failures += len(header["failed"])
            case "draining":
                self.draining = True
            case "applied":
                # Messages that carry only sockets have no version of their own.
                slot = header["slot"]
                self.applied[slot] = max(header["version"], self.applied.get(slot, 0))
            case "rejected":
                # The agent compiles with the same code, so this is a fault of ours.
                self.rejected += 1
                log.error("worker_refused_update", **{k: v for k, v in header.items() if k != "type"})
            case "health":
                known = self.verdicts.setdefault(header["cluster"], {})
                known.update(header["verdicts"])
                for address in [address for address, verdict in known.items() if verdict == "gone"]:
                    del known[address]
            case "ejected":
                slots = self._ejected.setdefault((header["cluster"], header["address"]), set())
                if header["ejected"]:
                    slots.add(header["slot"])
                else:
                    slots.discard(header["slot"])
            case _:
                pass
