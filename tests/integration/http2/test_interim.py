"""Interim responses cross from either version of HTTP to the other."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.http2.stage import http2_cluster
from tests.support.bootstrap import Json, cluster, http_listener, route, static, virtual_host
from tests.support.http2_client import RawClient
from tests.support.http2_origin import Head, Http2Origin, answer
from tests.support.proxies import Proxy, running
from tests.support.tunnel import TunnelOrigin, fields_of, read_head

LINK = "</style.css>; rel=preload"
HTTP1 = (
    f"HTTP/1.1 103 Early Hints\r\nLink: {LINK}\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".encode()
)


@pytest.fixture(params=["http1", "http2"])
def upstream(request: pytest.FixtureRequest) -> Iterator[Json]:
    if request.param == "http1":
        with TunnelOrigin(HTTP1) as origin:
            yield cluster("origin", origin.port)
    else:
        hints = Head(((":status", "103"), ("link", LINK)))
        with Http2Origin(lambda _received: [hints, *answer()]) as modern:
            yield http2_cluster("origin", modern.port)


@pytest.fixture
def proxy(upstream: Json, tmp_path: Path) -> Iterator[Proxy]:
    listener = http_listener("l", [virtual_host(route({"prefix": "/"}, "origin"))])
    with running("meshproxy", static([listener], [upstream]), tmp_path) as one:
        yield one


def test_hints_reach_a_client_of_http2(proxy: Proxy) -> None:
    with RawClient(proxy.port("l")) as client:
        client.request()
        heard = client.answer()
        assert [dict(head) for head in heard.interim] == [{":status": "103", "link": LINK}]
        assert (heard.status, heard.body) == (200, b"ok")


def test_hints_reach_a_client_of_http1(proxy: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port("l")), 10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        head, rest = read_head(client)
        assert head.startswith(b"HTTP/1.1 103 ")
        assert fields_of(head) == {"link": LINK}
        while b"\r\n\r\nok" not in rest:
            more = client.recv(1024)
            assert more, rest
            rest += more
        assert rest.startswith(b"HTTP/1.1 200 ")
