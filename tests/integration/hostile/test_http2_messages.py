"""Malformed HTTP/2 requests reach no upstream, whatever it speaks; odd lawful ones reach it as they are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.integration.hostile.http2_cases import (
    MALFORMED,
    PLACES,
    PSEUDO,
    SMUGGLED,
    Malformed,
    Place,
)
from tests.integration.hostile.upstream import Upstream
from tests.integration.http2.stage import http2_cluster
from tests.support import http2_frames as frames
from tests.support.bootstrap import cluster, http_listener, route, static, virtual_host
from tests.support.http2_client import RawClient, fetch
from tests.support.http2_origin import Http2Origin, Received
from tests.support.proxies import running

CASES = [case for cases in MALFORMED.values() for case in cases]
# Of a body that comes later than its head, a part or all that the head announces may be upstream already.
SPLIT = [
    case
    for kind in MALFORMED
    if kind not in ("lengths", "trailers")
    for case in MALFORMED[kind]
    if case.fields
]


@dataclass(frozen=True)
class Edge:
    """A listener in front of one upstream that judges what it is sent."""

    port: int
    upstream: Upstream | Http2Origin

    @property
    def requests(self) -> int:
        return len(self.upstream.requests if isinstance(self.upstream, Upstream) else self.upstream.received)


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Edge]]:
    one, two = Upstream(), Http2Origin()
    hosts = {name: [virtual_host(route({"prefix": "/"}, name))] for name in ("http1", "http2")}
    # A refused connection that is held open for its client would only hold up the tests.
    listeners = [http_listener(name, each, delayed_close_timeout="0.1s") for name, each in hosts.items()]
    clusters = [cluster("http1", one.port), http2_cluster("http2", two.port)]
    with running("meshproxy", static(listeners, clusters), tmp_path_factory.mktemp("messages")) as proxy:
        yield {"http1": Edge(proxy.port("http1"), one), "http2": Edge(proxy.port("http2"), two)}
    one.close()
    two.close()


@pytest.fixture(params=["http1", "http2"])
def edge(request: pytest.FixtureRequest, edges: dict[str, Edge]) -> Edge:
    """The upstream has seen nothing."""
    chosen = edges[request.param]
    chosen.upstream.violations.clear()
    if isinstance(chosen.upstream, Upstream):
        chosen.upstream.requests.clear()
        chosen.upstream.truncated = 0
    else:
        chosen.upstream.received.clear()
    return chosen


def send(client: RawClient, stream: int, case: Malformed) -> None:
    more = case.body is not None or case.trailers is not None
    pieces = [frames.headers(stream, case.fields, end=not more)]
    if case.body is not None:
        pieces.append(frames.data(stream, case.body, end=case.trailers is None))
    if case.trailers is not None:
        pieces.append(frames.headers(stream, case.trailers))
    client.send(b"".join(pieces))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_malformed_request_is_refused_and_nothing_goes_upstream(edge: Edge, case: Malformed) -> None:
    with RawClient(edge.port) as client:
        send(client, 1, case)
        answer = client.answer(1, within=5)
        assert answer.reset is not None or client.closed or 400 <= answer.status < 500, answer
        # One bad request is not the fault of the others of its connection.
        if not client.closed and client.goaway is None:
            client.request(3, "/after")
            assert client.answer(3).status == 200
    assert_whole(edge)


@pytest.mark.parametrize("case", SPLIT, ids=str)
def test_a_malformed_request_in_pieces_is_refused_too(edge: Edge, case: Malformed) -> None:
    """The block comes in several frames: what is checked does not hang on its framing."""
    block = frames.block(case.fields)
    cuts = [0, len(block) // 3, 2 * len(block) // 3, len(block)]
    parts = [block[begin:end] for begin, end in itertools.pairwise(cuts)]
    flags = frames.END_STREAM if case.body is None else 0
    with RawClient(edge.port) as client:
        client.send(frames.frame(frames.Kind.HEADERS, flags, 1, parts[0]))
        client.send(frames.continuation(1, parts[1]), frames.continuation(1, parts[2], last=True))
        if case.body is not None:
            client.send(frames.data(1, case.body, end=True))
        answer = client.answer(1, within=5)
        assert answer.reset is not None or client.closed or 400 <= answer.status < 500, answer
    assert_whole(edge)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_every_byte_is_taken_where_it_may_stand_and_nowhere_else(edge: Edge, place: Place) -> None:
    taken = bytes(byte for byte in range(256) if is_taken(edge.port, place.make(bytes([byte]))))
    assert taken == bytes(sorted(place.allowed))
    assert edge.upstream.violations == []
    # Of a request whose trailers are refused the rest may have gone out before.
    assert len(_targets(edge)) == len(taken)


def is_taken(port: int, case: Malformed) -> bool:
    with RawClient(port) as client:
        send(client, 1, case)
        answer = client.answer(1, within=5)
        assert answer.status == 200 or answer.reset == frames.Code.PROTOCOL_ERROR, answer
        return answer.status == 200


LAWFUL = {
    "te trailers": (Malformed("", (*PSEUDO, (b"te", b"trailers")), b"abc"), 3),
    "length of the body": (Malformed("", (*PSEUDO, (b"content-length", b"3")), b"abc"), 3),
    "host that says the same": (Malformed("", (*PSEUDO, (b"host", b"a.test")), b"abc"), 3),
    "host alone": (Malformed("", (*PSEUDO[:2], PSEUDO[3], (b"host", b"a.test")), b"abc"), 3),
    "crumbs": (Malformed("", (*PSEUDO, (b"cookie", b"a=1"), (b"cookie", b"b=2"))), 0),
    "framing in trailers": (
        Malformed("", PSEUDO, b"abc", ((b"content-length", b"9"), (b"host", b"evil.test"), (b"x-t", b"1"))),
        3,
    ),
    "a request in the body": (Malformed("", PSEUDO, b"0\r\n\r\n" + SMUGGLED), 5 + len(SMUGGLED)),
}


@pytest.mark.parametrize("name", LAWFUL)
def test_an_odd_lawful_request_reaches_the_upstream_as_one(edge: Edge, name: str) -> None:
    case, length = LAWFUL[name]
    with RawClient(edge.port) as client:
        send(client, 1, case)
        answer = client.answer(1)
        assert answer.status == 200, answer
    assert edge.upstream.violations == []
    assert _targets(edge) == ["/case"]
    (request,) = edge.upstream.received if isinstance(edge.upstream, Http2Origin) else edge.upstream.requests
    assert len(request.body) == length
    host = request.header(":authority") if isinstance(request, Received) else request.value("host")
    assert host == "a.test"
    fields = request.headers if isinstance(request, Received) else request.fields
    cookies = [value for field, value in fields if field == "cookie"]
    assert "; ".join(cookies) == ("a=1; b=2" if name == "crumbs" else "")
    assert "9" not in [value for field, value in fields if field == "content-length"]


def assert_whole(edge: Edge) -> None:
    """The upstream saw nothing of the case, and a stranger is served by it."""
    assert edge.upstream.violations == []
    before = edge.requests
    assert fetch(edge.port, "GET", "/canary").status == 200
    assert edge.upstream.violations == []
    targets = _targets(edge)
    assert targets[before:] == ["/canary"]
    assert "/smuggled" not in targets
    assert targets[:before] in ([], ["/after"])


def _targets(edge: Edge) -> list[str]:
    if isinstance(edge.upstream, Http2Origin):
        return [received.target for received in edge.upstream.received]
    return [start[1] for start in (m.start for m in edge.upstream.requests) if isinstance(start, tuple)]
