"""Client connections: keep-alive, pipelining, bodies both ways, bounded memory, the end of a connection."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.integration.proxy.conftest import MakeOrigin
from tests.support.bootstrap import fault, router
from tests.support.client import Client, fetch, request
from tests.support.origin import Answer, Received, answer
from tests.support.proxies import Proxy
from tests.support.wait import eventually

Simple = Callable[..., Proxy]


def echo(received: Received) -> Answer:
    return answer(200, received.body or received.target.encode())


def chunked(*pieces: bytes, trailers: bytes = b"") -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return body + b"0\r\n" + trailers + b"\r\n"


def test_requests_on_one_connection_share_one_upstream_connection(simple: Simple, origin: MakeOrigin) -> None:
    upstream = origin(echo)
    proxy = simple(upstream.port)
    with Client(proxy.port("l")) as client:
        for turn in range(5):
            client.send(request("GET", f"/{turn}"))
            assert client.response().body == f"/{turn}".encode()
    assert upstream.connections == 1
    assert proxy.stat("cluster.origin.upstream_cx_total") == 1
    assert proxy.stat("cluster.origin.upstream_rq_total") == 5
    assert proxy.stat("http.l.downstream_rq_2xx") == 5


def test_a_body_that_comes_before_its_upstream_waits_and_goes_on(simple: Simple, origin: MakeOrigin) -> None:
    filters = [fault(delay={"fixed_delay": "0.3s", "percentage": {"numerator": 100}}), router()]
    proxy = simple(origin(echo).port, hcm={"http_filters": filters})
    body = bytes(range(256)) * 4000
    with Client(proxy.port("l")) as client:
        client.send(request("POST", "/", body=body))
        assert client.response().body == body


def test_pipelined_requests_are_answered_in_order(simple: Simple, origin: MakeOrigin) -> None:
    upstream = origin(echo)
    proxy = simple(upstream.port)
    with Client(proxy.port("l")) as client:
        client.send(b"".join(request("GET", f"/turn{turn:02}") for turn in range(20)))
        received = b""
        while received.count(b"/turn") < 20:
            received += client.socket.recv(65536)
    assert re.findall(rb"/turn(..)", received) == [f"{turn:02}".encode() for turn in range(20)]


def test_a_chunked_body_arrives_whole_however_it_is_cut(simple: Simple, origin: MakeOrigin) -> None:
    upstream = origin(echo)
    proxy = simple(upstream.port)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    message = head + chunked(b"hello ", b"w" * 300, b"orld")
    with Client(proxy.port("l")) as client:
        for at in range(0, len(message), 7):
            client.send(message[at : at + 7])
        assert client.response().body == b"hello " + b"w" * 300 + b"orld"


def test_a_chunked_response_keeps_its_trailers(simple: Simple, origin: MakeOrigin) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    upstream = origin(lambda _: Answer(head + chunked(b"abc", b"def", trailers=b"X-Sum: 6\r\n")))
    proxy = simple(upstream.port)
    with Client(proxy.port("l")) as client:
        client.send(request())
        raw = b""
        while not raw.endswith(b"\r\n\r\n") or b"x-sum" not in raw:
            raw += client.socket.recv(65536)
    assert b"transfer-encoding: chunked" in raw
    assert raw.endswith(b"0\r\nx-sum: 6\r\n\r\n")


def test_a_large_body_goes_both_ways(simple: Simple, origin: MakeOrigin) -> None:
    upstream = origin(echo)
    proxy = simple(upstream.port)
    body = os.urandom(5_000_000)
    assert fetch(proxy.port("l"), "POST", "/", body=body).body == body


def test_a_client_that_does_not_read_costs_bounded_memory(simple: Simple, origin: MakeOrigin) -> None:
    size = 64 * 1024 * 1024
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()
    upstream = origin(lambda _: Answer(head + b"x" * size))
    proxy = simple(upstream.port)
    clients = [Client(proxy.port("l")) for _ in range(4)]
    for client in clients:
        client.send(request())
        assert client.socket.recv(1, socket.MSG_PEEK)
    before = resident(proxy)
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        assert resident(proxy) - before < 16 * 1024 * 1024
    for client in clients:
        client.socket.close()


def resident(proxy: Proxy) -> int:
    """Bytes of all processes of the proxy together."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        if str(proxy.process.pid) in (fields["Pid"], fields["PPid"]) and "RssAnon" in fields:
            total += int(fields["RssAnon"].split()[0]) * 1024
    return total


def test_expect_continue_is_answered_here(simple: Simple, origin: MakeOrigin) -> None:
    upstream = origin(echo)
    proxy = simple(upstream.port)
    with Client(proxy.port("l")) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert client.socket.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"body")
        assert client.response().body == b"body"
    assert upstream.received[0].header("expect") is None


def test_connection_close_is_honoured(simple: Simple, origin: MakeOrigin) -> None:
    proxy = simple(origin(echo).port)
    with Client(proxy.port("l")) as client:
        client.send(request("GET", "/", ("Connection", "close")))
        assert client.response().header("connection") == "close"
        assert client.closed()


def test_the_last_request_of_a_connection_says_so(simple: Simple, origin: MakeOrigin) -> None:
    limits = {"common_http_protocol_options": {"max_requests_per_connection": 2}}
    proxy = simple(origin(echo).port, hcm=limits)
    with Client(proxy.port("l")) as client:
        client.send(request() + request())
        assert client.response().header("connection") is None
        assert client.response().header("connection") == "close"
        assert client.closed()


def test_http_10_is_refused_unless_accepted(simple: Simple, origin: MakeOrigin) -> None:
    upstream = origin(echo)
    ask = b"GET /old HTTP/1.0\r\nHost: a\r\n\r\n"
    refusing = simple(upstream.port)
    with Client(refusing.port("l")) as client:
        client.send(ask)
        assert client.response().status == 426
    accepting = simple(upstream.port, hcm={"http_protocol_options": {"accept_http_10": True}})
    with Client(accepting.port("l")) as client:
        client.send(ask)
        assert client.response().body == b"/old"
        assert client.closed()


def test_upgrades_are_refused_clearly(simple: Simple, origin: MakeOrigin) -> None:
    upstream = origin(echo)
    proxy = simple(upstream.port)
    wanted = (("Connection", "upgrade"), ("Upgrade", "websocket"))
    assert fetch(proxy.port("l"), "GET", "/", *wanted).status == 403
    assert upstream.received == []


def test_a_request_whose_client_leaves_is_given_up(simple: Simple, origin: MakeOrigin) -> None:
    started = threading.Event()

    def slow(_received: Received) -> Answer:
        started.set()
        return Answer(b"", "close", wait=1.0)

    proxy = simple(origin(slow).port)
    with Client(proxy.port("l")) as client:
        client.send(request())
        assert started.wait(5)
    assert eventually(lambda: proxy.stat("http.l.downstream_rq_rx_reset") == 1)
    assert eventually(lambda: proxy.stat("cluster.origin.upstream_rq_active") == 0)
