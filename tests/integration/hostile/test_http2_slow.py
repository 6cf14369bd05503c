"""HTTP/2 clients that take their time, or never read: cut within the limits set, at a bounded cost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest

from tests.integration.hostile.upstream import Reply, Upstream, echo
from tests.support import http2_frames as frames
from tests.support.bootstrap import cluster, http_listener, route, static, virtual_host
from tests.support.http2_client import Http2Client, RawClient, fetch, request_fields
from tests.support.http2_frames import Kind, Setting
from tests.support.process import cost
from tests.support.proxies import running

# Every limit is below this; what is not cut by then is not cut.
PATIENCE = 5.0
PACE = 0.05
TIMEOUTS = {
    "request_headers_timeout": "0.6s",
    "stream_idle_timeout": "0.6s",
    "common_http_protocol_options": {"idle_timeout": "0.6s"},
    "drain_timeout": "0.1s",
    "delayed_close_timeout": "0.1s",
}
BEGUN = frames.PREFACE + frames.settings()
GET = frames.block(request_fields("GET", "/slow"))
HUGE = 8 << 20


@dataclass(frozen=True)
class Stage:
    port: int
    worker: int
    upstream: Upstream


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    huge = Reply(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HUGE + bytes(HUGE))
    upstream = Upstream(script=lambda message: huge if message.start == ("GET", "/huge") else echo(message))
    listener = http_listener("edge", [virtual_host(route({"prefix": "/"}, "upstream"))], **TIMEOUTS)
    bootstrap = static([listener], [cluster("upstream", upstream.port)])
    with running("meshproxy", bootstrap, tmp_path_factory.mktemp("slow")) as proxy:
        yield Stage(proxy.port("edge"), proxy.worker(), upstream)
    upstream.close()


def seconds_until_cut(port: int, start: bytes, drip: Iterable[bytes]) -> float:
    pieces = iter(drip)
    with RawClient(port, preface=False) as client:
        began = time.monotonic()
        client.send(start)
        while time.monotonic() - began < PATIENCE:
            client.cut(PACE)
            if client.closed or not client.send(next(pieces, b"")):
                return time.monotonic() - began
    raise AssertionError(f"still open after {PATIENCE} s")


SLOW: dict[str, tuple[bytes, Iterable[bytes]]] = {
    "half a preface": (frames.PREFACE[:10], []),
    "a preface by bytes": (b"", (frames.PREFACE[n : n + 1] for n in range(len(frames.PREFACE)))),
    "no settings": (frames.PREFACE, []),
    "nothing behind the settings": (BEGUN, []),
    "pings": (BEGUN, (frames.ping() for _ in range(1_000))),
    "half a frame": (BEGUN + b"\0\0\x20\x01", []),
    "a head without end": (BEGUN + frames.frame(Kind.HEADERS, frames.END_STREAM, 1, GET), []),
    "a head by bytes": (
        BEGUN + frames.frame(Kind.HEADERS, frames.END_STREAM | frames.END_HEADERS, 1, b"", length=900),
        (b"\0" for _ in range(1_000)),
    ),
    "a head by continuations": (
        BEGUN + frames.frame(Kind.HEADERS, frames.END_STREAM, 1, GET),
        (frames.continuation(1, frames.block([(b"x", b"y")])) for _ in range(1_000)),
    ),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_client_is_cut(impatient: Stage, name: str) -> None:
    impatient.upstream.requests.clear()
    start, drip = SLOW[name]
    assert 0.3 < seconds_until_cut(impatient.port, start, drip) < 3.0
    assert impatient.upstream.requests == []
    assert fetch(impatient.port).status == 200


def test_a_stalled_body_ends_its_stream_alone(impatient: Stage) -> None:
    with Http2Client(impatient.port) as client:
        began = time.monotonic()
        stalled = client.request("POST", "/stalled", body=b"half", end=False)
        while not client.answers[stalled].finished:
            assert client.fetch(path="/beside").status == 200
            assert time.monotonic() - began < PATIENCE
            time.sleep(PACE)  # a neighbour's pace
        answer = client.answers[stalled]
        assert answer.status in (0, 408, 504)
        assert time.monotonic() - began > 0.3
        assert client.fetch(path="/beside").status == 200


def test_an_answer_that_is_not_read_ends_its_stream_alone(impatient: Stage) -> None:
    with RawClient(impatient.port, settings={Setting.INITIAL_WINDOW_SIZE: 0}) as client:
        client.request(1, "/unread")
        answer = client.answer(1, PATIENCE)
        assert answer.status == 200
        assert answer.body == b""
        assert answer.reset is not None
    assert fetch(impatient.port).status == 200


@pytest.mark.parametrize("window", [0, 1, 65_535, 0x7FFFFFFF], ids=str)
def test_readers_that_stop_hold_no_more_than_their_buffers(impatient: Stage, window: int) -> None:
    """Fifty answers of 8 MiB each, of which the client takes what its windows say, or nothing."""
    before = cost(impatient.worker).memory
    with RawClient(impatient.port, settings={Setting.INITIAL_WINDOW_SIZE: window}) as client:
        if window:
            client.send(frames.window_update(0, 0x7FFFFFFF - 65_535))
        for stream in range(1, 101, 2):
            client.request(stream, "/huge")
        if window < 2:
            # Reads all there is, which is next to nothing.
            client.until(lambda me: all(me.stream(n).finished for n in range(1, 101, 2)), PATIENCE)
        else:
            time.sleep(0.5)  # time enough to buffer what one must not
        held = cost(impatient.worker).memory - before
        assert held < 24 << 20
    assert fetch(impatient.port).status == 200
