"""What connections begin with: PROXY headers, ClientHellos, request lines; and origins that speak first."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.support.server import LoopbackServer

Ends = tuple[str, int]


def proxy_v1(source: Ends, destination: Ends) -> bytes:
    family = "TCP6" if ":" in source[0] else "TCP4"
    return f"PROXY {family} {source[0]} {destination[0]} {source[1]} {destination[1]}\r\n".encode()


def proxy_v2(source: Ends, destination: Ends, *fields: tuple[int, bytes]) -> bytes:
    first, second = (ipaddress.ip_address(host).packed for host, _ in (source, destination))
    body = first + second + struct.pack(">HH", source[1], destination[1])
    body += b"".join(struct.pack(">BH", kind, len(value)) + value for kind, value in fields)
    return proxy_v2_raw(1, 0x11 if len(first) == 4 else 0x21, body)


def proxy_v2_raw(command: int, family: int, body: bytes) -> bytes:
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x20 | command, family]) + struct.pack(">H", len(body)) + body


def client_hello(server_name: str | None = None, protocols: Sequence[str] = ()) -> bytes:
    """A real ClientHello."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    sent = ssl.MemoryBIO()
    session = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=server_name)
    with contextlib.suppress(ssl.SSLWantReadError):
        session.do_handshake()
    return sent.read()


@dataclass
class Greeter(LoopbackServer):
    """Says its greeting as soon as somebody connects, and keeps what it is sent."""

    greeting: bytes
    received: list[bytes] = field(default_factory=list)

    def serve(self, connection: socket.socket) -> None:
        place = len(self.received)
        self.received.append(b"")
        connection.sendall(self.greeting)
        while piece := connection.recv(65536):
            self.received[place] += piece


@contextlib.contextmanager
def greeters(*greetings: bytes) -> Iterator[list[Greeter]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Greeter(greeting)) for greeting in greetings]


def greeting_of(port: int, *pieces: bytes, host: str = "127.0.0.1", timeout: float = 5.0) -> bytes:
    """What a connection that begins so is told first; nothing when it is closed instead."""
    with socket.create_connection((host, port), timeout) as client:
        try:
            for piece in pieces:
                client.sendall(piece)
            return client.recv(100)
        except (ConnectionResetError, BrokenPipeError):
            return b""
