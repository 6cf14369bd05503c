"""Upstreams that flood the proxy: their connection is cut, or they pay more, and other requests go on."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.integration.hostile.flooding import Outcome, Stage, table
from tests.integration.hostile.upstream import Upstream
from tests.integration.http2.stage import http2_cluster
from tests.support import http2_frames as frames
from tests.support.bootstrap import cluster, http_listener, route, static, virtual_host
from tests.support.client import Client, request
from tests.support.http2_frames import END_HEADERS, END_STREAM, Kind, Setting
from tests.support.proxies import running
from tests.support.server import LoopbackServer
from tests.support.wait import eventually

SECONDS = 1.0
WRITE = 65_536
PROMISE = b"\0\0\0\2"
OK = [(b":status", b"200")]
EARLY = [(b":status", b"103"), (b"link", b"x" * 20)]
HEAD = frames.headers(1, OK, end=False)
UNFINISHED = frames.headers(1, OK, flags=0, end=False)
_STUFFED = frames.block([(b":status", b"103")]) + frames.inserted(b"x", b"y" * 4000)


@dataclass(frozen=True)
class Flood:
    """`piece` is sent over and over behind `opening`, as the answer to the first request of a connection."""

    piece: bytes
    opening: bytes = b""


HTTP2: dict[str, Flood] = {
    "settings": Flood(frames.settings({Setting.INITIAL_WINDOW_SIZE: 70_000})),
    "empty settings": Flood(frames.settings()),
    "table sizes": Flood(
        frames.settings({Setting.HEADER_TABLE_SIZE: 0}) + frames.settings({Setting.HEADER_TABLE_SIZE: 65_536})
    ),
    "windows that change": Flood(
        frames.settings({Setting.INITIAL_WINDOW_SIZE: 0})
        + frames.settings({Setting.INITIAL_WINDOW_SIZE: 0x7FFFFFFF})
    ),
    "settings acknowledgements": Flood(frames.settings(ack=True)),
    "ping": Flood(frames.ping()),
    "ping acknowledgements": Flood(frames.ping(ack=True)),
    "empty data": Flood(frames.data(1), HEAD),
    "data of padding": Flood(frames.frame(Kind.DATA, frames.PADDED, 1, b"\x0f" + b"\0" * 15), HEAD),
    "data on a closed stream": Flood(frames.data(1, b"x"), frames.headers(1, OK)),
    "interim heads": Flood(frames.headers(1, EARLY, end=False)),
    "promises": Flood(frames.frame(Kind.PUSH_PROMISE, END_HEADERS, 1, PROMISE + frames.block(OK)), HEAD),
    "goaway": Flood(frames.goaway(0x7FFFFFFF), HEAD),
    "resets": Flood(frames.reset(1), HEAD),
    "window updates": Flood(frames.window_update(0, 1), HEAD),
    "window updates of a stream": Flood(frames.window_update(1, 1), HEAD),
    "priority": Flood(frames.priority(1), HEAD),
    "unknown frames": Flood(frames.frame(0xBB, 0xFF, 0, b""), HEAD),
    "continuation": Flood(frames.continuation(1, frames.block([(b"x", b"y" * 90)])), UNFINISHED),
    "empty continuation": Flood(frames.continuation(1), UNFINISHED),
    "hpack bomb": Flood(
        frames.frame(
            Kind.HEADERS,
            END_HEADERS | END_STREAM,
            1,
            frames.block(OK) + frames.inserted(b"x", b"y" * 4000) + frames.indexed(62) * 12_000,
        )
    ),
    "table thrash": Flood(frames.frame(Kind.HEADERS, END_HEADERS, 1, _STUFFED)),
}

_OK1 = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK1 + b"Transfer-Encoding: chunked\r\n\r\n"
HTTP1: dict[str, Flood] = {
    "interim heads": Flood(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
    "continues": Flood(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a status line without end": Flood(b"x" * 100, b"HTTP/1.1 200 "),
    "a head without end": Flood(b"X-Header: value\r\n", _OK1),
    "a value without end": Flood(b"x" * 100, _OK1 + b"X: "),
    "empty lines": Flood(b"\r\n"),
    "an extension without end": Flood(b"x" * 100, _CHUNKED + b"1;"),
    "extensions": Flood(b"1;" + b"x" * 60 + b"\r\ny\r\n", _CHUNKED),
    "a chunk size of zeros": Flood(b"0" * 100, _CHUNKED),
    "trailers without end": Flood(b"X-Trailer: value\r\n", _CHUNKED + b"0\r\n"),
    "answers that nobody asked for": Flood(_OK1 + b"Content-Length: 0\r\n\r\n"),
    "excess": Flood(b"x" * 100, _OK1 + b"Content-Length: 1\r\n\r\n"),
}


@dataclass
class Flooder(LoopbackServer):
    """Plays one flood to each connection, as soon as there is a request on it."""

    answers: Callable[[socket.socket], None]
    flood: Flood = field(default_factory=lambda: Flood(b""))
    outcomes: list[Outcome] = field(default_factory=list)

    def serve(self, connection: socket.socket) -> None:
        connection.settimeout(SECONDS)
        many = self.flood.piece * max(1, WRITE // len(self.flood.piece))
        cut = False
        with contextlib.suppress(TimeoutError):
            try:
                self.answers(connection)
                began, began_cpu = time.monotonic(), time.thread_time()
                connection.sendall(self.flood.opening)
                while time.monotonic() - began < SECONDS:
                    connection.sendall(many)
            except ConnectionError:
                cut = True
        self.outcomes.append(Outcome(cut, time.monotonic() - began, time.thread_time() - began_cpu))


def await_request(connection: socket.socket) -> None:
    while b"\r\n\r\n" not in connection.recv(1 << 16):
        pass


def await_stream(connection: socket.socket) -> None:
    """The preface, and a head."""
    reader = frames.Reader()
    said = b""
    while len(said) < len(frames.PREFACE):
        said += connection.recv(1 << 16)
    connection.sendall(frames.settings() + frames.settings(ack=True))
    seen = list(reader.feed(said[len(frames.PREFACE) :]))
    while not any(one.kind == Kind.HEADERS for one in seen):
        seen += reader.feed(connection.recv(1 << 16))


@dataclass(frozen=True)
class Flooded:
    stage: Stage
    flooders: dict[str, Flooder]

    def attack(self, kind: str, flood: Flood) -> Callable[[int], Outcome]:
        flooder = self.flooders[kind]
        flooder.flood = flood

        def run(port: int) -> Outcome:
            flooder.outcomes.clear()
            with Client(port, timeout=SECONDS * 3) as client:
                client.send(request("GET", f"/{kind}"))
                assert eventually(lambda: bool(flooder.outcomes), SECONDS * 4)
            return flooder.outcomes[0]

        return run


@pytest.fixture(scope="module")
def flooded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flooded]:
    quiet = Upstream()
    flooders = {"http1": Flooder(await_request), "http2": Flooder(await_stream)}
    hosts = [
        virtual_host(*(route({"prefix": f"/{kind}"}, kind) for kind in flooders), route({"prefix": "/"}, "q"))
    ]
    clusters = [
        cluster("http1", flooders["http1"].port),
        http2_cluster("http2", flooders["http2"].port),
        cluster("q", quiet.port),
    ]
    bootstrap = static([http_listener("edge", hosts)], clusters)
    with running("meshproxy", bootstrap, tmp_path_factory.mktemp("upstreams")) as proxy:
        yield (made := Flooded(Stage(proxy), flooders))
        print(table("floods by upstreams", made.stage))
    quiet.close()
    for flooder in flooders.values():
        flooder.close()


CASES = [("http1", name) for name in HTTP1] + [("http2", name) for name in HTTP2]


@pytest.mark.parametrize(("kind", "name"), CASES, ids=lambda value: value)
def test_a_flood_by_an_upstream_is_cut_or_costs_it_more(flooded: Flooded, kind: str, name: str) -> None:
    flood = (HTTP1 if kind == "http1" else HTTP2)[name]
    flooded.stage.assert_bounded(f"{kind}: {name}", flooded.attack(kind, flood))
    flooded.stage.assert_nothing_left()
