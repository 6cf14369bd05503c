"""The listening sockets: one per address and worker, all kept open here.

Each worker accepts from a socket of its own (SO_REUSEPORT), so workers share no queue and no lock. The
arbiter holds every one of them too: when a worker dies, connections that wait in its queue wait for its
successor instead of being reset.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from meshloom.meshproxy import orphans

UNSENT_BYTES = 128 * 1024
"""What the kernel holds of a response beyond what is on its way: a client that does not read would cost 4 MiB
there, and bulk goes no faster for it. Accepted sockets inherit it."""


class SocketOption(NamedTuple):
    """A socket option in the kernel's numbers."""

    level: int
    name: int
    value: bytes
    when: str
    """`before_bind`, `bound` or `listening`."""


class Endpoint(NamedTuple):
    """What a listener binds: an IP literal and a port, or a path of a Unix socket with port 0."""

    address: str
    port: int
    backlog: int = 1024
    ipv4_compat: bool = False
    mode: int = 0
    options: tuple[SocketOption, ...] = ()

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> Endpoint:
        """Reads one entry of an update's `listen`; unknown keys belong to somebody else."""
        known = {name: raw[name] for name in cls._fields if name in raw}
        options = known.pop("options", ())
        return cls(
            **known,
            options=tuple(
                SocketOption(level, name, bytes.fromhex(hexed), when) for level, name, hexed, when in options
            ),
        )

    def set_options(self, opened: socket.socket, when: str) -> None:
        """Raises OSError for an option that the kernel does not take."""
        for option in self.options:
            if option.when == when:
                opened.setsockopt(option.level, option.name, option.value)

    @property
    def key(self) -> tuple[str, int]:
        return (self.address, self.port)

    @property
    def is_path(self) -> bool:
        return self.address.startswith(("/", "@"))

    def describe(self) -> dict[str, Any]:
        """As headers and worker settings name it."""
        return {"address": self.address, "port": self.port}


class BindFailed(Exception):
    """An address cannot be listened on."""

    def __init__(self, endpoint: Endpoint, reason: str) -> None:
        where = endpoint.address if endpoint.is_path else f"{endpoint.address}:{endpoint.port}"
        super().__init__(f"cannot listen on {where}: {reason}")
        self.endpoint, self.reason = endpoint, reason


class Listeners:
    """Every listening socket of this proxy, by address and slot."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._bound: dict[tuple[str, int], tuple[Endpoint, list[socket.socket]]] = {}
        self.missing: list[Endpoint] = []
        """Wanted, but somebody else has the address: `bind_missing` tries again."""
        self._offered: dict[tuple[str, int], list[socket.socket]] = {}
        self._orphans: list[socket.socket] = []
        """Lines to proxies without an arbiter whose addresses we share for now."""

    def offer(self, address: str, port: int, sockets: Iterable[socket.socket]) -> None:
        """Sockets of the generation before us, by slot: used in place of new ones."""
        self._offered.setdefault((address, port), []).extend(sockets)

    def reconcile(self, wanted: Sequence[Endpoint]) -> tuple[list[Endpoint], list[BindFailed]]:
        """Close what is no longer wanted, bind what is new: returns what was bound, and what failed."""
        by_key = {endpoint.key: endpoint for endpoint in wanted}
        for gone in self._bound.keys() - by_key.keys():
            for old in self._bound.pop(gone)[1]:
                old.close()
        failed: list[BindFailed] = []
        added: list[Endpoint] = []
        for key, endpoint in by_key.items():
            if key in self._bound:
                self._adjust(endpoint)
                continue
            try:
                self._bound[key] = (endpoint, self._open(endpoint))
            except OSError as error:
                reason = os.strerror(error.errno) if error.errno else str(error)
                failed.append(BindFailed(endpoint, reason))
            else:
                added.append(endpoint)
        self.missing = [fault.endpoint for fault in failed]
        return added, failed

    def bind_missing(self) -> list[Endpoint]:
        """What could be bound this time."""
        added, _ = self.reconcile([*(endpoint for endpoint, _ in self._bound.values()), *self.missing])
        return added

    def drop_offered(self) -> None:
        """Close what the generation before us offered and nobody wanted."""
        for sockets in self._offered.values():
            for unused in sockets:
                unused.close()
        self._offered.clear()

    def of_slot(self, slot: int) -> list[tuple[Endpoint, socket.socket]]:
        return [(endpoint, sockets[slot]) for endpoint, sockets in self._bound.values()]

    def sockets(self) -> Iterable[tuple[Endpoint, list[socket.socket]]]:
        return self._bound.values()

    def bound_ports(self) -> list[dict[str, Any]]:
        """Where each address is really bound: differs where port 0 was asked for."""
        return [{**e.describe(), "bound_port": _port(sockets[0])} for e, sockets in self._bound.values()]

    def _adjust(self, endpoint: Endpoint) -> None:
        """An address that stays keeps its sockets and queues; changes are taken up in place."""
        old, sockets = self._bound[endpoint.key]
        if endpoint.options != old.options:
            for each in sockets:
                _set_late(endpoint, each)
        if endpoint.backlog != old.backlog:
            for each in sockets:
                each.listen(endpoint.backlog)
        self._bound[endpoint.key] = (endpoint, sockets)

    def _open(self, endpoint: Endpoint) -> list[socket.socket]:
        opened = self._offered.pop(endpoint.key, [])
        for unneeded in opened[self._slots :]:
            unneeded.close()
        del opened[self._slots :]
        try:
            if not opened:
                opened.append(self._first(endpoint))
            while len(opened) < self._slots:
                opened.append(_another(endpoint, opened[0]))
        except OSError:
            for useless in opened:
                useless.close()
            raise
        return opened

    def _first(self, endpoint: Endpoint) -> socket.socket:
        """Bind, sure that nobody else listens there: SO_REUSEPORT alone would share a stranger's port."""
        if endpoint.is_path:
            return _listen_on_path(endpoint)
        if endpoint.port:
            try:
                with _tcp_socket(endpoint) as probe:
                    endpoint.set_options(probe, "before_bind")
                    probe.bind((endpoint.address, endpoint.port))
            except OSError as error:
                line = orphans.find(*endpoint.key) if error.errno == errno.EADDRINUSE else None
                if line is None:
                    raise
                self._orphans.append(line)
        return _listen(endpoint, endpoint.port)

    def relieve_orphans(self) -> None:
        """Tell them that we serve in their place."""
        while self._orphans:
            with contextlib.suppress(OSError), self._orphans.pop() as line:
                line.sendall(orphans.LEAVE)


def _set_late(endpoint: Endpoint, bound: socket.socket) -> None:
    """What of the options can still be set on a socket that listens."""
    for when in ("before_bind", "bound", "listening"):
        with contextlib.suppress(OSError):  # some can only be set before
            endpoint.set_options(bound, when)


def _another(endpoint: Endpoint, first: socket.socket) -> socket.socket:
    # A path has one queue; its workers share it.
    return first.dup() if endpoint.is_path else _listen(endpoint, _port(first))


def _listen(endpoint: Endpoint, port: int) -> socket.socket:
    opened = _tcp_socket(endpoint)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        endpoint.set_options(opened, "before_bind")
        opened.bind((endpoint.address, port))
        endpoint.set_options(opened, "bound")
        opened.listen(endpoint.backlog)
        endpoint.set_options(opened, "listening")
    except OSError:
        opened.close()
        raise
    return opened


def _tcp_socket(endpoint: Endpoint) -> socket.socket:
    family = socket.AF_INET6 if ":" in endpoint.address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    if family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if endpoint.ipv4_compat else 1)
    return opened


def _listen_on_path(endpoint: Endpoint) -> socket.socket:
    name = "\0" + endpoint.address[1:] if endpoint.address.startswith("@") else endpoint.address
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        try:
            opened.bind(name)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or name.startswith("\0") or _answers(name):
                raise
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)  # left by a process that is gone
            opened.bind(name)
        if endpoint.mode and not name.startswith("\0"):
            os.chmod(name, endpoint.mode)
        opened.listen(endpoint.backlog)
    except OSError:
        opened.close()
        raise
    return opened


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        try:
            caller.connect(path)
        except OSError:
            return False
        return True


def _port(bound: socket.socket) -> int:
    return 0 if bound.family == socket.AF_UNIX else int(bound.getsockname()[1])
