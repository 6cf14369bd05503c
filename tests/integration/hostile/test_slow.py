"""Clients that take their time: cut within the limits that were set, while others are served."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterable, Iterator

import pytest

from tests.integration.hostile.conversation import assert_unharmed
from tests.integration.hostile.upstream import Upstream
from tests.support.bootstrap import cluster, http_listener, route, static, virtual_host
from tests.support.proxies import Proxy, running

# Every limit is below this; what is not cut by then is not cut.
PATIENCE = 5.0
PACE = 0.05

TIMEOUTS = {
    "request_headers_timeout": "0.6s",
    "stream_idle_timeout": "0.6s",
    "drain_timeout": "0.2s",
    "common_http_protocol_options": {"idle_timeout": "0.6s"},
}
REQUEST = b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /slow HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Upstream]]:
    upstream = Upstream()
    listener = http_listener("edge", [virtual_host(route({"prefix": "/"}, "upstream"))], **TIMEOUTS)
    bootstrap = static([listener], [cluster("upstream", upstream.port)])
    with running("meshproxy", bootstrap, tmp_path_factory.mktemp("slow")) as proxy:
        yield proxy, upstream
    upstream.close()


def seconds_until_cut(port: int, start: bytes, drip: Iterable[bytes] = ()) -> tuple[float, bytes]:
    """Sends `start`, then a piece of `drip` every PACE, until the proxy closes; gives what it said too."""
    pieces = iter(drip)
    said = b""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(start)
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE:
            readable, _, _ = select.select([connection], [], [], PACE)
            try:
                if readable:
                    data = connection.recv(65536)
                    if not data:
                        return time.monotonic() - began, said
                    said += data
                connection.sendall(next(pieces, b""))
            except ConnectionError:
                return time.monotonic() - began, said
    raise AssertionError(f"still open after {PATIENCE} s; it said {said!r}")


@pytest.mark.parametrize(
    ("start", "drip"),
    [
        (b"", []),
        (b"GET / HT", []),
        (b"\r\n", []),
        (b"P", []),
        (b"PRI * HTTP/2.0\r\n\r\nS", []),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []),
        (b"GET / HTTP/1.1\r\n", (b"X-%d: y\r\n" % n for n in range(1_000))),
        (b"GET / HTTP/1.1\r\nX: ", (b"y" for _ in range(1_000))),
        (POST + b"Content-Length: 10\r\n\r\nhello", []),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", []),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", []),
        (REQUEST, []),
        (REQUEST + b"GET /sec", []),
    ],
    ids=[
        "nothing",
        "half a line",
        "an empty line",
        "one byte",
        "half a preface",
        "a preface",
        "lines",
        "bytes",
        "length",
        "in a chunk",
        "between chunks",
        "idle",
        "half a second",
    ],
)
def test_a_slow_client_is_cut(impatient: tuple[Proxy, Upstream], start: bytes, drip: Iterable[bytes]) -> None:
    proxy, upstream = impatient
    before = len(upstream.requests)
    seconds, said = seconds_until_cut(proxy.port("edge"), start, drip)
    assert 0.4 < seconds < 3.0
    whole = [request.start for request in upstream.requests[before:]]
    assert whole == ([("GET", "/first")] if start.startswith(REQUEST) else [])
    assert said.count(b"HTTP/1.1 200 ") == len(whole)
    assert_unharmed(proxy.port("edge"), upstream)
