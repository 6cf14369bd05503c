"""Listeners: filters that wait, Unix sockets, addresses that are not there, and no descriptors left."""

from __future__ import annotations

import os
import resource
import socket
import stat
import time
from pathlib import Path

from tests.integration.proxy.conftest import MakeOrigin, Start
from tests.support.bootstrap import (
    HTTP_INSPECTOR,
    PROXY_PROTOCOL,
    Json,
    address,
    cluster,
    direct,
    file_log,
    http_listener,
    listener_filter,
    route,
    tcp_listener,
    virtual_host,
)
from tests.support.client import Client, request
from tests.support.first_bytes import greeters, greeting_of, proxy_v1
from tests.support.origin import Received, answer
from tests.support.wait import eventually

ENDS = (("1.2.3.4", 1000), ("5.6.7.8", 2000))


def hello(name: str = "l") -> Json:
    return http_listener(name, [virtual_host(direct({"prefix": "/"}, 200, "hello"))])


def test_slow_first_bytes_end_the_connection_or_not_as_configured(start: Start) -> None:
    filters = {"listener_filters": [listener_filter(HTTP_INSPECTOR)], "listener_filters_timeout": "0.2s"}
    strict = tcp_listener("strict", "c") | filters
    lenient = tcp_listener("lenient", "c") | filters | {"continue_on_listener_filters_timeout": True}
    with greeters(b"hello") as [greeter]:
        proxy = start([strict, lenient], [cluster("c", greeter.port)])
        assert greeting_of(proxy.port("strict"), b"GE") == b""
        assert greeting_of(proxy.port("lenient"), b"GE") == b"hello"
        for name in ("strict", "lenient"):
            assert proxy.stat(f"listener.127.0.0.1_{proxy.port(name)}.downstream_pre_cx_timeout") == 1


def test_a_filter_passes_by_what_it_is_disabled_for(start: Start) -> None:
    listener = tcp_listener("l", "c")
    disabled = {"not_match": {"destination_port_range": {"start": 1, "end": 2}}}
    listener["listener_filters"] = [listener_filter(PROXY_PROTOCOL, disabled)]
    with greeters(b"hello") as [greeter]:
        proxy = start([listener], [cluster("c", greeter.port)])
        assert greeting_of(proxy.port("l"), b"no header") == b"hello"


def test_the_proxied_address_is_the_clients_everywhere(
    start: Start, origin: MakeOrigin, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    names = ("REMOTE_ADDRESS", "DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", "LOCAL_ADDRESS")
    text = " ".join(f"%DOWNSTREAM_{name}%" for name in names) + "\n"

    def forwarded(received: Received) -> bytes:
        return str(received.header("x-forwarded-for")).encode()

    upstream = origin(lambda received: answer(200, forwarded(received)))
    listener = http_listener(
        "l",
        [virtual_host(route({"prefix": "/"}, "c"))],
        use_remote_address=True,
        access_log=[file_log(log, text)],
    )
    listener["listener_filters"] = [listener_filter(PROXY_PROTOCOL)]
    proxy = start([listener], [cluster("c", upstream.port)])
    with Client(proxy.port("l")) as client:
        client.send(proxy_v1(*ENDS) + request())
        assert client.response().body == b"1.2.3.4"
    assert eventually(lambda: log.exists() and log.read_text() == "1.2.3.4:1000 127.0.0.1 5.6.7.8:2000\n")


def test_unix_sockets_are_listened_on(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    listener = hello() | {"address": {"pipe": {"path": str(path), "mode": 0o600}}}
    beside = hello("beside") | {"additional_addresses": [{"address": {"pipe": {"path": "@meshloom-test"}}}]}
    start([listener, beside], [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for name in (str(path), "\0meshloom-test"):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(name)
            client.sendall(request())
            assert client.recv(1000).endswith(b"hello")


def test_an_address_may_be_bound_before_it_is_there(start: Start) -> None:
    listener = hello() | {
        "address": address(0, "192.0.2.7"),
        "freebind": True,
        "tcp_fast_open_queue_length": 16,
    }
    assert start([listener], []).port("l") > 0


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_without_descriptors_connections_are_closed_and_the_loop_does_not_spin(start: Start) -> None:
    proxy = start([hello()], [])
    port, [worker] = proxy.port("l"), proxy.workers()
    with Client(port) as kept:
        kept.send(request())
        assert kept.response().body == b"hello"
        soft, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        taken = max(int(name) for name in os.listdir(f"/proc/{worker}/fd"))
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (taken + 4, hard))

        clients = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(30)]
        overflow = f"listener.127.0.0.1_{port}.downstream_cx_overflow"
        assert eventually(lambda: proxy.stat(overflow) >= 20)
        before = cpu_seconds(worker)
        time.sleep(0.5)
        assert cpu_seconds(worker) - before < 0.2
        kept.send(request())
        assert kept.response().body == b"hello"
        closed = sum(was_closed(client) for client in clients)
        for client in clients:
            client.close()
        assert 20 <= closed < 30

        resource.prlimit(worker, resource.RLIMIT_NOFILE, (soft, hard))
    with Client(port) as last:
        last.send(request())
        assert last.response().body == b"hello"


def was_closed(client: socket.socket) -> bool:
    client.settimeout(0.1)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True
