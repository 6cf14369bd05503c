"""Interim responses (RFC 9110 15.2), expectations, and answers that come while the request is under way."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.proxy.conftest import MakeOrigin
from tests.support.origin import answer
from tests.support.proxies import Proxy
from tests.support.tunnel import TunnelOrigin, fields_of, read_exactly, read_head

Simple = Callable[..., Proxy]
HINTS = (
    b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n"
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
EXPECT = b"POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
ACCEPTS_10 = {"http_protocol_options": {"accept_http_10": True}}


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], TunnelOrigin]]:
    made: list[TunnelOrigin] = []

    def make(answer: bytes) -> TunnelOrigin:
        made.append(TunnelOrigin(answer))
        return made[-1]

    yield make
    for each in made:
        each.close()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port("l")), 10)


def heads(client: socket.socket, count: int) -> list[bytes]:
    """So many heads, one after the other."""
    data = b""
    while data.count(b"\r\n\r\n") < count:
        more = client.recv(65536)
        assert more, data
        data += more
    return data.split(b"\r\n\r\n")[:count]


def test_early_hints_reach_the_client(simple: Simple, answering: Any) -> None:
    proxy = simple(answering(HINTS + OK).port)
    with connect(proxy) as client:
        client.sendall(GET)
        hints, final = heads(client, 2)
        assert hints.startswith(b"HTTP/1.1 103 ")
        assert fields_of(hints) == {"link": "</style.css>; rel=preload"}
        assert final.startswith(b"HTTP/1.1 200 ")


def test_a_client_of_http_10_gets_the_final_answer_alone(simple: Simple, answering: Any) -> None:
    proxy = simple(answering(HINTS + OK).port, hcm=ACCEPTS_10)
    with connect(proxy) as client:
        client.sendall(b"GET / HTTP/1.0\r\nHost: a.test\r\n\r\n")
        assert read_head(client)[0].split()[1] == b"200"


def test_an_unasked_100_goes_no_further(simple: Simple, answering: Any) -> None:
    proxy = simple(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + OK).port)
    with connect(proxy) as client:
        client.sendall(GET)
        assert read_head(client)[0].split()[1] == b"200"


def test_a_flood_of_interim_responses_is_cut(simple: Simple, answering: Any) -> None:
    proxy = simple(answering(HINTS * 200 + OK).port)
    with connect(proxy) as client:
        client.sendall(GET)
        data = b""
        while more := client.recv(65536):
            data += more
            if b" 502 " in data:
                break
        assert data.count(b"HTTP/1.1 103 ") <= 100
        assert b"HTTP/1.1 502 " in data


def test_an_expectation_is_answered_here(simple: Simple, origin: MakeOrigin) -> None:
    upstream = origin(lambda received: answer(200, received.body))
    proxy = simple(upstream.port)
    with connect(proxy) as client:
        client.sendall(EXPECT)
        assert read_head(client)[0] == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"body")
        assert read_head(client)[0].split()[1] == b"200"
    assert upstream.received[0].header("expect") is None


def test_an_expectation_is_left_to_the_upstream_where_asked(simple: Simple, answering: Any) -> None:
    origin = answering(b"HTTP/1.1 100 Continue\r\n\r\n")
    proxy = simple(origin.port, hcm={"proxy_100_continue": True})
    with connect(proxy) as client:
        client.sendall(EXPECT)
        assert read_head(client)[0] == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert fields_of(origin.heads[0])["expect"] == "100-continue"


def test_events_arrive_one_by_one(simple: Simple, answering: Any) -> None:
    """The origin echoes each piece of an endless request as a piece of an endless response: full duplex."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    proxy = simple(answering(head).port)
    with connect(proxy) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert read_head(client)[0].split()[1] == b"200"
        for number in range(3):
            chunk = b"b\r\ndata: %d 00\n\r\n" % number
            client.sendall(chunk)
            assert read_exactly(client, len(chunk)) == chunk
