"""Clients that do not read: what waits for them is bounded in bytes and in time, and goes on when they do."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterator

import pytest

from tests.integration.hostile.conversation import assert_unharmed
from tests.integration.hostile.upstream import Reply, Upstream, echo
from tests.support.bootstrap import cluster, direct, http_listener, route, static, virtual_host
from tests.support.process import descendants
from tests.support.proxies import Proxy, running
from tests.support.wait import until

PATIENCE = 10.0
BODY = "x" * 4000
LOCAL = b"GET /local HTTP/1.1\r\nHost: a\r\n\r\n"
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def proxy(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    hosts = [virtual_host(direct({"path": "/local"}, 200, BODY), route({"prefix": "/"}, "upstream"))]
    listeners = [
        http_listener("hasty", hosts, stream_idle_timeout="0.5s"),
        http_listener("flush", hosts, stream_flush_timeout="0.5s"),
        http_listener("patient", hosts),
    ]
    bootstrap = static(listeners, [cluster("upstream", upstream.port)])
    with running("meshproxy", bootstrap, tmp_path_factory.mktemp("unread")) as one:
        yield one


def connect(proxy: Proxy, listener: str) -> socket.socket:
    """A connection with a small window, so that little is enough to fill it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE)
    connection.connect(("127.0.0.1", proxy.port(listener)))
    return connection


def send_until_stuck(connection: socket.socket, data: bytes) -> int:
    """Sends what the proxy takes; gives how much that was."""
    sent = 0
    while sent < len(data) and select.select([], [connection], [], 0.3)[1]:
        sent += connection.send(data[sent : sent + 65536], socket.MSG_DONTWAIT)
    return sent


def worker_kilobytes(proxy: Proxy) -> int:
    """Anonymous memory of the proxy's largest process."""
    sizes = []
    for pid in (proxy.process.pid, *descendants(proxy.process.pid)):
        with open(f"/proc/{pid}/status") as status:
            sizes += [int(line.split()[1]) for line in status if line.startswith("RssAnon:")]
    return max(sizes)


def is_cut(connection: socket.socket) -> bool:
    """Reads to the end; false when there is none in time."""
    with contextlib.suppress(ConnectionResetError):
        while select.select([connection], [], [], PATIENCE)[0]:
            if not connection.recv(65536):
                return True
        return False
    return True


def test_requests_wait_until_their_client_reads_and_then_go_on(proxy: Proxy) -> None:
    number = 3000
    before = worker_kilobytes(proxy)
    with connect(proxy, "patient") as connection:
        sent = send_until_stuck(connection, LOCAL * number)
        assert worker_kilobytes(proxy) - before < 2048, "the responses wait in our memory"
        waiting = proxy.stat("http.patient.downstream_rq_completed") * len(BODY)
        assert waiting < MEGABYTE, "the responses wait in the kernel"
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MEGABYTE)
        data, heard = LOCAL * number, 0
        while heard < number * len(BODY):
            sending = [connection] if sent < len(data) else []
            readable, writable, _ = select.select([connection], sending, [], PATIENCE)
            assert readable or writable, f"stuck after {heard} bytes"
            if readable:
                heard += connection.recv(MEGABYTE).count(b"x")
            if writable:
                sent += connection.send(data[sent : sent + 65536], socket.MSG_DONTWAIT)


@pytest.mark.parametrize("listener", ["hasty", "flush"])
def test_responses_that_nobody_takes_are_given_up(proxy: Proxy, listener: str) -> None:
    before = proxy.stat(f"http.{listener}.downstream_rq_idle_timeout")
    with connect(proxy, listener) as connection:
        send_until_stuck(connection, LOCAL * 20_000)
        until(lambda: proxy.stat(f"http.{listener}.downstream_rq_idle_timeout") > before)
        assert is_cut(connection)


def test_a_response_under_way_that_nobody_takes_is_given_up(proxy: Proxy, upstream: Upstream) -> None:
    large = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MEGABYTE) + b"x" * (64 * MEGABYTE)
    upstream.script = lambda _request: Reply(large, "close")
    before = worker_kilobytes(proxy)
    try:
        with connect(proxy, "hasty") as connection:
            connection.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            until(lambda: proxy.stat("http.hasty.downstream_rq_active") == 1)
            until(lambda: proxy.stat("http.hasty.downstream_rq_active") == 0)
            assert worker_kilobytes(proxy) - before < 4096
            assert is_cut(connection)
    finally:
        upstream.script = echo
    assert_unharmed(proxy.port("hasty"), upstream)


def test_a_client_that_reads_slowly_gets_everything(proxy: Proxy) -> None:
    """Each byte taken gives it all the time once more."""
    number = 400
    with connect(proxy, "flush") as connection:
        connection.sendall(LOCAL * (number - 1) + LOCAL.replace(b"Host: a", b"Host: a\r\nConnection: close"))
        said = b""
        while chunk := connection.recv(8192):
            said += chunk
            time.sleep(0.005)
    assert said.count(b"HTTP/1.1 200") == number
