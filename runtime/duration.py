"""Durations as Go and Kubernetes write them: `24h`, `1h30m`, `1.5s`, `200ms`."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)")


def parse_duration(text: str) -> timedelta:
    """Read one duration, without a sign. Raises ValueError whose text says what would be right."""
    parts = list(_PART.finditer(text))
    if not parts or "".join(part.group() for part in parts) != text:
        raise ValueError(
            f"{text!r} is not a duration: want a number and a unit, for example 24h, 1h30m or 500ms"
        )
    return timedelta(seconds=sum(float(part.group(1)) * _UNITS[part.group(2)] for part in parts))
