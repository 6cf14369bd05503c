"""HTTP/2 upstreams that take no streams cost no more connections than there are requests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tests.integration.http2.stage import http2_cluster
from tests.support import http2_frames as frames
from tests.support.bootstrap import http_listener, route, static, virtual_host
from tests.support.client import fetch
from tests.support.http2_frames import Code, Kind, Setting
from tests.support.proxies import Proxy, running
from tests.support.server import LoopbackServer
from tests.support.wait import eventually

REQUESTS = 5


@dataclass
class Closed(LoopbackServer):
    """Allows no stream until it is opened; refuses those that come nevertheless."""

    opened: threading.Event = field(default_factory=threading.Event)
    connections: list[socket.socket] = field(default_factory=list)

    def serve(self, connection: socket.socket) -> None:
        self.connections.append(connection)
        reader, said = frames.Reader(), b""
        connection.sendall(frames.settings({Setting.MAX_CONCURRENT_STREAMS: 0}))
        while len(said) < len(frames.PREFACE):
            said += connection.recv(1 << 16)
        said = said[len(frames.PREFACE) :]
        while True:
            for one in reader.feed(said):
                connection.sendall(self._answer(one))
            if not (said := connection.recv(1 << 16)):
                return

    def _answer(self, got: frames.Frame) -> bytes:
        if got.kind == Kind.SETTINGS:
            return b"" if got.flags & frames.ACK else frames.settings(ack=True)
        if got.kind != Kind.HEADERS:
            return b""
        if self.opened.is_set():
            return frames.headers(got.stream, [(b":status", b"200")])
        return frames.reset(got.stream, Code.REFUSED_STREAM)


@pytest.fixture
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Closed]]:
    upstream = Closed()
    listener = http_listener("edge", [virtual_host(route({"prefix": "/"}, "closed"))])
    bootstrap = static([listener], [http2_cluster("closed", upstream.port)])
    with running("meshproxy", bootstrap, tmp_path_factory.mktemp("closed")) as proxy:
        yield proxy, upstream
    upstream.close()


def test_an_upstream_that_takes_no_streams_is_not_flooded_with_connections(
    closed: tuple[Proxy, Closed],
) -> None:
    proxy, upstream = closed
    port = proxy.port("edge")
    with ThreadPoolExecutor(REQUESTS) as pool:
        answers = list(pool.map(lambda _: fetch(port), range(REQUESTS)))
    assert [answer.status for answer in answers] == [503] * REQUESTS
    assert len(upstream.connections) <= REQUESTS
    assert eventually(lambda: proxy.stat("cluster.closed.upstream_cx_active") == 0)
    upstream.opened.set()
    assert fetch(port).status == 200
