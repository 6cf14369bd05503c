"""An upstream that records what it was sent, byte for byte, and answers as the test says."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from tests.support.server import LoopbackServer, reset_when_closed


@dataclass(frozen=True)
class Received:
    """One request as it arrived: the head's lines, and the body with its framing taken off."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The values of a header, comma-joined; None where it is absent."""
        values = [value for key, value in self.headers if key.lower() == name]
        return ",".join(values) if values else None


@dataclass(frozen=True)
class Answer:
    """Bytes to send, after a wait; then the connection is kept, ended (`close`) or torn down (`reset`).

    Where there is a `rest`, it follows after `pause` seconds.
    """

    data: bytes = b""
    then: str = "keep"
    wait: float = 0.0
    rest: bytes = b""
    pause: float = 0.0


def answer(status: int = 200, body: bytes = b"ok", *headers: tuple[str, str]) -> Answer:
    lines = [
        f"HTTP/1.1 {status} Scripted",
        f"Content-Length: {len(body)}",
        *(f"{k}: {v}" for k, v in headers),
    ]
    return Answer("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


Script = Callable[[Received], Answer]


@dataclass
class Origin(LoopbackServer):
    """Listens on 127.0.0.1 until closed; each connection has a thread of its own."""

    script: Script = lambda _received: answer()
    # Asked with each head before the body is read: an answer that does not wait for the body.
    early: Callable[[Received], Answer | None] = lambda _head: None
    received: list[Received] = field(default_factory=list)
    connections: int = 0

    def serve(self, connection: socket.socket) -> None:
        self.connections += 1
        # A request that ends within its head or body is no request.
        with contextlib.suppress(EOFError, ValueError):
            while serve_one(self, connection):
                pass


def serve_one(origin: Origin, connection: socket.socket) -> bool:
    """Answer the next request on a connection; False when the connection is at its end."""
    stream = connection.makefile("rb")
    head = read_head(stream)
    if head is None:
        return False
    reply = origin.early(head)
    if reply is None:
        head = replace(head, body=read_body(stream, {name.lower(): value for name, value in head.headers}))
        reply = origin.script(head)
    origin.received.append(head)
    if reply.wait:
        time.sleep(reply.wait)  # a slow upstream is what is being tested
    connection.sendall(reply.data)
    if reply.rest:
        time.sleep(reply.pause)
        connection.sendall(reply.rest)
    if reply.then == "reset":
        reset_when_closed(connection)
    return reply.then == "keep"


def read_head(stream: BinaryIO) -> Received | None:
    first = stream.readline()
    if not first:
        return None
    method, target, _version = first.decode("latin-1").rstrip("\r\n").split(" ", 2)
    headers = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode("latin-1").rstrip("\r\n").partition(":")
        headers.append((name, value.strip(" ")))
    return Received(method, target, tuple(headers), b"")


def read_body(stream: BinaryIO, headers: dict[str, str]) -> bytes:
    read, readline = stream.read, stream.readline
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return bytes(read(int(headers.get("content-length", "0"))))
    body = b""
    while size := int(readline().split(b";")[0], 16):
        body += read(size)
        readline()
    while readline() not in (b"\r\n", b""):
        pass
    return body
