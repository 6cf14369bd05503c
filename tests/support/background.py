"""Work that goes on in threads for as long as a block lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self


class Background:
    """A thread for each of `work`, which ends once `stop` is set. Leaving the block sets it, and waits."""

    def __init__(self, *work: Callable[[], None]) -> None:
        self.stop = threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in work]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join()
