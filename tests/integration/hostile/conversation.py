"""Raw bytes to the proxy, and everything that came of them."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.integration.hostile.strict import Message, Truncated, read_response
from tests.integration.hostile.upstream import Upstream

_CANARIES = itertools.count()


class Records(Protocol):
    requests: list[Message]


class Watched(Protocol):
    """A proxy, and what reached the upstream behind it."""

    @property
    def port(self) -> int: ...

    @property
    def upstream(self) -> Records: ...


@dataclass(frozen=True, slots=True)
class Answers:
    """The responses that came, and how the connection stood then."""

    messages: tuple[Message, ...]
    closed: bool
    truncated: bool

    @property
    def statuses(self) -> list[int]:
        return [message.start for message in self.messages if isinstance(message.start, int)]


def converse(
    port: int, pieces: Sequence[bytes], *, expect: int, methods: Sequence[str] = (), ends: bool = False
) -> Answers:
    """Sends `pieces` and reads until `expect` responses are there, or the end of the connection.

    A response that announces `Connection: close` is followed to that end. `ends` closes our side behind it.
    """
    with socket.create_connection(("127.0.0.1", port), 5.0) as connection:
        # One send per piece, each a segment of its own.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                connection.sendall(piece)
            if ends:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before it was all sent; what was answered is still to be read
        return _read(connection, expect, methods)


def _read(connection: socket.socket, expect: int, methods: Sequence[str]) -> Answers:
    messages: list[Message] = []
    with connection.makefile("rb") as stream:
        try:
            while True:
                method = methods[len(messages)] if len(messages) < len(methods) else "GET"
                message = read_response(stream, method)
                if message is None:
                    return Answers(tuple(messages), closed=True, truncated=False)
                messages.append(message)
                goes_on = (message.value("connection") or "").lower() != "close"
                if len(messages) >= expect and goes_on:
                    return Answers(tuple(messages), closed=message.until_close, truncated=False)
        except ConnectionResetError:
            return Answers(tuple(messages), closed=True, truncated=False)
        except Truncated:
            return Answers(tuple(messages), closed=True, truncated=True)
        except TimeoutError:
            return Answers(tuple(messages), closed=False, truncated=False)


def assert_unharmed(port: int, upstream: Upstream) -> None:
    """A stranger's request right afterwards gets its own answer, and the upstream saw nothing malformed."""
    target = f"/canary-{next(_CANARIES)}"
    answers = converse(port, [f"GET {target} HTTP/1.1\r\nHost: canary\r\n\r\n".encode()], expect=1)
    assert [(m.start, m.body) for m in answers.messages] == [(200, f"('GET', '{target}') 0".encode())]
    assert upstream.violations == []
