"""What a process costs, from /proc."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Cost:
    """Seconds of CPU so far, user's and kernel's; bytes resident now; and seconds so far in which its
    threads could have run while the machine ran others."""

    cpu: float
    memory: int
    waited: float


def children(pid: int) -> list[int]:
    """The processes that `pid` started and that live."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def descendants(pid: int) -> list[int]:
    """Its children and all below them that live."""
    try:
        direct = children(pid)
    except OSError:
        return []
    return [*direct, *(below for child in direct for below in descendants(child))]


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def cost(pid: int) -> Cost:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Cost((int(fields[11]) + int(fields[12])) / _TICK, pages * _PAGE, _waited(pid))


def _waited(pid: int) -> float:
    nanoseconds = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            nanoseconds += int((task / "schedstat").read_text().split()[1])
    return nanoseconds / 1e9
