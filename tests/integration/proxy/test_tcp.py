"""The TCP proxy: times, logs, PROXY headers for upstreams, limits; and large amounts of bytes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.proxy.conftest import Start
from tests.support.bootstrap import (
    PROXY_PROTOCOL,
    TYPE,
    Json,
    cluster,
    file_log,
    listener_filter,
    tcp_listener,
)
from tests.support.first_bytes import Greeter, greeters, greeting_of, proxy_v2
from tests.support.server import reset_when_closed
from tests.support.wait import eventually

SOCKETS = TYPE + "envoy.extensions.transport_sockets."


@pytest.fixture
def greeter() -> Iterator[Greeter]:
    with greeters(b"hello") as [made]:
        yield made


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10)


def test_servers_may_speak_first(start: Start, greeter: Greeter) -> None:
    proxy = start([tcp_listener("t", "c")], [cluster("c", greeter.port)])
    assert greeting_of(proxy.port("t")) == b"hello"


def test_idle_and_old_connections_end(start: Start, greeter: Greeter, tmp_path: Path) -> None:
    log = tmp_path / "log"
    logs = [file_log(log, "%RESPONSE_FLAGS%\n")]
    listeners = [
        tcp_listener("idle", "c", idle_timeout="0.3s", access_log=logs),
        tcp_listener("old", "c", max_downstream_connection_duration="0.3s", access_log=logs),
    ]
    proxy = start(listeners, [cluster("c", greeter.port)])
    for name in ("idle", "old"):
        with connected(proxy.port(name)) as client:
            began = time.monotonic()
            assert client.recv(10) == b"hello"
            if name == "old":
                client.sendall(b"moves")
            assert client.recv(10) == b""
            assert 0.25 < time.monotonic() - began < 3
    assert proxy.stat("tcp.idle.idle_timeout") == 1
    assert proxy.stat("tcp.old.max_downstream_connection_duration") == 1
    assert eventually(lambda: log.exists() and log.read_text() == "SI\nDT\n")


def test_the_next_endpoint_is_tried(start: Start, greeter: Greeter, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        dead = int(gone.getsockname()[1])
    log = tmp_path / "log"
    text = "%UPSTREAM_REQUEST_ATTEMPT_COUNT% %RESPONSE_FLAGS%\n"
    logs = [file_log(log, text)]
    proxy = start(
        [tcp_listener("t", "c", max_connect_attempts=2, access_log=logs)], [cluster("c", dead, greeter.port)]
    )
    for _ in range(4):
        assert greeting_of(proxy.port("t")) == b"hello"
    assert eventually(lambda: log.exists() and log.read_text().count("\n") == 4)
    assert {"2 -"} <= set(log.read_text().splitlines()) <= {"1 -", "2 -"}


def test_lines_are_logged_before_the_end_where_asked_for(
    start: Start, greeter: Greeter, tmp_path: Path
) -> None:
    log, other = tmp_path / "log", tmp_path / "listener"
    flushes = {"flush_access_log_on_connected": True, "access_log_flush_interval": "0.4s"}
    logs = [file_log(log, "%BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER% %UPSTREAM_CONNECTION_ID%\n")]
    listener = tcp_listener("t", "c", access_log=logs, access_log_options=flushes)
    listener["access_log"] = [file_log(other, "%BYTES_RECEIVED% %BYTES_SENT%\n")]
    proxy = start([listener], [cluster("c", greeter.port)])
    with connected(proxy.port("t")) as client:
        client.sendall(b"12345")
        assert client.recv(10) == b"hello"
        assert eventually(lambda: log.exists() and log.read_text().count("\n") >= 2)
        lines = log.read_text().splitlines()
        assert lines[1].startswith("5 5 c ")
        assert not other.exists() or other.read_text() == ""
    assert eventually(lambda: other.read_text() == "5 5\n")
    assert len({line.rpartition(" ")[2] for line in log.read_text().splitlines()}) == 1


def test_a_connection_that_no_chain_takes_is_logged_by_its_listener(
    start: Start, greeter: Greeter, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    listener = tcp_listener("t", "c")
    listener["access_log"] = [file_log(log, "%BYTES_SENT% %DOWNSTREAM_LOCAL_ADDRESS%\n")]
    listener["filter_chains"][0]["filter_chain_match"] = {"destination_port": 1}
    proxy = start([listener], [cluster("c", greeter.port)])
    port = proxy.port("t")
    assert greeting_of(port) == b""
    assert eventually(lambda: log.exists() and log.read_text() == f"0 127.0.0.1:{port}\n")
    assert proxy.stat(f"listener.127.0.0.1_{port}.no_filter_chain_match") == 1


def proxied(version: str, inner: Json | None = None, **fields: Any) -> Json:
    """A cluster's transport socket that begins with a PROXY header."""
    plain = {"name": "raw", "typed_config": {"@type": SOCKETS + "raw_buffer.v3.RawBuffer"}}
    config = {
        "@type": SOCKETS + "proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        "config": {"version": version, **fields},
        "transport_socket": inner or plain,
    }
    return {
        "transport_socket": {
            "name": "envoy.transport_sockets.upstream_proxy_protocol",
            "typed_config": config,
        }
    }


def test_upstreams_are_told_whose_connection_it_is(start: Start, greeter: Greeter) -> None:
    plain = tcp_listener("plain", "v1")
    behind = tcp_listener("behind", "v2")
    include = {"match_type": "INCLUDE", "tlv_type": [4, 5]}
    rules = {"pass_through_tlvs": {"match_type": "INCLUDE", "tlv_type": [5, 6]}}
    behind["listener_filters"] = [listener_filter(PROXY_PROTOCOL, **rules)]
    added: dict[str, Any] = {"added_tlvs": [{"type": 0xE1, "value": "b3du"}]}
    clusters = [
        cluster("v1", greeter.port, **proxied("V1")),
        cluster("v2", greeter.port, **proxied("V2", pass_through_tlvs=include, **added)),
    ]
    proxy = start([plain, behind], clusters)
    with connected(proxy.port("plain")) as client:
        client.sendall(b"bytes")
        assert client.recv(10) == b"hello"
        own, port = client.getsockname()[1], proxy.port("plain")
        wanted = f"PROXY TCP4 127.0.0.1 127.0.0.1 {own} {port}\r\nbytes".encode()
        assert eventually(lambda: greeter.received[-1] == wanted)
    ends = (("1.2.3.4", 1000), ("5.6.7.8", 2000))
    sent = proxy_v2(*ends, (4, b"four"), (5, b"five"), (6, b"six"))
    with connected(proxy.port("behind")) as client:
        client.sendall(sent + b"bytes")
        assert client.recv(10) == b"hello"
        assert eventually(
            lambda: greeter.received[-1] == proxy_v2(*ends, (0xE1, b"own"), (5, b"five")) + b"bytes"
        )


def test_connections_beyond_the_limit_are_closed(start: Start, greeter: Greeter) -> None:
    listener = tcp_listener("t", "c")
    kind = TYPE + "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit"
    limit = {"@type": kind, "stat_prefix": "few", "max_connections": 2, "delay": "0.2s"}
    listener["filter_chains"][0]["filters"].insert(0, {"name": "limit", "typed_config": limit})
    proxy = start([listener], [cluster("c", greeter.port)])
    port = proxy.port("t")
    with connected(port) as first, connected(port) as second:
        assert (first.recv(10), second.recv(10)) == (b"hello", b"hello")
        began = time.monotonic()
        assert greeting_of(port) == b""
        assert time.monotonic() - began > 0.15
        assert proxy.stat("connection_limit.few.limited_connections") == 1
        assert proxy.stat("connection_limit.few.active_connections") == 2
    assert eventually(lambda: proxy.stat("connection_limit.few.active_connections") == 0)
    assert greeting_of(port) == b"hello"


def test_large_amounts_go_both_ways_at_once(start: Start) -> None:
    """Enough for whatever is done differently in bulk, with an end in each direction."""
    size = 48 * 1024 * 1024
    data = os.urandom(1024 * 1024)
    server = socket.create_server(("127.0.0.1", 0))
    seen: dict[str, str] = {}

    def pump(into: socket.socket) -> None:
        for _ in range(size // len(data)):
            into.sendall(data)
        into.shutdown(socket.SHUT_WR)

    def drain(name: str, out: socket.socket) -> None:
        digest = hashlib.sha256()
        while piece := out.recv(1 << 18):
            digest.update(piece)
        seen[name] = digest.hexdigest()

    proxy = start([tcp_listener("t", "c")], [cluster("c", server.getsockname()[1])])
    client = connected(proxy.port("t"))
    upstream = server.accept()[0]
    upstream.settimeout(30)
    client.settimeout(30)
    threads = [
        threading.Thread(target=pump, args=(client,)),
        threading.Thread(target=pump, args=(upstream,)),
        threading.Thread(target=drain, args=("client", client)),
        threading.Thread(target=drain, args=("upstream", upstream)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    expected = hashlib.sha256(data * (size // len(data))).hexdigest()
    assert seen == {"client": expected, "upstream": expected}
    assert eventually(lambda: proxy.stat("tcp.t.downstream_cx_rx_bytes_total") == size)
    assert proxy.stat("tcp.t.downstream_cx_tx_bytes_total") == size
    assert eventually(lambda: proxy.stat("cluster.c.upstream_cx_tx_bytes_total") == size)
    client.close()
    upstream.close()


def test_a_reader_that_stops_holds_the_writer_back(start: Start) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    proxy = start([tcp_listener("t", "c")], [cluster("c", server.getsockname()[1])])
    with connected(proxy.port("t")) as client:
        upstream = server.accept()[0]
        client.settimeout(1)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 256 * 1024 * 1024:
                sent += client.send(b"x" * 1024 * 1024)
        assert sent < 64 * 1024 * 1024
        received = 0
        upstream.settimeout(10)
        client.settimeout(10)
        while received < sent:
            received += len(upstream.recv(1 << 20))
        client.sendall(b"end")
        assert upstream.recv(10) == b"end"
        upstream.close()


def test_a_reset_is_passed_on(start: Start) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    proxy = start([tcp_listener("t", "c")], [cluster("c", server.getsockname()[1])])
    with connected(proxy.port("t")) as client:
        upstream = server.accept()[0]
        reset_when_closed(upstream)
        upstream.close()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
