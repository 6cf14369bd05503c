"""A client that sends exactly the bytes it is told to, and reads one response at a time."""

from __future__ import annotations

import http.client
import io
import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Response:
    """A response read to its end; header names in lower case, in order of arrival."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name]
        return ",".join(values) if values else None


class Kept(io.BufferedReader):
    """Stays open from response to response: what was read too early is the next one's."""

    def makefile(self, *_mode: object) -> Kept:
        return self

    def close(self) -> None:
        """The connection is closed by its client."""


class Client:
    """One connection."""

    def __init__(self, port: int, timeout: float = 10.0, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), timeout)
        self._reader = Kept(socket.SocketIO(self.socket, "r"))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def response(self, method: str = "GET") -> Response:
        """The next final response. Raises http.client's errors when it is cut short."""
        raw = http.client.HTTPResponse(self._reader, method=method)  # type: ignore[arg-type]
        raw.begin()
        headers = tuple((name.lower(), value) for name, value in raw.getheaders())
        return Response(raw.status, headers, raw.read())

    def closed(self) -> bool:
        """True once the proxy has closed its side (waits for the socket's timeout at most)."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


def request(
    method: str = "GET", target: str = "/", *headers: tuple[str, str], body: bytes = b"", host: str = "a.test"
) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def fetch(
    port: int,
    method: str = "GET",
    target: str = "/",
    *headers: tuple[str, str],
    body: bytes = b"",
    host: str = "a.test",
) -> Response:
    """One request on a connection of its own."""
    with Client(port) as client:
        client.send(request(method, target, *headers, body=body, host=host))
        return client.response(method)
