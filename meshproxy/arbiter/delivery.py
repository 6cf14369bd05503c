"""What goes to every worker alike: messages, updates, and sockets, as many as fit one message."""

from __future__ import annotations

import os
from typing import Any

from meshloom.meshproxy.arbiter.listeners import Endpoint, Listeners
from meshloom.meshproxy.arbiter.switchboard import Switchboard
from meshloom.meshproxy.control import MAX_FDS, sealed

MAX_SOCKETS = MAX_FDS - 1
"""The descriptor of an update's memfd goes before them."""


class Delivery:
    """Sends to the workers that are there; those to come get all of it at their start."""

    def __init__(self, lines: Switchboard, listeners: Listeners, workers: int) -> None:
        self._lines = lines
        self._listeners = listeners
        self._slots = range(workers)

    def message(self, header: dict[str, Any]) -> None:
        for slot in self._slots:
            self._lines.send(slot, header)

    def update(self, version: int, fd: int, added: list[Endpoint]) -> None:
        """An update with the sockets that it needs; more than fit go before it."""
        for slot in self._slots:
            self._sockets(slot, added[MAX_SOCKETS:])
            self._send(slot, version, fd, added[:MAX_SOCKETS])

    def sockets(self, added: list[Endpoint]) -> None:
        for slot in self._slots:
            self._sockets(slot, added)

    def _sockets(self, slot: int, added: list[Endpoint]) -> None:
        """Sockets without their resources: they go with an update of nothing."""
        for start in range(0, len(added), MAX_SOCKETS):
            nothing = sealed("meshproxy-empty", b"")
            self._send(slot, 0, nothing, added[start : start + MAX_SOCKETS])
            os.close(nothing)

    def _send(self, slot: int, version: int, fd: int, endpoints: list[Endpoint]) -> None:
        sockets = {endpoint: each.fileno() for endpoint, each in self._listeners.of_slot(slot)}
        header = {"type": "update", "version": version, "listen": [each.describe() for each in endpoints]}
        self._lines.send(slot, header, [fd, *(sockets[endpoint] for endpoint in endpoints)])
