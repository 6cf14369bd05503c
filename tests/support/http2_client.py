"""HTTP/2 clients: `RawClient` sends any frames at all, `Http2Client` keeps all rules, by the h2 library."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack

from tests.support import http2_frames as frames
from tests.support.http2_frames import Frame, Header, Kind, text

PATIENCE = 10.0


def request_fields(
    method: str = "GET", path: str = "/", *fields: Header, authority: str = "a.test", scheme: str = "http"
) -> list[tuple[bytes, bytes]]:
    """The pseudo-header fields of a request in their usual order, then `fields`."""
    pseudo = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in [*pseudo, *fields]]


def client_tls(root: str | None = None, *, alpn: Sequence[str] = ("h2",)) -> ssl.SSLContext:
    """A client's context that trusts the PEM text `root`, or whatever the server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE if root is None else ssl.CERT_REQUIRED
    if root is not None:
        context.load_verify_locations(cadata=root)
    context.set_alpn_protocols(list(alpn))
    return context


def connect(port: int, tls: ssl.SSLContext | None, name: str = "a.test") -> socket.socket:
    plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(plain, server_hostname=name) if tls else plain


@dataclass
class Answer:
    """What came on one stream; names and values as text, pseudo-header fields among `headers`."""

    headers: tuple[Header, ...] = ()
    body: bytes = b""
    trailers: tuple[Header, ...] | None = None
    interim: list[tuple[Header, ...]] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        """0 as long as there is no final response."""
        return int(dict(self.headers).get(":status", "0"))

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name]
        return ",".join(values) if values else None

    @property
    def finished(self) -> bool:
        return self.ended or self.reset is not None

    def take(self, fields: tuple[Header, ...]) -> None:
        """Head, interim head or trailers, by what has come before."""
        if self.headers:
            self.trailers = fields
        elif dict(fields).get(":status", "").startswith("1"):
            self.interim.append(fields)
        else:
            self.headers = fields


class RawClient:
    """One connection whose client says what a test tells it to, and takes down what it is told.

    It gives no windows back, but acknowledges SETTINGS; without `preface` it sends nothing unasked.
    """

    def __init__(
        self,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        preface: bool = True,
        settings: Mapping[int, int] | None = None,
    ) -> None:
        self.socket = connect(port, tls)
        self.answers: dict[int, Answer] = {}
        self.goaway: Frame | None = None
        self.closed = False
        self.sent = 0
        self._reader = frames.Reader()
        self._decoder = hpack.Decoder(max_header_list_size=1 << 20)
        self._block: tuple[int, bytes, bool] = (0, b"", False)
        self._acknowledges = preface
        if preface:
            self.send(frames.PREFACE + frames.settings(settings))

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> bool:
        """False when the proxy has closed the connection."""
        try:
            for piece in pieces:
                self.socket.sendall(piece)
                self.sent += len(piece)
        except (ConnectionError, ssl.SSLError):
            return False
        return True

    def request(
        self, stream: int = 1, path: str = "/", *fields: Header, method: str = "GET", end: bool = True
    ) -> bool:
        return self.send(frames.headers(stream, request_fields(method, path, *fields), end=end))

    def receive(self, timeout: float = PATIENCE) -> Iterator[Frame]:
        """The frames of one read; none at a timeout or once the connection is closed."""
        pending = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()
        if self.closed or not (pending or select.select([self.socket], [], [], max(timeout, 0))[0]):
            return
        try:
            received = self.socket.recv(1 << 16)
        except (ConnectionError, ssl.SSLError):
            received = b""
        self.closed = not received
        for each in self._reader.feed(received):
            self._note(each)
            yield each

    def until(self, happened: Callable[[RawClient], object], within: float = PATIENCE) -> bool:
        """Reads until `happened`; false when the time or the connection ends before it did."""
        deadline = time.monotonic() + within
        while not happened(self):
            if self.closed or time.monotonic() > deadline:
                return bool(happened(self))
            for _frame in self.receive(deadline - time.monotonic()):
                pass
        return True

    def answer(self, stream: int = 1, within: float = PATIENCE) -> Answer:
        """What has come on a stream once it is finished, or the connection, or the time is over."""
        self.until(lambda me: me.stream(stream).finished, within)
        return self.stream(stream)

    def stream(self, stream: int) -> Answer:
        return self.answers.setdefault(stream, Answer())

    def settled(self, within: float = PATIENCE) -> bool:
        """True when the proxy answers a PING: it has dealt with all that was sent before, and lives on."""
        seen: list[bytes] = []
        token = self.sent.to_bytes(8)
        deadline = time.monotonic() + within
        self.send(frames.ping(token))
        while not self.closed and token not in seen and time.monotonic() < deadline:
            seen += [f.payload for f in self.receive(deadline - time.monotonic()) if f.kind == Kind.PING]
        return token in seen

    def cut(self, within: float = PATIENCE) -> bool:
        """True once the proxy has closed the connection."""
        return self.until(lambda me: me.closed, within)

    def _note(self, got: Frame) -> None:
        answer = self.stream(got.stream)
        match got.kind:
            case Kind.SETTINGS if self._acknowledges and not got.flags & frames.ACK:
                self.send(frames.settings(ack=True))
            case Kind.GOAWAY:
                self.goaway = got
            case Kind.RST_STREAM:
                answer.reset = got.code
            case Kind.DATA:
                answer.body += _unpadded(got)
                answer.ended = bool(got.flags & frames.END_STREAM)
            case Kind.HEADERS | Kind.CONTINUATION:
                self._fields(got)

    def _fields(self, got: Frame) -> None:
        _stream, begun, end = self._block
        if got.kind == Kind.HEADERS:
            begun, end = b"", bool(got.flags & frames.END_STREAM)
        self._block = (got.stream, begun + _unpadded(got), end)
        if got.flags & frames.END_HEADERS:
            answer = self.stream(got.stream)
            answer.take(text(self._decoder.decode(self._block[1], raw=True)))
            answer.ended = end


def _unpadded(got: Frame) -> bytes:
    payload = got.payload
    if got.kind != Kind.CONTINUATION and got.flags & frames.PADDED:
        payload = payload[1 : len(payload) - payload[0]]
    if got.kind == Kind.HEADERS and got.flags & frames.WITH_PRIORITY:
        payload = payload[5:]
    return payload


class Http2Client:
    """One connection that keeps all rules; many requests at a time. A breach by the proxy raises h2's error.

    Windows are given back as bytes arrive, unless `reads` is set to false.
    """

    def __init__(
        self,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        name: str = "a.test",
        settings: Mapping[int, int] | None = None,
    ) -> None:
        self.socket = connect(port, tls, name)
        self.scheme = "https" if tls else "http"
        config = h2.config.H2Configuration(client_side=True, header_encoding="latin-1")
        self.h2 = h2.connection.H2Connection(config)
        given: dict[h2.settings.SettingCodes | int, int] = dict(self.h2.local_settings)
        given |= {h2.settings.SettingCodes(k): v for k, v in (settings or {}).items()}
        # Not `update`, which has effect from the acknowledgement on: the first SETTINGS would not say it.
        self.h2.local_settings = h2.settings.Settings(client=True, initial_values=given)  # type: ignore[arg-type]
        self.h2.initiate_connection()
        self.answers: dict[int, Answer] = {}
        self.goaway: h2.events.ConnectionTerminated | None = None
        self.closed = False
        self.reads = True
        self.flush()

    def __enter__(self) -> Http2Client:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        if waiting := self.h2.data_to_send():
            self.socket.sendall(waiting)

    def request(
        self,
        method: str = "GET",
        path: str = "/",
        *fields: Header,
        body: bytes = b"",
        trailers: Sequence[Header] = (),
        authority: str = "a.test",
        end: bool = True,
    ) -> int:
        """Sends a whole request (without `end`: its head and the body so far) and gives its stream."""
        stream = self.h2.get_next_available_stream_id()
        head = request_fields(method, path, *fields, authority=authority, scheme=self.scheme)
        self.h2.send_headers(stream, head, end_stream=end and not body and not trailers)
        self.answers[stream] = Answer()
        if body:
            self.send(stream, body, end=end and not trailers)
        if trailers:
            self.h2.send_headers(stream, list(trailers), end_stream=True)
        self.flush()
        return stream

    def send(self, stream: int, body: bytes = b"", *, end: bool = False) -> None:
        """Sends more of a body, as the windows allow."""
        sent = 0
        while sent < len(body):
            if self.answers[stream].reset is not None:
                return
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room > 0:
                last = sent + room >= len(body)
                self.h2.send_data(stream, body[sent : sent + room], end_stream=end and last)
                sent += room
            self.flush()
            if room <= 0:
                self.receive()
        if end and not body:
            self.h2.end_stream(stream)
        self.flush()

    def reset(self, stream: int, code: int = frames.Code.CANCEL) -> None:
        self.h2.reset_stream(stream, code)
        self.flush()

    def receive(self, timeout: float = PATIENCE) -> None:
        """Takes what arrives in one read. Raises TimeoutError when there is nothing in time."""
        self.socket.settimeout(max(timeout, 0.001))
        try:
            received = self.socket.recv(1 << 16)
        except ConnectionError:
            received = b""
        self.socket.settimeout(PATIENCE)
        self.closed = not received
        for event in self.h2.receive_data(received):
            self._note(event)
        if not self.closed:
            self.flush()

    def answer(self, stream: int, within: float = PATIENCE) -> Answer:
        """The answer of a stream once it is finished. Raises EOFError when the connection ended before it."""
        self.until(lambda me: me.answers[stream].finished, within)
        return self.answers[stream]

    def until(self, happened: Callable[[Http2Client], object], within: float = PATIENCE) -> None:
        """Reads until `happened`. Raises EOFError at the end of the connection, TimeoutError of time."""
        deadline = time.monotonic() + within
        while not happened(self):
            if self.closed:
                raise EOFError(f"the connection ended: {self.goaway}")
            self.receive(deadline - time.monotonic())

    def fetch(self, method: str = "GET", path: str = "/", *fields: Header, body: bytes = b"") -> Answer:
        return self.answer(self.request(method, path, *fields, body=body))

    def _note(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.InformationalResponseReceived() | h2.events.ResponseReceived():
                self.answers[event.stream_id].take(text(event.headers))
            case h2.events.TrailersReceived():
                self.answers[event.stream_id].trailers = text(event.headers)
            case h2.events.DataReceived():
                self.answers[event.stream_id].body += event.data
                if self.reads and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.answers[event.stream_id].ended = True
            case h2.events.StreamReset() if event.stream_id in self.answers:
                self.answers[event.stream_id].reset = int(event.error_code or 0)
            case h2.events.ConnectionTerminated():
                self.goaway = event


def fetch(
    port: int,
    method: str = "GET",
    path: str = "/",
    *fields: Header,
    body: bytes = b"",
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """One request on a connection of its own."""
    with Http2Client(port, tls=tls) as client:
        return client.fetch(method, path, *fields, body=body)
