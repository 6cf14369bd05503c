"""An endpoint that answers health checks by a script, and keeps what it was sent byte for byte.

After its script it answers nothing more: what a proxy has made of the answers can be looked at in rest.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from tests.support.server import LoopbackServer

Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Say:
    """What is said to one check; `None` for a status: nothing. Then the connection stays or ends."""

    status: int | None = 200
    headers: Fields = ()
    body: bytes = b""
    trailers: Fields = ()
    close: bool = False
    raw: bytes | None = None
    goaway: bool = False

    def http1(self) -> bytes:
        if self.raw is not None:
            return self.raw
        if self.status is None:
            return b""
        lines = [f"HTTP/1.1 {self.status} Said", *(f"{name}: {value}" for name, value in self.headers)]
        lines += [f"content-length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode() + self.body


SILENCE = Say(None)


@dataclass
class Checked(LoopbackServer):
    """Listens on 127.0.0.1. What is for `/traffic` is traffic, of which the script says nothing."""

    script: Sequence[Say] = ()
    http2: bool = False
    # Bytes of a TCP check; zero where HTTP is spoken.
    tcp: int = 0
    asked: list[bytes] = field(default_factory=list)
    # Which connection each check came over, and how many there were.
    over: list[int] = field(default_factory=list)
    connections: int = 0
    traffic: int = 0
    # What traffic is answered.
    reply: Say = field(default_factory=Say)

    @property
    def done(self) -> bool:
        return len(self.asked) > len(self.script)

    def next(self, asked: bytes, connection: int) -> Say:
        self.asked.append(asked)
        self.over.append(connection)
        return self.script[len(self.asked) - 1] if len(self.asked) <= len(self.script) else SILENCE

    def serve(self, peer: socket.socket) -> None:
        self.connections += 1
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            self.converse(peer, self.connections)

    def converse(self, peer: socket.socket, number: int) -> None:
        if self.http2:
            Conversation(self, peer, number).run()
        elif self.tcp:
            while heard := read_exactly(peer, self.tcp):
                say = self.next(heard, number)
                peer.sendall(say.http1())
                if say.close:
                    return
        else:
            self.serve_http1(peer, number)

    def serve_http1(self, peer: socket.socket, number: int) -> None:
        stream = peer.makefile("rb")
        while True:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = stream.readline()
                if not line:
                    return
                head += line
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            body = stream.read(int(length[0].split(b":")[1])) if length else b""
            if b" /traffic" in head.split(b"\r\n")[0]:
                self.traffic += 1
                peer.sendall(self.reply.http1())
                continue
            say = self.next(head + body, number)
            peer.sendall(say.http1())
            if say.close:
                return


def read_exactly(peer: socket.socket, size: int) -> bytes:
    heard = b""
    while len(heard) < size:
        more = peer.recv(size - len(heard))
        if not more:
            return b""
        heard += more
    return heard


@dataclass
class Conversation:
    """One HTTP/2 connection of a checked endpoint."""

    owner: Checked
    peer: socket.socket
    number: int
    heads: dict[int, bytes] = field(default_factory=dict)

    def run(self) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.peer.sendall(self.h2.data_to_send())
        while heard := self.peer.recv(4000):
            for event in self.h2.receive_data(heard):
                if isinstance(event, h2.events.RequestReceived):
                    lines = [name + b": " + value for name, value in event.headers]
                    self.heads[event.stream_id] = b"\n".join(lines) + b"\n\n"
                elif isinstance(event, h2.events.DataReceived):
                    self.heads[event.stream_id] += event.data
                elif isinstance(event, h2.events.StreamEnded) and self.answer(event.stream_id):
                    return
            self.peer.sendall(self.h2.data_to_send())

    def answer(self, stream: int) -> bool:
        """Says what is to be said; true if the connection ends."""
        if b":path: /traffic" in self.heads[stream]:
            self.owner.traffic += 1
            say = self.owner.reply
        else:
            say = self.owner.next(self.heads[stream], self.number)
        if say.raw is not None:
            self.peer.sendall(say.raw)
        elif say.status is not None:
            bare = not say.body and not say.trailers
            self.h2.send_headers(stream, [(":status", str(say.status)), *say.headers], end_stream=bare)
            if not bare:
                self.h2.send_data(stream, say.body, end_stream=not say.trailers)
            if say.trailers:
                self.h2.send_headers(stream, list(say.trailers), end_stream=True)
        if say.goaway:
            self.h2.close_connection()
        self.peer.sendall(self.h2.data_to_send())
        return say.close
