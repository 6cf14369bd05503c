"""What the last translation made, for this one to take over where its inputs are equal.

Most changes touch a few services. A result is stored with everything it was made of; comparing that is many
times cheaper than making the result again, and an unchanged result is the same object, which makes diffs
cheap as well. What a translation does not ask for is forgotten by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar, cast

T = TypeVar("T")


class Memo:
    """Belongs to one translation; `successor` gives the next one its start."""

    def __init__(self, earlier: dict[Hashable, tuple[object, object]] | None = None) -> None:
        self._earlier = earlier or {}
        self._current: dict[Hashable, tuple[object, object]] = {}

    def successor(self) -> Memo:
        return Memo(self._current)

    def get(self, key: Hashable, inputs: object, make: Callable[[], T]) -> T:
        """What `make` gives, which may depend on `key` and `inputs` alone."""
        known = self._current.get(key) or self._earlier.get(key)
        if known is None or known[0] != inputs:
            known = (inputs, make())
        self._current[key] = known
        return cast(T, known[1])

    def settled(self, key: Hashable, made: T) -> T:
        """The equal object of the last translation, if there is one, in place of `made`."""
        return self.get(key, made, lambda: made)
