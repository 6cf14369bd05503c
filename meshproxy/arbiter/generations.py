"""This generation's dealings with the one before it and the one after it; the protocol is in handover.py."""

from __future__ import annotations

import socket
from collections.abc import Callable

from meshloom.meshproxy.arbiter import handover
from meshloom.meshproxy.arbiter.listeners import Listeners
from meshloom.meshproxy.arbiter.loop import Loop
from meshloom.meshproxy.control import Channel, ChannelClosed
from meshloom.meshproxy.options import Options
from meshloom.meshproxy.orphans import is_own_user
from meshloom.runtime.log import Log

log = Log("arbiter")


class Generations:
    """`leave` is called, with the seconds that are left, when a successor serves in our place."""

    def __init__(
        self, options: Options, loop: Loop, listeners: Listeners, leave: Callable[[float], None]
    ) -> None:
        self._options, self._loop, self._listeners, self._leave = options, loop, listeners, leave
        self._predecessor: Channel | None = None
        self._rendezvous: socket.socket | None = None

    def await_successor(self) -> None:
        """Raises HandoverFailed when this generation runs already."""
        if self._options.hot_restart:
            waiting = handover.await_successor(self._options.base_id, self._options.restart_epoch)
            self._rendezvous = waiting
            self._loop.watch(waiting.fileno(), lambda: self._meet(waiting))

    def take_over(self) -> None:
        """Get the predecessor's sockets, if there has to be one. Raises HandoverFailed."""
        if self._options.restart_epoch:
            options = self._options
            self._predecessor = handover.take_sockets(options.base_id, options.restart_epoch, self._listeners)

    def relieve_predecessor(self) -> None:
        """We serve: it may go, and so may whoever was left without an arbiter on our addresses."""
        self._listeners.relieve_orphans()
        if self._predecessor is None:
            return
        self._listeners.drop_offered()
        log.info("predecessor_relieved", epoch=self._options.restart_epoch - 1)
        try:
            self._predecessor.send({"type": "drain", "seconds": self._options.parent_shutdown_time_s})
        except ChannelClosed:
            log.warning("predecessor_gone", epoch=self._options.restart_epoch - 1)
        self._predecessor.close()
        self._predecessor = None

    def _meet(self, waiting: socket.socket) -> None:
        end, _ = waiting.accept()
        if not is_own_user(end):
            end.close()
            return
        channel = Channel(end)
        self._loop.watch(channel.fileno(), lambda: self._hear(channel))

    def _hear(self, successor: Channel) -> None:
        try:
            while (message := successor.receive()) is not None:
                if message.kind == "sockets":
                    handover.offer_sockets(successor, self._listeners)
                elif message.kind == "drain":
                    log.info("successor_serves")
                    self._leave(float(message.header["seconds"]))
        except ChannelClosed:
            self._loop.forget(successor.fileno())
            successor.close()
