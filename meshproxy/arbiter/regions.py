"""The shared-memory regions: one a worker slot, in which its worker counts and shows that it is alive.

The arbiter makes them and keeps them for as long as it lives, so counters survive a worker; what is in them
is laid out in fastpath/rust/shm/src/layout.rs. Of that, the arbiter reads one word: the heartbeat, which
moves while the worker's loop turns. No lock and no message, so a worker that is dead, stopped or spinning
cannot hold anybody up.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct

REGION_BYTES = 32 * 1024 * 1024
"""`layout::DEFAULT_LEN`. Sparse: only pages in use cost memory."""
LIMIT_ROWS = 8192
"""Clusters, by priority, whose circuit breakers the workers share: more have a part in each worker."""
HEARTBEAT_OFFSET = 12 * 8
"""`layout::header::HEARTBEAT`."""


class Regions:
    def __init__(self, slots: int) -> None:
        self.fds = [_sparse(f"meshproxy-telemetry-{slot}", REGION_BYTES) for slot in range(slots)]
        self.limits_fd = _limits(slots) if slots > 1 else None
        self._headers = [mmap.mmap(fd, mmap.PAGESIZE, prot=mmap.PROT_READ) for fd in self.fds]
        self._seen = [0] * slots

    def moved(self, slot: int) -> bool:
        """Whether the worker's loop has turned since we last asked."""
        (now,) = struct.unpack_from("=Q", self._headers[slot], HEARTBEAT_OFFSET)
        moved = bool(now != self._seen[slot])
        self._seen[slot] = now
        return moved


def _limits(slots: int) -> int:
    """The table of fastpath/rust/shm/src/quotas.rs: a row has its key and two words for each worker."""
    return _sparse("meshproxy-limits", 8 * (1 + LIMIT_ROWS * (1 + 2 * slots)))


def _sparse(name: str, size: int) -> int:
    """A memfd whose size nobody can change, so no reader can be made to fault."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd
