"""The arbiter's one wait: control connections, signals and the time, on epoll. No threads."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable

SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGCHLD,
)


class Loop:
    """Calls back whoever's descriptor is ready; signals arrive as bytes in a pipe."""

    def __init__(self, on_signals: Callable[[frozenset[int]], None]) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[], None]] = {}
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._on_signals = on_signals
        self.watch(self._wake_read, self._take_signals)

    def listen_for_signals(self) -> None:
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, _only_wake)

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        self._ready[fd] = ready
        self._epoll.register(fd, select.EPOLLIN)

    def want_write(self, fd: int, *, wanted: bool) -> None:
        self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def forget(self, fd: int) -> None:
        del self._ready[fd]
        self._epoll.unregister(fd)

    def turn(self, timeout: float) -> None:
        """Wait at most `timeout` seconds, and answer what became ready."""
        for fd, _ in self._epoll.poll(max(timeout, 0.0)):
            # An earlier callback of this turn may have closed it.
            if ready := self._ready.get(fd):
                ready()

    def _take_signals(self) -> None:
        # A burst of a hundred HUPs is one reload.
        self._on_signals(frozenset(os.read(self._wake_read, 4096)))


def _only_wake(number: int, frame: object) -> None:
    """The wake-up descriptor has told the loop already."""
