"""A whole conversation on one connection: what is sent step by step, and everything that comes back."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.differential.envoy.observe import Headers, settle

ANSWER_SECONDS = 8.0


@dataclass(frozen=True)
class Step:
    """Bytes to send, then the answers to await: the methods that they answer, `1xx` for an interim one."""

    data: bytes
    answers: tuple[str, ...] = ("GET",)


@dataclass(frozen=True)
class Heard:
    """One answer; `whole` is false when the connection ended before the answer did."""

    status: int
    headers: Headers
    body: bytes
    whole: bool = True


class Wire:
    """Reads answers off a connection, without a library's opinion of them."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def more(self) -> bool:
        """Reads once; false at the end of the connection."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self.buffer += data
        return bool(data)

    def line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            if not self.more():
                raise EOFError
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            if not self.more():
                taken, self.buffer = self.buffer, b""
                raise EOFError(taken)
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def rest(self) -> bytes:
        while self.more():
            pass
        taken, self.buffer = self.buffer, b""
        return taken

    def chunks(self) -> bytes:
        body = b""
        while size := int(self.line().split(b";")[0], 16):
            body += self.take(size)
            self.line()
        while self.line():
            pass
        return body

    def answer(self, method: str) -> Heard | None:
        """The next answer; None when the connection ends before it begins."""
        try:
            status = int(self.line().split(b" ")[1])
        except EOFError:
            return None
        headers: list[tuple[str, str]] = []
        while line := self.line():
            name, _, value = line.decode("latin-1").partition(":")
            headers.append((name.lower(), value.strip()))
        fields = dict(headers)
        settled = settle(tuple(headers), {})
        if status < 200 or method == "HEAD" or status in (204, 304):
            return Heard(status, settled, b"")
        try:
            if fields.get("transfer-encoding") == "chunked":
                return Heard(status, settled, self.chunks())
            if "content-length" in fields:
                return Heard(status, settled, self.take(int(fields["content-length"])))
            return Heard(status, settled, self.rest())
        except EOFError:
            return Heard(status, settled, b"", whole=False)

    def ended(self) -> bool:
        """True once the proxy has closed its side."""
        return not self.more()


def talk(port: int, steps: Sequence[Step], *, ends: bool) -> tuple[list[Heard | None], bool]:
    """Everything heard, and whether the connection came to its end where that was expected."""
    wire = Wire(port)
    heard: list[Heard | None] = []
    try:
        for step in steps:
            wire.socket.sendall(step.data)
            heard += [wire.answer(method) for method in step.answers]
            time.sleep(0.02)  # the next step is to arrive on its own
        return heard, ends and wire.ended()
    finally:
        wire.socket.close()
