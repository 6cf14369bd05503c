"""An origin that answers a head as it is told to and then echoes bytes; readers of such a tunnel."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from dataclasses import dataclass, field

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@dataclass
class TunnelOrigin:
    """Reads one head (none, where `answer` is empty), answers, then echoes until the other side ends."""

    answer: bytes = SWITCH
    # Sent once the other side has ended.
    farewell: bytes = b""
    # Ends the connection after the answer.
    hangs_up: bool = False
    heads: list[bytes] = field(default_factory=list)
    # What came after each head.
    received: list[bytes] = field(default_factory=list)
    # How many clients have ended their side in good order.
    ended: int = 0

    def __post_init__(self) -> None:
        origin = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):
                    origin.serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        head, rest = read_head(connection) if self.answer else (b"", b"")
        self.heads.append(head)
        place = len(self.received)
        self.received.append(rest)
        connection.sendall(self.answer + rest)
        if self.hangs_up:
            return
        while data := connection.recv(65536):
            self.received[place] += data
            connection.sendall(data)
        self.ended += 1
        connection.sendall(self.farewell)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """A head with its empty line, and what came with it. Raises ConnectionError when it does not come."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError(f"ended within a head: {data!r}")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def read_exactly(connection: socket.socket, length: int) -> bytes:
    """So many bytes, or fewer when the connection ends before."""
    data = b""
    while len(data) < length and (more := connection.recv(length - len(data))):
        data += more
    return data


def fields_of(head: bytes) -> dict[str, str]:
    """The fields of a head, names in lower case."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
