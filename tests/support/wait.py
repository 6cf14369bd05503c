"""Waiting for what will be true soon."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

T = TypeVar("T")

PATIENCE = 15.0
PAUSE = 0.02
UNNAMED = "it did not come about"


def eventually(true: Callable[[], bool], within: float = 5.0) -> bool:
    """Asks again and again until the answer is yes, for so many seconds at most."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(PAUSE)
    return False


def until(holds: Callable[[], T | Literal[False] | None], what: str = UNNAMED, within: float = PATIENCE) -> T:
    """The first true value of `holds()`. Raises AssertionError when it does not come in time."""
    deadline = time.monotonic() + within
    while not (value := holds()):
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(PAUSE)
    return value


async def until_async(
    holds: Callable[[], bool | Awaitable[bool]], what: str = UNNAMED, within: float = PATIENCE
) -> None:
    """The same for tests that are coroutines; `holds` may be one too."""
    deadline = time.monotonic() + within
    while not (await value if inspect.isawaitable(value := holds()) else value):
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        await asyncio.sleep(PAUSE)
