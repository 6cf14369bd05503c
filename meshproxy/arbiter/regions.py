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
HEARTBEAT_OFFSET = 12 * 8
"""`layout::header::HEARTBEAT`."""


class Regions:
    def __init__(self, slots: int) -> None:
        self.fds = [_sparse(f"meshproxy-telemetry-{slot}") for slot in range(slots)]
        self._headers = [mmap.mmap(fd, mmap.PAGESIZE, prot=mmap.PROT_READ) for fd in self.fds]
        self._seen = [0] * slots

    def moved(self, slot: int) -> bool:
        """Whether the worker's loop has turned since we last asked."""
        (now,) = struct.unpack_from("=Q", self._headers[slot], HEARTBEAT_OFFSET)
        moved = bool(now != self._seen[slot])
        self._seen[slot] = now
        return moved


def _sparse(name: str) -> int:
    """A memfd whose size nobody can change, so no reader can be made to fault."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, REGION_BYTES)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd
