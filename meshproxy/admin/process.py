"""Pages about the processes themselves: their memory, and the runtime they were started with."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from meshloom.meshproxy.admin.view import View
from meshloom.meshproxy.bootstrap.runtime import layer_values

_PAGE = os.sysconf("SC_PAGE_SIZE")


def memory(view: View) -> str:
    """Envoy's fields, of all workers together; what an allocator of ours does not tell is left out."""
    sizes = [size for worker in view.agent.fleet.workers if (size := _resident(worker.pid))]
    allocated = sum(private for private, _ in sizes)
    return json.dumps(
        {"allocated": str(allocated), "heap_size": str(sum(whole for _, whole in sizes))}, indent=1
    )


def runtime(view: View) -> str:
    """Every key, with its value in each layer and the one that holds."""
    layers = layer_values(view.agent.bootstrap.message)
    entries: dict[str, Any] = {}
    for key in sorted({key for _, values in layers for key in values}):
        told = [_shown(values.get(key, "")) for _, values in layers]
        final = next((value for value in reversed(told) if value), "")
        entries[key] = {"layer_values": told, "final_value": final}
    return json.dumps({"layers": [name for name, _ in layers], "entries": entries}, indent=1)


def _shown(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value)


def _resident(pid: int) -> tuple[int, int] | None:
    """Bytes of a process that are its own, and all that it has in memory."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
        return (resident - shared) * _PAGE, resident * _PAGE
    return None
