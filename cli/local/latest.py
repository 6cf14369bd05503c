"""A value that changes, and readers who want the newest: a queue of length one whose policy is "latest
wins"."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Written by one, read by any number."""

    def __init__(self, value: T) -> None:
        self.on_change: Callable[[], None] | None = None
        """Called after each change, for a reader that only has to be woken."""
        self._value = value
        self._changed = asyncio.Event()

    @property
    def value(self) -> T:
        return self._value

    def put(self, value: T) -> None:
        self._value = value
        previous, self._changed = self._changed, asyncio.Event()
        previous.set()
        if self.on_change is not None:
            self.on_change()

    async def changes(self) -> AsyncIterator[T]:
        """The present value, then each that replaces it; values between two reads are skipped."""
        while True:
            changed = self._changed
            yield self._value
            await changed.wait()

    async def until(self, holds: Callable[[T], bool]) -> T:
        """Waits for a value of which `holds` is true, and returns it."""
        async for value in self.changes():
            if holds(value):
                return value
        raise AssertionError("changes() never ends")
