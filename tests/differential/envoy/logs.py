"""Access logs of both proxies, side by side."""

from __future__ import annotations

import time
from pathlib import Path

from tests.differential.envoy.differences import comparable
from tests.support.proxies import KINDS

LOG_SECONDS = 12.0  # Envoy writes its file every ten seconds at the latest


def lines(log: Path) -> list[str]:
    return log.read_text("latin-1").splitlines() if log.exists() else []


def both(folder: Path, wanted: int) -> tuple[list[str], list[str]]:
    """What meshproxy.log and envoy.log say once they have that many lines, wanted differences left out."""
    logs = [folder / f"{kind}.log" for kind in KINDS]
    deadline = time.monotonic() + LOG_SECONDS
    while True:
        ours, envoys = (lines(log) for log in logs)
        enough = min(len(ours), len(envoys)) >= wanted
        if (enough and comparable(ours) == comparable(envoys)) or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert enough, f"{len(ours)} and {len(envoys)} of {wanted} lines"
    return comparable(ours), comparable(envoys)
