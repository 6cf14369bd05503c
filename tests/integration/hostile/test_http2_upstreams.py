"""HTTP/2 upstreams that misbehave: a 502 or an answer seen to break, never a wrong one; others unharmed."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException

import pytest

from tests.integration.http2.stage import http2_cluster
from tests.support import http2_frames as frames
from tests.support.bootstrap import http_listener, route, static, virtual_host
from tests.support.client import Client, request
from tests.support.http2_client import Answer, Http2Client
from tests.support.http2_frames import Code, Header, Kind
from tests.support.http2_origin import (
    Body,
    Close,
    Goaway,
    Head,
    Http2Origin,
    Raw,
    Received,
    Reset,
    Step,
    answer,
)
from tests.support.process import cost
from tests.support.proxies import running

OK: Header = (":status", "200")
OK_BYTES = (b":status", b"200")
_BOMB = frames.block([OK_BYTES]) + frames.inserted(b"x", b"y" * 4000) + frames.indexed(62) * 12_000


def head(*fields: Header, end: bool = False) -> list[Step]:
    return [Head((OK, *fields), end)]


def _raw(make: Callable[[int], bytes]) -> list[Step]:
    return [Raw(make)]


def _fields(*fields: tuple[bytes, bytes]) -> list[Step]:
    return _raw(lambda n: frames.headers(n, fields))


# No whole answer can come of these: the client is told 502, or sees it break.
BROKEN: dict[str, Sequence[Step]] = {
    "no status": [Head((("x-a", "1"),), end=True)],
    "two statuses": [Head((OK, (":status", "404")), end=True)],
    "status of two digits": [Head(((":status", "20"),), end=True)],
    "status of words": [Head(((":status", "200 OK"),), end=True)],
    "status that is none": [Head(((":status", "abc"),), end=True)],
    "status below 100": [Head(((":status", "099"),), end=True)],
    "status 101": _fields((b":status", b"101")),
    "status behind fields": [Head((("x-a", "1"), OK), end=True)],
    "pseudo of requests": head((":path", "/"), end=True),
    "unknown pseudo": head((":unknown", "/"), end=True),
    "upper case": _fields((b":status", b"200"), (b"X-A", b"1")),
    "cr in value": _fields((b":status", b"200"), (b"x-a", b"1\r\nset-cookie: evil")),
    "lf in value": _fields((b":status", b"200"), (b"x-a", b"1\nset-cookie: evil")),
    "nul in value": _fields((b":status", b"200"), (b"x-a", b"1\0")),
    "crlf in name": _fields((b":status", b"200"), (b"x-a: 1\r\nset-cookie", b"evil")),
    "empty name": _fields((b":status", b"200"), (b"", b"1")),
    "connection": head(("connection", "close"), end=True),
    "transfer-encoding": [*head(("transfer-encoding", "chunked")), Body(b"0\r\n\r\n", end=True)],
    "upgrade": head(("upgrade", "h2c"), end=True),
    "more than its length": [*head(("content-length", "3")), Body(b"abcdef", end=True)],
    "less than its length": [*head(("content-length", "10")), Body(b"abc", end=True)],
    "nothing of its length": head(("content-length", "10"), end=True),
    "two lengths": [*head(("content-length", "3"), ("content-length", "4")), Body(b"abc", end=True)],
    "a length that is none": [*head(("content-length", "+3")), Body(b"abc", end=True)],
    "reset at once": [Reset()],
    "reset in the body": [*head(("content-length", "10")), Body(b"abc"), Reset()],
    "reset without length": [*head(), Body(b"abc"), Reset()],
    "cancelled in the body": [*head(), Body(b"abc"), Reset(Code.CANCEL)],
    "reset without error": [*head(), Body(b"abc"), Reset(Code.NO_ERROR)],
    "closed at once": [Close()],
    "closed in the body": [*head(), Body(b"abc"), Close()],
    "torn down in the body": [*head(), Body(b"abc"), Close(reset=True)],
    "goaway and closed": [Goaway(0x7FFFFFFF, Code.INTERNAL_ERROR), Close()],
    "interim that ends": _fields((b":status", b"103")),
    "interim without end": [*[Head(((":status", "103"),))] * 3, Close()],
    "interim flood": [*[Head(((":status", "103"), ("link", "x" * 50)))] * 5000, Close()],
    "data before the head": _raw(lambda n: frames.data(n, b"abc", end=True)),
    "trailers without end": [
        *head(),
        Body(b"abc"),
        Raw(lambda n: frames.headers(n, [(b"x", b"y")], end=False)),
    ],
    "pseudo in trailers": [*head(), Body(b"abc"), Raw(lambda n: frames.headers(n, [(b":status", b"200")]))],
    "crlf in trailers": [*head(), Body(b"abc"), Raw(lambda n: frames.headers(n, [(b"x", b"y\r\nz: 1")]))],
    "push": _raw(lambda n: frames.frame(Kind.PUSH_PROMISE, 4, n, b"\0\0\0\2" + frames.block([OK_BYTES]))),
    "data on stream zero": _raw(lambda _n: frames.data(0, b"abc")),
    "head on an idle stream": _raw(lambda n: frames.headers(n + 200, [OK_BYTES])),
    "continuation of nothing": _raw(lambda n: frames.continuation(n, b"", last=True)),
    "frame in a block": _raw(lambda n: frames.headers(n, [OK_BYTES], flags=0) + frames.ping()),
    "frame too long": _raw(lambda n: frames.data(n, b"x" * 20_000)),
    "bad compression": _raw(lambda n: frames.frame(Kind.HEADERS, 5, n, b"\xff\xff\xff\xff\xff\xff")),
    "head too long": head(("x-large", "x" * 70_000), end=True),
    "too many fields": head(*((f"x-{n}", "1") for n in range(1_500)), end=True),
    "hpack bomb": [
        Raw(lambda n: frames.frame(Kind.HEADERS, 5, n, _BOMB)),
        Close(),
    ],  # behind it the tables would differ
    "endless head": _raw(
        lambda n: frames.headers(n, [OK_BYTES], flags=0) + frames.continuation(n, b"") * 5000
    ),
    "window overflow": _raw(lambda n: frames.window_update(n, 0x7FFFFFFF)),
    "window zero": _raw(lambda n: frames.window_update(n, 0)),
    "bytes that are no frames": _raw(lambda _n: b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" * 3),
}

# These are answers, in a way that asks for care.
WHOLE: dict[str, tuple[Sequence[Step], bytes]] = {
    "goaway behind the head": ([*head(), Goaway(0x7FFFFFFF), Body(b"abc", end=True)], b"abc"),
    "settings in the body": (
        [*head(), Body(b"a"), Raw(lambda _n: frames.settings()), Body(b"bc", end=True)],
        b"abc",
    ),
    "padding": ([*head(), Raw(lambda n: frames.frame(Kind.DATA, 9, n, b"\2abc\0\0"))], b"abc"),
    "unknown frame": (
        [*head(), Raw(lambda n: frames.frame(0xBB, 0, n, b"?")), Body(b"abc", end=True)],
        b"abc",
    ),
    "interim responses": ([*[Head(((":status", "103"),))] * 3, *head(), Body(b"abc", end=True)], b"abc"),
    "reset behind the end": ([*head(), Body(b"abc", end=True), Raw(lambda n: frames.reset(n, 0))], b"abc"),
    "head by continuation": (
        _raw(
            lambda n: (
                frames.frame(Kind.HEADERS, 0, n, frames.block([OK_BYTES])[:4])
                + frames.continuation(n, frames.block([OK_BYTES])[4:], last=True)
                + frames.data(n, b"abc", end=True)
            )
        ),
        b"abc",
    ),
    "set-cookies": ([*head(("set-cookie", "a=1"), ("set-cookie", "b=2")), Body(b"abc", end=True)], b"abc"),
}


@dataclass(frozen=True)
class Stage:
    port: int
    worker: int
    origin: Http2Origin


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    origin = Http2Origin(script)
    action = {"cluster": "origin", "timeout": "2s"}
    hosts = [virtual_host(route({"prefix": "/"}, action))]
    bootstrap = static([http_listener("edge", hosts)], [http2_cluster("origin", origin.port)])
    with running("meshproxy", bootstrap, tmp_path_factory.mktemp("upstreams")) as proxy:
        yield Stage(proxy.port("edge"), proxy.worker(), origin)
    origin.close()


def script(received: Received) -> Sequence[Step]:
    """Plays what the path names; anything else is answered with its own path."""
    name = received.target[1:].replace("_", " ")
    if name in WHOLE:
        return WHOLE[name][0]
    return BROKEN.get(name) or answer(200, received.target.encode())


def target(name: str) -> str:
    return "/" + name.replace(" ", "_")


def over_http1(port: int, path: str) -> Answer:
    """The answer as an HTTP/1 client sees it; `reset` where it was cut short."""
    with Client(port) as client:
        client.send(request("GET", path))
        try:
            while 100 <= (got := client.response()).status < 200:
                pass
        except (OSError, HTTPException):
            return Answer(reset=0)
        return Answer(((":status", str(got.status)), *got.headers), got.body, ended=True)


def over_http2(port: int, path: str) -> Answer:
    with Http2Client(port) as client:
        return client.fetch(path=path)


TALKS = {"http1": over_http1, "http2": over_http2}


@pytest.mark.parametrize("talk", TALKS)
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_seen_as_one(stage: Stage, name: str, talk: str) -> None:
    before = cost(stage.worker).memory
    got = TALKS[talk](stage.port, target(name))
    assert got.status in (502, 503) or got.reset is not None, got
    assert got.header("set-cookie") is None
    assert cost(stage.worker).memory - before < 6 << 20
    assert_unharmed(stage, talk)


@pytest.mark.parametrize("talk", TALKS)
@pytest.mark.parametrize("name", WHOLE)
def test_an_odd_answer_is_whole(stage: Stage, name: str, talk: str) -> None:
    got = TALKS[talk](stage.port, target(name))
    assert (got.status, got.body, got.ended) == (200, WHOLE[name][1], True)
    if name == "set-cookies":
        assert [value for field, value in got.headers if field == "set-cookie"] == ["a=1", "b=2"]
    assert_unharmed(stage, talk)


def assert_unharmed(stage: Stage, talk: str) -> None:
    """Whoever asks next gets the answer to what it asked, and the proxy kept the rules."""
    for path in ("/next", "/after-next"):
        got = TALKS[talk](stage.port, path)
        assert (got.status, got.body) == (200, path.encode())
    # What the origin complains of when it has itself broken them does not count.
    assert [each for each in stage.origin.violations if "Invalid" not in each] == []


def test_a_post_is_never_sent_twice(stage: Stage) -> None:
    for name in ("closed at once", "reset at once", "goaway and closed"):
        stage.origin.received.clear()
        with Http2Client(stage.port) as client:
            assert client.fetch("POST", target(name), body=b"once").status == 503
        assert [received.target for received in stage.origin.received] == [target(name)]


def test_an_upstream_that_never_speaks_is_given_up(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It accepts, and neither SETTINGS nor an answer comes."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        hosts = [virtual_host(route({"prefix": "/"}, {"cluster": "mute", "timeout": "0.5s"}))]
        clusters = [http2_cluster("mute", mute.getsockname()[1])]
        bootstrap = static([http_listener("edge", hosts)], clusters)
        with running("meshproxy", bootstrap, tmp_path_factory.mktemp("mute")) as proxy:
            assert over_http2(proxy.port("edge"), "/").status == 504
