"""Listeners that ask for any free port: each gets one of its own, chosen here and kept for life.

Workers tell sockets apart by address and port, so a port has to be a number before they hear of it. It
is held by a socket that is bound but never listens; the arbiter's, which do, share the port with it.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterable, Iterator
from typing import Any

from meshloom.meshproxy.arbiter.listeners import Endpoint
from meshloom.meshproxy.resources.compiled import Compiled
from meshloom.meshproxy.resources.protos import LISTENER, parse


class Ports:
    """The ports of listeners that were configured with port 0, by listener and place in it."""

    def __init__(self) -> None:
        self._chosen: dict[tuple[str, int], int] = {}
        self._held: dict[tuple[str, int], socket.socket] = {}

    def remember(self, resources: Iterable[Compiled]) -> None:
        """What an earlier agent chose: its listeners are not to move."""
        for resource in resources:
            if resource.type_url == LISTENER:
                for index, where in enumerate(resource.listen):
                    self._chosen[resource.name, index] = int(where["port"])

    def settle(self, resource: Compiled) -> Compiled:
        """The same resource, every port in it a number. Raises OSError when an address cannot be had."""
        if resource.type_url != LISTENER or all(
            where["port"] or _is_path(where) for where in resource.listen
        ):
            return resource
        message = parse(LISTENER, resource.body)
        addresses, listen = _addresses(message), []
        for index, where in enumerate(resource.listen):
            if _is_path(where):
                listen.append(where)
                continue
            address = next(addresses)
            if address.port_value == 0:
                address.port_value = self._port((resource.name, index), Endpoint.parse(dict(where)))
            listen.append({**where, "port": address.port_value})
        return dataclasses.replace(
            resource, body=message.SerializeToString(deterministic=True), listen=tuple(listen)
        )

    def _port(self, key: tuple[str, int], endpoint: Endpoint) -> int:
        if key not in self._held:
            family = socket.AF_INET6 if ":" in endpoint.address else socket.AF_INET
            held = socket.socket(family, socket.SOCK_STREAM)
            try:
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                endpoint.set_options(held, "before_bind")
                held.bind((endpoint.address, self._chosen.get(key, 0)))
            except OSError:
                held.close()
                raise
            self._held[key] = held
        return int(self._held[key].getsockname()[1])


def _addresses(listener: Any) -> Iterator[Any]:
    """The socket addresses of a listener, in the order in which the compiler names them."""
    for address in (listener.address, *(extra.address for extra in listener.additional_addresses)):
        if address.HasField("socket_address"):
            yield address.socket_address


def _is_path(where: Any) -> bool:
    return str(where["address"]).startswith(("/", "@"))
