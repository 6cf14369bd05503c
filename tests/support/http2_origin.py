"""An HTTP/2 upstream that judges what it is sent by the h2 library's rules, and answers as the test says.

A script gives the steps of an answer; each stream plays its own, while the others of its connection go on.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from tests.support.http2_frames import Header, text
from tests.support.server import LoopbackServer, reset_when_closed


@dataclass(frozen=True)
class Received:
    """A request as it arrived: pseudo-header fields are among the headers, in their places."""

    headers: tuple[Header, ...]
    body: bytes = b""
    trailers: tuple[Header, ...] | None = None
    stream: int = 0
    connection: int = 0

    def header(self, name: str) -> str | None:
        """The values of a header, comma-joined; None where it is absent."""
        values = [value for key, value in self.headers if key == name]
        return ",".join(values) if values else None

    @property
    def method(self) -> str:
        return self.header(":method") or ""

    @property
    def target(self) -> str:
        return self.header(":path") or ""


@dataclass(frozen=True)
class Head:
    """A head with these fields, `:status` among them, or trailers; with `end` the last of its stream."""

    fields: tuple[Header, ...]
    end: bool = False


@dataclass(frozen=True)
class Body:
    """Bytes of a body, sent as the windows allow."""

    data: bytes
    end: bool = False


@dataclass(frozen=True)
class Wait:
    """Nothing on this stream for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Reset:
    code: int = h2.errors.ErrorCodes.INTERNAL_ERROR


@dataclass(frozen=True)
class Goaway:
    """Says that streams above `last` were not and will not be dealt with."""

    last: int
    code: int = 0


@dataclass(frozen=True)
class Raw:
    """Bytes as they are, made from the number of the stream."""

    make: Callable[[int], bytes]


@dataclass(frozen=True)
class Close:
    """The end of the connection, an abrupt one (RST) where `reset` is set."""

    reset: bool = False


Step = Head | Body | Wait | Reset | Goaway | Raw | Close
Script = Callable[[Received], Sequence[Step]]


def answer(
    status: int = 200, body: bytes = b"ok", *fields: Header, trailers: Sequence[Header] = ()
) -> list[Step]:
    """A usual answer: head, body with its length, trailers."""
    head = ((":status", str(status)), ("content-length", str(len(body))), *fields)
    steps: list[Step] = [Head(head, end=not body and not trailers)]
    if body:
        steps.append(Body(body, end=not trailers))
    if trailers:
        steps.append(Head(tuple(trailers), end=True))
    return steps


def echo(received: Received) -> list[Step]:
    """Answers with what was received, as JSON."""
    seen = {
        "headers": [list(header) for header in received.headers],
        "body": received.body.decode("latin-1"),
        "trailers": received.trailers and [list(header) for header in received.trailers],
    }
    return answer(200, json.dumps(seen).encode(), ("content-type", "application/json"))


def server_tls(chain: str, key: str, *, alpn: Sequence[str] = ("h2",)) -> ssl.SSLContext:
    """A server's context from the paths of a certificate chain and its key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    context.set_alpn_protocols(list(alpn))
    return context


@dataclass
class Http2Origin(LoopbackServer):
    """Listens on 127.0.0.1 until closed; each connection has a thread of its own."""

    script: Script = lambda _received: answer()
    # Asked with each head before its body has come: an answer that does not wait for the body.
    early: Script = lambda _head: ()
    tls: ssl.SSLContext | None = None
    settings: Mapping[int, int] = field(default_factory=dict)
    # False: bodies are taken only as far as the first windows go.
    reads: bool = True
    received: list[Received] = field(default_factory=list)
    # Streams that the proxy reset, with their codes.
    resets: list[tuple[int, int]] = field(default_factory=list)
    # What the proxy must not send.
    violations: list[str] = field(default_factory=list)
    connections: int = 0
    # Connections that are open now.
    open: int = 0

    def serve(self, accepted: socket.socket) -> None:
        self.connections += 1
        self.open += 1
        number = self.connections
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with self.tls.wrap_socket(accepted, server_side=True) if self.tls else accepted as connection:
                Session(self, connection, number).run()
        finally:
            self.open -= 1


@dataclass
class Played:
    """A stream: what has come of its request, and the steps that are left of its answer."""

    received: Received
    steps: deque[Step] = field(default_factory=deque)
    due: float = 0.0


class Session:
    """One connection. Its thread sleeps only until bytes come or a step is due."""

    def __init__(self, origin: Http2Origin, connection: socket.socket, number: int) -> None:
        self.origin, self.connection, self.number = origin, connection, number
        self.streams: dict[int, Played] = {}
        self.ended = False
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding="latin-1",
            # Answers are as malformed as the test wants them.
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = h2.connection.H2Connection(config)
        given: dict[h2.settings.SettingCodes | int, int] = dict(self.h2.local_settings)
        given |= {h2.settings.SettingCodes(k): v for k, v in origin.settings.items()}
        # Not `update`, which has effect from the acknowledgement on: the first SETTINGS would not say it.
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=given)  # type: ignore[arg-type]
        self.h2.initiate_connection()

    def run(self) -> None:
        self.flush()
        while not self.ended:
            timeout = self.play()
            if self.ended:
                return
            self.connection.settimeout(timeout)
            try:
                received = self.connection.recv(1 << 16)
            except TimeoutError:
                continue
            finally:
                self.connection.settimeout(None)
            if not received:
                return
            self.take(received)

    def take(self, received: bytes) -> None:
        try:
            events = self.h2.receive_data(received)
        except h2.exceptions.ProtocolError as fault:
            self.origin.violations.append(f"{type(fault).__name__}: {fault}")
            self.ended = True
            events = []
        for event in events:
            self.note(event)
        self.flush()

    def note(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=stream):
                self.streams[stream] = Played(Received(text(event.headers), b"", None, stream, self.number))
                self.begin(stream, self.origin.early(self.streams[stream].received))
            case h2.events.DataReceived(stream_id=stream):
                self.grow(stream, body=self.streams[stream].received.body + event.data)
                if self.origin.reads and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
            case h2.events.TrailersReceived(stream_id=stream):
                self.grow(stream, trailers=text(event.headers))
            case h2.events.StreamEnded(stream_id=stream) if stream in self.streams:
                played = self.streams[stream]
                self.origin.received.append(played.received)
                if not played.due:
                    self.begin(stream, self.origin.script(played.received))
            case h2.events.StreamReset(stream_id=stream) if event.remote_reset:
                self.origin.resets.append((stream, int(event.error_code)))
                self.streams.pop(stream, None)

    def grow(self, stream: int, **parts: object) -> None:
        old = self.streams[stream].received
        grown = {"body": old.body, "trailers": old.trailers, **parts}
        self.streams[stream].received = Received(old.headers, stream=stream, connection=self.number, **grown)  # type: ignore[arg-type]

    def begin(self, stream: int, steps: Sequence[Step]) -> None:
        """A stream whose answer has begun has a time at which its next step is due."""
        self.streams[stream].steps.extend(steps)
        if steps:
            self.streams[stream].due = time.monotonic()

    def play(self) -> float | None:
        """Does all steps that are due; gives the seconds until the next one."""
        # One moment for both: what gets due in between must not be slept through.
        now = time.monotonic()
        for stream, played in list(self.streams.items()):
            while played.steps and played.due <= now and not self.ended:
                try:
                    went = self.step(stream, played, played.steps[0])
                except h2.exceptions.ProtocolError:
                    # The proxy has reset the stream, or given up the connection, meanwhile.
                    played.steps.clear()
                    break
                if not went:
                    break
        self.flush()
        waits = [played.due - now for played in self.streams.values() if played.steps and played.due > now]
        return max(min(waits), 0.001) if waits else None

    def step(self, stream: int, played: Played, step: Step) -> bool:
        """False when the step must wait for a window."""
        match step:
            case Head(fields=fields, end=end):
                self.h2.send_headers(stream, list(fields), end_stream=end)
            case Body(data=left, end=end) if left:
                room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
                if room <= 0:
                    return False
                self.h2.send_data(stream, left[:room], end_stream=end and room >= len(left))
                if room < len(left):
                    played.steps[0] = Body(left[room:], end)
                    self.flush()
                    return True
            case Body(end=True):
                self.h2.end_stream(stream)
            case Wait(seconds=seconds):
                played.due = time.monotonic() + seconds
            case Reset(code=code):
                self.h2.reset_stream(stream, code)
            case Goaway() | Raw() | Close():
                self.outside(stream, step)
        played.steps.popleft()
        return True

    def outside(self, stream: int, step: Goaway | Raw | Close) -> None:
        """What h2 would not send: it goes out behind what h2 has sent so far."""
        self.flush()
        match step:
            case Goaway(last=last, code=code):
                payload = struct.pack(">II", last, code)
                self.connection.sendall(len(payload).to_bytes(3) + b"\x07\0\0\0\0\0" + payload)
            case Raw(make=make):
                self.connection.sendall(make(stream))
            case Close(reset=reset):
                if reset:
                    reset_when_closed(self.connection)
                self.ended = True

    def flush(self) -> None:
        if waiting := self.h2.data_to_send():
            self.connection.sendall(waiting)
