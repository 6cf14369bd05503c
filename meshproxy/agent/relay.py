"""The agent's end of the connection to the arbiter."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

from meshloom.meshproxy.control import Channel, ChannelClosed, Message, sealed
from meshloom.runtime.log import Log

log = Log("agent")


class Relay:
    """Sends configuration, hears of workers. When the arbiter is gone, only the sending is over."""

    def __init__(self, fd: int) -> None:
        self._channel = Channel(socket.socket(fileno=fd))
        self.connected = True
        self.lost = asyncio.Event()

    def attach(self, hear: Callable[[Message], None]) -> None:
        """Hand what arrives to `hear`, on the running loop."""
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._on_readable, hear)

    def send(self, header: dict[str, Any], content: bytes | None = None) -> None:
        """Send a header, with `content` beside it in a sealed memfd."""
        if not self.connected:
            return
        fds = [] if content is None else [sealed("meshproxy-resources", content)]
        try:
            self._channel.send(header, fds)
        except ChannelClosed:
            self._lost()
        finally:
            for fd in fds:
                os.close(fd)
        if self.connected and self._channel.blocked:
            asyncio.get_running_loop().add_writer(self._channel.fileno(), self._on_writable)

    def _on_readable(self, hear: Callable[[Message], None]) -> None:
        try:
            while (message := self._channel.receive()) is not None:
                hear(message)
        except ChannelClosed:
            self._lost()

    def _on_writable(self) -> None:
        try:
            self._channel.flush()
        except ChannelClosed:
            self._lost()
            return
        if not self._channel.blocked:
            asyncio.get_running_loop().remove_writer(self._channel.fileno())

    def _lost(self) -> None:
        if not self.connected:
            return
        self.connected = False
        self.lost.set()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._channel.fileno())
        loop.remove_writer(self._channel.fileno())
        log.error("arbiter_gone", effect="workers serve on with the last configuration")
