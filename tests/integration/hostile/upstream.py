"""An upstream that judges every byte it is sent, and answers as it is told to."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tests.integration.hostile.strict import Malformed, Message, Truncated, read_request
from tests.support.server import LoopbackServer, reset

LATE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes to send back, and what becomes of the connection then."""

    data: bytes
    then: Literal["keep", "close", "reset"] = "keep"
    # Bytes that nobody has asked for, sent a little later.
    late: bytes = b""


def echo(request: Message) -> Reply:
    """Says which request this answers, so that a crossed answer shows."""
    body = f"{request.start} {len(request.body)}".encode()
    return Reply(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


Script = Callable[[Message], Reply]


@dataclass
class Upstream(LoopbackServer):
    """Listens on 127.0.0.1 until closed."""

    script: Script = echo
    requests: list[Message] = field(default_factory=list)
    truncated: int = 0
    # How often bytes that nobody had asked for were sent.
    late: int = 0
    # What no proxy may send.
    violations: list[str] = field(default_factory=list)

    def serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while True:
                try:
                    request = read_request(stream)
                except Malformed as fault:
                    self.violations.append(str(fault))
                    return
                except Truncated:
                    self.truncated += 1
                    return
                if request is None:
                    return
                self.requests.append(request)
                reply = self.script(request)
                connection.sendall(reply.data)
                if reply.late:
                    time.sleep(LATE_SECONDS)
                    # The proxy may have closed the connection meanwhile.
                    with contextlib.suppress(ConnectionError):
                        connection.sendall(reply.late)
                    self.late += 1
                if reply.then == "reset":
                    reset(connection)
                if reply.then != "keep":
                    return
