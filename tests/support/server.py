"""A TCP server on loopback that gives each connection a thread: the base of the tests' origins."""

from __future__ import annotations

import abc
import contextlib
import os
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Any, Self

POLL_SECONDS = 0.05


class LoopbackServer(abc.ABC):
    """Listens from its making until closed. Dataclasses may derive from it."""

    port: int

    def __post_init__(self) -> None:
        self._server = _Server(self.serve)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()

    @abc.abstractmethod
    def serve(self, connection: socket.socket) -> None:
        """One connection, closed afterwards. That its peer breaks it off is no fault of the test."""

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def reset_when_closed(connection: socket.socket) -> None:
    """Closing will tear the connection down (RST), and what is unsent is lost."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset(connection: socket.socket) -> None:
    """Tears the connection down at once: the end of its handler would begin with an orderly one (FIN)."""
    reset_when_closed(connection)
    os.close(connection.detach())


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 256
    # Connections of a test may outlive their origin.
    block_on_close = False

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self.serve = serve
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)

    def finish_request(self, request: Any, client_address: object) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
            self.serve(request)
