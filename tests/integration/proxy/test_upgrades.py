"""Requests that turn their connection into a tunnel, `Upgrade` and CONNECT, beside the real Envoy."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.proxy.conftest import Start
from tests.support.bootstrap import cluster, http_listener, route, static, virtual_host
from tests.support.proxies import Kind, Proxy, running
from tests.support.tunnel import SWITCH, TunnelOrigin, fields_of, read_exactly, read_head
from tests.support.wait import eventually

WEBSOCKET = (
    b"GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CONNECT = b"CONNECT db.test:5432 HTTP/1.1\r\nHost: db.test:5432\r\n\r\n"
FRAMING = {"content-length", "transfer-encoding"}
MAKE_ORIGIN = Callable[..., TunnelOrigin]


@pytest.fixture
def tunnel() -> Iterator[MAKE_ORIGIN]:
    made: list[TunnelOrigin] = []

    def make(*args: Any, **fields: Any) -> TunnelOrigin:
        made.append(TunnelOrigin(*args, **fields))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(params=["meshproxy", "envoy"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    """Starts a proxy whose listener `l` lets websockets through on /, and sends CONNECT as `connect` says."""
    kind: Kind = request.param
    with contextlib.ExitStack() as stack:

        def begin(port: int, connect: dict[str, Any] | None = None, **hcm: Any) -> Proxy:
            routes = [route({"prefix": "/"}, "origin")]
            if connect is not None:
                routes.insert(0, route({"connect_matcher": {}}, {"cluster": "origin", **connect}))
            manager = {"upgrade_configs": [{"upgrade_type": "websocket"}], **hcm}
            listener = http_listener("l", [virtual_host(*routes)], **manager)
            bootstrap = static([listener], [cluster("origin", port)])
            return stack.enter_context(running(kind, bootstrap, tmp_path / kind))

        yield begin


@contextlib.contextmanager
def connected(proxy: Proxy, data: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port("l")), 10) as client:
        client.sendall(data)
        yield client


def test_a_websocket_becomes_a_tunnel(subject: Callable[..., Proxy], tunnel: MAKE_ORIGIN) -> None:
    origin = tunnel()
    proxy = subject(origin.port)
    with connected(proxy, WEBSOCKET) as client:
        head, rest = read_head(client)
        assert head.startswith(b"HTTP/1.1 101 ")
        answer = fields_of(head)
        assert answer["upgrade"] == "websocket"
        assert answer["connection"].lower() == "upgrade"
        assert not FRAMING & set(answer)
        asked = fields_of(origin.heads[0])
        assert asked["upgrade"] == "websocket"
        assert "upgrade" in asked["connection"].lower()
        assert not FRAMING & set(asked)
        for part in (b"GET / HTTP/1.1\r\nHost: evil\r\n\r\n", b"\0" * 100_000, b"end"):
            client.sendall(part)
            assert read_exactly(client, len(part)) == part
        assert rest == b""
        assert proxy.stat("http.l.downstream_cx_upgrades_active") == 1
    assert len(origin.heads) == 1
    assert eventually(lambda: proxy.stat("http.l.downstream_cx_upgrades_active") == 0)
    assert proxy.stat("http.l.downstream_cx_upgrades_total") == 1
    assert eventually(lambda: proxy.stat("cluster.origin.upstream_cx_active") == 0)


def test_the_end_of_the_origin_ends_the_tunnel(subject: Callable[..., Proxy], tunnel: MAKE_ORIGIN) -> None:
    proxy = subject(tunnel(SWITCH + b"bye", hangs_up=True).port)
    with connected(proxy, WEBSOCKET) as client:
        _, rest = read_head(client)
        assert rest + read_exactly(client, 10) == b"bye"


def test_a_refused_upgrade_is_answered_and_ends(subject: Callable[..., Proxy], tunnel: MAKE_ORIGIN) -> None:
    answer = b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno"
    origin = tunnel(answer)
    proxy = subject(origin.port)
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"
    with connected(proxy, WEBSOCKET + smuggled) as client:
        head, rest = read_head(client)
        assert head.startswith(b"HTTP/1.1 426 ")
        assert rest + read_exactly(client, 2 - len(rest)) == b"no"
        assert read_exactly(client, 1) == b""
    assert b"smuggled" not in b"".join(origin.heads + origin.received)


def test_bytes_sent_too_early_wait_for_the_switch(subject: Callable[..., Proxy], tunnel: MAKE_ORIGIN) -> None:
    origin = tunnel()
    proxy = subject(origin.port)
    with connected(proxy, WEBSOCKET + b"early") as client:
        _, rest = read_head(client)
        assert rest + read_exactly(client, 5 - len(rest)) == b"early"


def test_what_is_not_allowed_is_answered_403(subject: Callable[..., Proxy], tunnel: MAKE_ORIGIN) -> None:
    origin = tunnel()
    proxy = subject(origin.port)
    with connected(proxy, WEBSOCKET.replace(b"websocket", b"other")) as client:
        assert read_head(client)[0].startswith(b"HTTP/1.1 403 ")
    assert origin.heads == []
    assert proxy.stat("http.l.downstream_rq_ws_on_non_ws_route") == 1


def test_what_is_offered_in_several_lines_is_one_list(
    subject: Callable[..., Proxy], tunnel: MAKE_ORIGIN
) -> None:
    """RFC 9110 5.3: part of it is not allowed, on whichever line it is."""
    origin = tunnel()
    proxy = subject(origin.port)
    for line in (b"websocket, other", b"websocket\r\nUpgrade: other", b"other\r\nUpgrade: websocket"):
        with connected(proxy, WEBSOCKET.replace(b"websocket", line)) as client:
            assert read_head(client)[0].startswith(b"HTTP/1.1 403 ")
    assert origin.heads == []


def test_a_body_of_no_bytes_is_none(subject: Callable[..., Proxy], tunnel: MAKE_ORIGIN) -> None:
    proxy = subject(tunnel().port)
    with connected(proxy, WEBSOCKET.replace(b"Host", b"Content-Length: 0\r\nHost") + b"early") as client:
        head, rest = read_head(client)
        assert head.startswith(b"HTTP/1.1 101 ")
        assert rest + read_exactly(client, 5 - len(rest)) == b"early"


@pytest.mark.parametrize("line", [b"Content-Length: 3", b"Transfer-Encoding: chunked"])
def test_a_switch_that_announces_a_body_is_none(
    line: bytes, subject: Callable[..., Proxy], tunnel: MAKE_ORIGIN
) -> None:
    """RFC 9110 8.6, RFC 9112 6.1: where the body ends and the new protocol begins, nobody can say."""
    proxy = subject(tunnel(SWITCH.replace(b"Connection", line + b"\r\nConnection")).port)
    with connected(proxy, WEBSOCKET) as client:
        assert read_head(client)[0].startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(
    "switch",
    [
        SWITCH.replace(b"websocket", b"other"),
        SWITCH.replace(b"websocket", b"websocket\r\nUpgrade: other"),
        SWITCH.replace(b"Connection: Upgrade\r\n", b""),
        SWITCH.replace(b"Upgrade: websocket\r\n", b""),
    ],
    ids=["to another", "to two", "without connection", "without upgrade"],
)
def test_a_switch_to_what_nobody_asked_for_is_a_bad_answer(
    switch: bytes, start: Start, tunnel: MAKE_ORIGIN
) -> None:
    """Envoy opens the tunnel, whatever the upstream switches to."""
    listener = http_listener(
        "l",
        [virtual_host(route({"prefix": "/"}, "origin"))],
        upgrade_configs=[{"upgrade_type": "websocket"}],
    )
    proxy = start([listener], [cluster("origin", tunnel(switch).port)])
    with connected(proxy, WEBSOCKET) as client:
        assert read_head(client)[0].startswith(b"HTTP/1.1 502 ")


def test_http2_in_plaintext_is_no_upgrade(subject: Callable[..., Proxy], tunnel: MAKE_ORIGIN) -> None:
    origin = tunnel(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    proxy = subject(origin.port)
    ask = (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABk\r\n\r\n"
    )
    with connected(proxy, ask) as client:
        assert read_head(client)[0].startswith(b"HTTP/1.1 200 ")
    asked = fields_of(origin.heads[0])
    assert not {"upgrade", "http2-settings", "connection"} & set(asked)


def test_connect_that_no_route_takes_is_refused(subject: Callable[..., Proxy], tunnel: MAKE_ORIGIN) -> None:
    origin = tunnel()
    proxy = subject(origin.port)
    with connected(proxy, CONNECT + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") as client:
        head, _ = read_head(client)
        assert head.split()[1] == b"404"
    assert origin.heads == []


def test_connect_passes_to_the_next_proxy(subject: Callable[..., Proxy], tunnel: MAKE_ORIGIN) -> None:
    origin = tunnel(b"HTTP/1.1 200 OK\r\n\r\n")
    proxy = subject(origin.port, connect={}, upgrade_configs=[{"upgrade_type": "CONNECT"}])
    with connected(proxy, CONNECT) as client:
        head, _ = read_head(client)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert not FRAMING & set(fields_of(head))
        client.sendall(b"ping")
        assert read_exactly(client, 4) == b"ping"
    assert origin.heads[0].startswith(b"CONNECT db.test:5432 HTTP/1.1\r\n")


def test_a_refused_connect_is_answered(subject: Callable[..., Proxy], tunnel: MAKE_ORIGIN) -> None:
    origin = tunnel(b"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno")
    proxy = subject(origin.port, connect={}, upgrade_configs=[{"upgrade_type": "CONNECT"}])
    with connected(proxy, CONNECT) as client:
        head, rest = read_head(client)
        assert head.startswith(b"HTTP/1.1 407 ")
        assert rest + read_exactly(client, 2 - len(rest)) == b"no"


def test_connect_ends_here_where_it_is_told_to(subject: Callable[..., Proxy], tunnel: MAKE_ORIGIN) -> None:
    origin = tunnel(b"")
    connect = {"upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}
    proxy = subject(origin.port, connect=connect, upgrade_configs=[{"upgrade_type": "CONNECT"}])
    with connected(proxy, CONNECT) as client:
        head, _ = read_head(client)
        assert head.startswith(b"HTTP/1.1 200 ")
        client.sendall(b"select 1")
        assert read_exactly(client, 8) == b"select 1"
    assert eventually(lambda: origin.received == [b"select 1"])
    assert origin.heads == [b""]


@pytest.mark.parametrize(
    ("version", "begins", "size"),
    [("V1", b"PROXY TCP4 127.0.0.1 127.0.0.1 ", None), ("V2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", 28)],
)
def test_a_terminated_connect_tells_whose_it_is(
    subject: Callable[..., Proxy], tunnel: MAKE_ORIGIN, version: str, begins: bytes, size: int | None
) -> None:
    origin = tunnel(b"")
    ends = {"connect_config": {"proxy_protocol_config": {"version": version}}}
    proxy = subject(
        origin.port,
        connect={"upgrade_configs": [{"upgrade_type": "CONNECT", **ends}]},
        upgrade_configs=[{"upgrade_type": "CONNECT"}],
    )
    with connected(proxy, CONNECT) as client:
        read_head(client)
        client.sendall(b"select 1")
        assert eventually(lambda: b"".join(origin.received).endswith(b"select 1"))
    (got,) = origin.received
    assert got.startswith(begins)
    header = got[:size] if size else got.partition(b"\r\n")[0] + b"\r\n"
    assert got == header + b"select 1"


def test_a_terminated_connect_to_nobody_is_answered_503(
    subject: Callable[..., Proxy], tunnel: MAKE_ORIGIN
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        connect = {"upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}
        proxy = subject(port, connect=connect, upgrade_configs=[{"upgrade_type": "CONNECT"}])
        with connected(proxy, CONNECT) as client:
            assert read_head(client)[0].startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("ask", [WEBSOCKET, CONNECT], ids=["upgrade", "connect"])
def test_either_side_may_end_first(ask: bytes, start: Start, tunnel: MAKE_ORIGIN) -> None:
    """Envoy ends both sides when one does; what the origin still had to say is lost then."""
    opens = SWITCH if ask is WEBSOCKET else b"HTTP/1.1 200 OK\r\n\r\n"
    origin = tunnel(opens, farewell=b"farewell")
    kinds = [{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}]
    routes = [route({"connect_matcher": {}}, "origin"), route({"prefix": "/"}, "origin")]
    listener = http_listener("l", [virtual_host(*routes)], upgrade_configs=kinds)
    proxy = start([listener], [cluster("origin", origin.port)])
    with connected(proxy, ask) as client:
        read_head(client)
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        assert read_exactly(client, 100) == b"last wordsfarewell"
    assert origin.ended == 1
