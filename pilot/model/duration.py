"""Durations as Istio writes them: Go's notation (`1h30m`, `2.5s`, `100ms`).

They are `timedelta`s, so the rest of pilot never sees the notation. Go counts nanoseconds and Python
microseconds; what is lost is below anything a proxy can time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from meshloom.runtime.duration import parse_duration


class Duration(timedelta):
    """A span of time; zero and negative values are the caller's to judge."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads Go's notation. Raises ValueError saying what a right value looks like."""
        if text == "0":
            return cls(0)
        span = parse_duration(text.removeprefix("-"))
        return cls(seconds=-span.total_seconds() if text.startswith("-") else span.total_seconds())

    def __str__(self) -> str:
        seconds = self / timedelta(seconds=1)
        return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


class PositiveDuration(Duration):
    """A duration of at least one millisecond, which is what most of Istio's fields ask for."""

    MINIMUM = timedelta(milliseconds=1)

    @classmethod
    def parse(cls, text: str) -> Self:
        value = super().parse(text)
        if value < cls.MINIMUM:
            raise ValueError("must be a valid duration greater than 1ms")
        return value
