"""Tunnels over HTTP/2 on either side: extended CONNECT (RFC 8441) and CONNECT, beside the real Envoy."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.http2.stage import http2_cluster
from tests.support import http2_frames as frames
from tests.support.bootstrap import Json, cluster, http_listener, route, static, virtual_host
from tests.support.http2_client import RawClient
from tests.support.proxies import Kind, Proxy, running
from tests.support.tunnel import (
    SWITCH,
    Http2TunnelOrigin,
    TunnelOrigin,
    fields_of,
    read_exactly,
    read_head,
)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
WEBSOCKET = (
    f"GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()
EXTENDED = [
    (b":method", b"CONNECT"),
    (b":protocol", b"websocket"),
    (b":scheme", b"http"),
    (b":path", b"/chat"),
    (b":authority", b"a.test"),
    (b"sec-websocket-version", b"13"),
]
CONNECT = [(b":method", b"CONNECT"), (b":authority", b"db.test:5432")]
AGREED = b"HTTP/1.1 200 OK\r\n\r\n"
KINDS = [{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}]


@pytest.fixture(params=["meshproxy", "envoy"])
def subject(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture
def proxy_to(tmp_path: Path, subject: Kind) -> Iterator[Callable[..., Proxy]]:
    """Starts the subject in front of one origin: listener `l`, whose CONNECT is routed as `connect` says."""
    with contextlib.ExitStack() as stack:

        def begin(upstream: Json, connect: dict[str, Any] | None = None) -> Proxy:
            routes = [
                route({"connect_matcher": {}}, {"cluster": "origin", **(connect or {})}),
                route({"prefix": "/"}, "origin"),
            ]
            manager = {"upgrade_configs": KINDS, "http2_protocol_options": {"allow_connect": True}}
            listener = http_listener("l", [virtual_host(*routes)], **manager)
            return stack.enter_context(running(subject, static([listener], [upstream]), tmp_path / subject))

        yield begin


@pytest.fixture
def h1() -> Iterator[Callable[[bytes], TunnelOrigin]]:
    with contextlib.ExitStack() as stack:
        yield lambda answer: stack.enter_context(TunnelOrigin(answer))


@pytest.fixture
def h2() -> Iterator[Http2TunnelOrigin]:
    with Http2TunnelOrigin() as origin:
        yield origin


def upstream_of(origin: Http2TunnelOrigin) -> Json:
    return http2_cluster("origin", origin.port, http2={"allow_connect": True})


def tunnels(client: RawClient, head: list[tuple[bytes, bytes]]) -> None:
    """Opens a tunnel on stream 1 and sends bytes both ways."""
    client.send(frames.headers(1, head, end=False))
    assert client.until(lambda me: me.stream(1).status or me.stream(1).finished)
    assert client.stream(1).status == 200
    said = b"GET / HTTP/1.1\r\n\r\n" + b"\0" * 10_000
    for at in range(0, len(said), 5_000):
        client.send(frames.data(1, said[at : at + 5_000]))
    assert client.until(lambda me: len(me.stream(1).body) >= len(said))
    assert client.stream(1).body == said
    client.send(frames.data(1, b"", end=True))


def converses(client: socket.socket) -> None:
    """Sends bytes both ways through a tunnel that is open."""
    for part in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 10_000):
        client.sendall(part)
        assert read_exactly(client, len(part)) == part


def dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port("l")), 10)


def accept_of(key: str) -> str:
    """RFC 6455 4.2.2."""
    magic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    return base64.b64encode(hashlib.sha1((key + magic).encode()).digest()).decode()


def test_a_websocket_over_http2_reaches_an_origin_of_http1(
    proxy_to: Callable[..., Proxy], h1: Callable[[bytes], TunnelOrigin], subject: Kind
) -> None:
    origin = h1(SWITCH)
    with RawClient(proxy_to(cluster("origin", origin.port)).port("l")) as client:
        tunnels(client, EXTENDED)
    head = origin.heads[0]
    assert head.startswith(b"GET /chat HTTP/1.1\r\n")
    asked = fields_of(head)
    assert asked["upgrade"] == "websocket"
    assert asked["host"] == "a.test"
    if subject == "meshproxy":  # without a key, which HTTP/2 does not have, no origin would agree
        assert len(base64.b64decode(asked["sec-websocket-key"])) == 16


def test_a_websocket_over_http1_reaches_an_origin_of_http2(
    proxy_to: Callable[..., Proxy], h2: Http2TunnelOrigin, subject: Kind
) -> None:
    with dial(proxy_to(upstream_of(h2))) as client:
        client.sendall(WEBSOCKET)
        head, _ = read_head(client)
        assert head.startswith(b"HTTP/1.1 101 ")
        answer = fields_of(head)
        assert answer["upgrade"] == "websocket"
        if subject == "meshproxy":  # a browser insists on it
            assert answer["sec-websocket-accept"] == accept_of(KEY)
        converses(client)
    asked = h2.heads[0]
    assert (asked[":method"], asked[":protocol"], asked[":path"]) == ("CONNECT", "websocket", "/chat")
    assert not {"upgrade", "connection"} & set(asked)
    if subject == "meshproxy":
        assert "sec-websocket-key" not in asked


def test_a_websocket_over_http2_on_both_sides(proxy_to: Callable[..., Proxy], h2: Http2TunnelOrigin) -> None:
    with RawClient(proxy_to(upstream_of(h2)).port("l")) as client:
        tunnels(client, EXTENDED)
        assert client.answer(1).ended
    assert h2.heads[0][":protocol"] == "websocket"
    assert h2.ended == 1


def test_connect_over_http2_passes_to_a_proxy_of_http1(
    proxy_to: Callable[..., Proxy], h1: Callable[[bytes], TunnelOrigin]
) -> None:
    origin = h1(AGREED)
    with RawClient(proxy_to(cluster("origin", origin.port)).port("l")) as client:
        tunnels(client, CONNECT)
    assert origin.heads[0].startswith(b"CONNECT db.test:5432 HTTP/1.1\r\n")


def test_connect_over_http1_passes_to_a_proxy_of_http2(
    proxy_to: Callable[..., Proxy], h2: Http2TunnelOrigin
) -> None:
    with dial(proxy_to(upstream_of(h2))) as client:
        client.sendall(b"CONNECT db.test:5432 HTTP/1.1\r\nHost: db.test:5432\r\n\r\n")
        assert read_head(client)[0].startswith(b"HTTP/1.1 200 ")
        converses(client)
    assert {k: v for k, v in h2.heads[0].items() if k.startswith(":")} == {
        ":method": "CONNECT",
        ":authority": "db.test:5432",
    }


def test_connect_over_http2_ends_here_where_it_is_told_to(
    proxy_to: Callable[..., Proxy], h1: Callable[[bytes], TunnelOrigin]
) -> None:
    origin = h1(b"")
    ends = {"upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}
    with RawClient(proxy_to(cluster("origin", origin.port), ends).port("l")) as client:
        tunnels(client, CONNECT)
        assert client.answer(1).ended
    assert origin.heads == [b""]


@pytest.mark.parametrize("head", [EXTENDED, CONNECT], ids=["extended", "connect"])
def test_a_client_that_has_nothing_to_say_only_listens(
    proxy_to: Callable[..., Proxy], h2: Http2TunnelOrigin, head: list[tuple[bytes, bytes]]
) -> None:
    """END_STREAM with the head is the end of its side of the tunnel."""
    with RawClient(proxy_to(upstream_of(h2)).port("l")) as client:
        client.send(frames.headers(1, head))
        answer = client.answer(1)
        assert (answer.status, answer.ended) == (200, True)
    assert h2.ended == 1


def test_an_agreement_without_content_opens_a_tunnel(
    proxy_to: Callable[..., Proxy], h2: Http2TunnelOrigin, subject: Kind
) -> None:
    """RFC 9110 9.3.6: any 2xx does, and what follows is no content of it."""
    if subject == "envoy":
        pytest.skip("Envoy resets a 204 that has DATA behind it, to CONNECT too")
    h2.status = 204
    with RawClient(proxy_to(upstream_of(h2)).port("l")) as client:
        client.send(frames.headers(1, CONNECT, end=False), frames.data(1, b"select"))
        assert client.until(lambda me: me.stream(1).body == b"select"), client.stream(1)


def test_an_origin_that_refuses_is_heard(
    proxy_to: Callable[..., Proxy], h1: Callable[[bytes], TunnelOrigin]
) -> None:
    origin = h1(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
    with RawClient(proxy_to(cluster("origin", origin.port)).port("l")) as client:
        client.send(frames.headers(1, EXTENDED, end=False))
        answer = client.answer(1)
        assert (answer.status, answer.body) == (403, b"no")


def resets(connection: socket.socket) -> None:
    """Ends a connection without good order."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("subject", ["meshproxy"], indirect=True)
@pytest.mark.parametrize(
    ("head", "agrees", "code"),
    [(EXTENDED, SWITCH, frames.Code.CANCEL), (CONNECT, AGREED, frames.Code.CONNECT_ERROR)],
    ids=["extended", "connect"],
)
def test_an_origin_that_breaks_off_resets_the_stream(
    proxy_to: Callable[..., Proxy], head: list[tuple[bytes, bytes]], agrees: bytes, code: frames.Code
) -> None:
    """RFC 8441 5 and RFC 9113 8.5 say with which code; Envoy has one for both."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        proxy = proxy_to(cluster("origin", listening.getsockname()[1]))
        with RawClient(proxy.port("l")) as client:
            client.send(frames.headers(1, head, end=False))
            origin, _ = listening.accept()
            read_head(origin)
            origin.sendall(agrees + b"half")
            assert client.until(lambda me: me.stream(1).body == b"half")
            resets(origin)
            assert client.answer(1).reset == code


@pytest.mark.parametrize("subject", ["meshproxy"], indirect=True)
@pytest.mark.parametrize(
    ("head", "agrees"), [(EXTENDED, SWITCH), (CONNECT, AGREED)], ids=["extended", "connect"]
)
@pytest.mark.parametrize("leaves", ["stream", "connection"])
def test_a_client_that_breaks_off_resets_the_origin(
    proxy_to: Callable[..., Proxy], head: list[tuple[bytes, bytes]], agrees: bytes, leaves: str
) -> None:
    """RFC 9113 8.5: what it has sent so far must not look like all of it; Envoy ends it in good order."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        proxy = proxy_to(cluster("origin", listening.getsockname()[1]))
        with RawClient(proxy.port("l")) as client:
            client.send(frames.headers(1, head, end=False), frames.data(1, b"half"))
            origin, _ = listening.accept()
            read_head(origin)
            origin.sendall(agrees)
            assert read_exactly(origin, 4) == b"half"
            client.send(frames.reset(1)) if leaves == "stream" else client.socket.close()
            with pytest.raises(ConnectionResetError):
                origin.recv(1)
            origin.close()
