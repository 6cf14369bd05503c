"""Handshakes of clients that break, stop or drip: cut at once or in their time, and nothing of them stays."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tests.integration.hostile.tls_cases import BROKEN, HELLO, SLOW
from tests.integration.http2.stage import tls_socket
from tests.integration.proxy.pki import Authority
from tests.support.bootstrap import Json, direct, http_listener, static, virtual_host
from tests.support.http2_client import client_tls, fetch
from tests.support.proxies import KINDS, Proxy, running
from tests.support.tls13 import Hello, Record, Tls13, record
from tests.support.wait import eventually

PATIENCE = 5.0
PACE = 0.02
DEFAULT_LIMIT = 10.0
GAUGES = ("downstream_cx_active", "downstream_pre_cx_active")
REQUEST = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
# Envoy passes over a record of nothing.
ENVOY_TAKES = {"empty record"}


@dataclass
class Stage:
    """A proxy whose listeners speak TLS, and what it holds while nobody is connected."""

    proxy: Proxy
    ports: dict[str, int]
    descriptors: int = 0
    # A connection that says nothing from the beginning of these tests on.
    silent: socket.socket = field(default_factory=socket.socket)
    since: float = 0.0

    def worker_descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.proxy.worker()}/fd"))

    def stat(self, listener: str, name: str) -> int:
        return self.proxy.stat(f"listener.{listener}.{name}")

    def is_at_rest(self, listener: str) -> bool:
        """No connection, no descriptor and no slot is left but the silent one's."""
        idle = all(self.stat(listener, gauge) == 0 for gauge in GAUGES)
        return idle and self.worker_descriptors() <= self.descriptors


def listener(name: str, socket_: Json, *, names: Sequence[str] = (), **fields: object) -> Json:
    made = http_listener(name, [virtual_host(direct({"prefix": "/"}, 200, "served"))])
    chain = made["filter_chains"][0] | {"transport_socket": socket_}
    chains = [{**chain, "name": one, "filter_chain_match": {"server_names": [one]}} for one in names]
    # Told apart in statistics by name: ports are only known later.
    return {**made, "stat_prefix": name, "filter_chains": chains or [chain], **fields}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("handshakes")
    tls = tls_socket(Authority(), folder)
    hasty = listener("hasty", tls)
    hasty["filter_chains"][0]["transport_socket_connect_timeout"] = "0.4s"
    names = listener("names", tls, names=("a.test", "b.test"), listener_filters_timeout="0.4s")
    bootstrap = static([listener("edge", tls), hasty, names], [])
    with running("meshproxy", bootstrap, folder) as proxy:
        made = Stage(proxy, {name: proxy.port(name) for name in ("edge", "hasty", "names")})
        assert_served(made, *made.ports)
        assert eventually(lambda: all(made.stat(name, GAUGES[0]) == 0 for name in made.ports))
        made.descriptors = made.worker_descriptors() + 1
        made.silent = socket.create_connection(("127.0.0.1", made.ports["edge"]), PATIENCE)
        made.since = time.monotonic()
        yield made
        made.silent.close()


def assert_served(stage: Stage, *listeners: str) -> None:
    for name in listeners:
        assert fetch(stage.ports[name], tls=client_tls()).status == 200


def ends(connection: socket.socket, within: float) -> bool:
    """Reads to the end; false when there is none in time."""
    deadline = time.monotonic() + within
    with contextlib.suppress(ConnectionError):
        while select.select([connection], [], [], max(deadline - time.monotonic(), 0))[0]:
            if not connection.recv(1 << 16):
                return True
        return False
    return True


def say(port: int, data: bytes) -> bool:
    """Whether the connection ended soon after it was said this."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
        return ends(connection, PATIENCE)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Proxy, int]]]:
    """meshproxy and the real Envoy with the same listener."""
    with contextlib.ExitStack() as stack:
        made: dict[str, tuple[Proxy, int]] = {}
        for kind in KINDS:
            folder = tmp_path_factory.mktemp(kind)
            bootstrap = static([listener("edge", tls_socket(Authority(), folder, "http/1.1"))], [])
            proxy = stack.enter_context(running(kind, bootstrap, folder))
            made[kind] = (proxy, proxy.port("edge"))
        yield made


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_handshake_ends_at_once_and_is_counted_as_in_envoy(
    both: dict[str, tuple[Proxy, int]], name: str
) -> None:
    for kind, (proxy, port) in both.items():
        if kind == "envoy" and name in ENVOY_TAKES:
            continue
        before = proxy.stat("listener.edge.ssl.connection_error")
        assert say(port, BROKEN[name]), kind
        assert eventually(
            lambda proxy=proxy, want=before + 1: proxy.stat("listener.edge.ssl.connection_error") == want  # type: ignore[misc]
        ), kind
        assert eventually(lambda proxy=proxy: proxy.stat("listener.edge.downstream_cx_active") == 0)  # type: ignore[misc]
    assert fetch_http1(both["meshproxy"][1]) == b"served"


def fetch_http1(port: int) -> bytes:
    with Tls13(port) as client:
        client.handshake()
        client.send(REQUEST)
        return client.receive()[1].partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("listener_name", "counted"),
    [
        ("hasty", "downstream_cx_transport_socket_connect_timeout"),
        ("names", "downstream_pre_cx_timeout"),
    ],
)
def test_slow_handshakes_are_cut_in_their_time(stage: Stage, listener_name: str, counted: str) -> None:
    """All at once. Where the name decides, a whole hello ends the wait of the listener's filters."""
    port = stage.ports[listener_name]
    cases = {
        name: case for name, case in SLOW.items() if listener_name == "hasty" or not case[0].startswith(HELLO)
    }
    before = stage.stat(listener_name, counted)

    def seconds(case: tuple[bytes, Sequence[bytes]]) -> float:
        start, drip = case[0], iter(case[1])
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
            began = time.monotonic()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(ConnectionError):
                connection.sendall(start)
                while time.monotonic() - began < PATIENCE and not ends(connection, PACE):
                    connection.sendall(next(drip, b""))
            return time.monotonic() - began

    with ThreadPoolExecutor(len(cases)) as pool:
        took = dict(zip(cases, pool.map(seconds, cases.values()), strict=True))
    assert {name: each for name, each in took.items() if not 0.3 < each < 3.0} == {}
    assert stage.stat(listener_name, counted) - before == len(cases)
    assert_served(stage, "edge", listener_name)
    assert eventually(lambda: stage.is_at_rest(listener_name))


@pytest.mark.parametrize("name", [None, "c.test", "", "a.test.", "A.TEST\0"], ids=repr)
def test_who_asks_for_no_known_name_is_turned_away(stage: Stage, name: str | None) -> None:
    before = stage.stat("names", "no_filter_chain_match")
    hello = Hello(name=name).message()
    assert say(stage.ports["names"], record(Record.HANDSHAKE, hello, 0x0301))
    assert stage.stat("names", "no_filter_chain_match") == before + 1
    assert_served(stage, "names")


CUTS: dict[str, Callable[[bytes], list[bytes]]] = {
    "bytes": lambda hello: [bytes([byte]) for byte in record(Record.HANDSHAKE, hello, 0x0301)],
    "records of one byte": lambda hello: [record(Record.HANDSHAKE, bytes([byte]), 0x0301) for byte in hello],
    "two records": lambda hello: [record(Record.HANDSHAKE, part, 0x0301) for part in (hello[:4], hello[4:])],
}


@pytest.mark.parametrize("listener_name", ["edge", "names"])
@pytest.mark.parametrize("name", CUTS)
def test_a_hello_in_pieces_is_a_hello(stage: Stage, listener_name: str, name: str) -> None:
    with Tls13(stage.ports[listener_name], cut=CUTS[name]) as client:
        client.handshake()
        client.send(REQUEST)
        assert b"served" in client.receive()[1]


def test_what_has_come_of_a_record_is_kept_until_the_rest_is_there(stage: Stage) -> None:
    """Half a hello is there as the connection is accepted; the first event then brings nothing new."""
    hello = record(Record.HANDSHAKE, Hello().message(), 0x0301)
    worker = stage.proxy.worker()
    os.kill(worker, signal.SIGSTOP)
    with socket.create_connection(("127.0.0.1", stage.ports["hasty"]), PATIENCE) as connection:
        connection.sendall(hello[:100])
        os.kill(worker, signal.SIGCONT)
        assert eventually(lambda: stage.stat("hasty", "downstream_cx_active") == 1)
        connection.sendall(hello[100:])
        assert connection.recv(1) == bytes([Record.HANDSHAKE])


def stop_at(step: str, port: int) -> socket.socket:
    client = Tls13(port)
    if step == "half a hello":
        client.socket.sendall(HELLO[:60])
    elif step == "hello":
        client.socket.sendall(HELLO)
    elif step != "connected":
        client.begin()
        finished = client.finished()
        client.socket.sendall({"half the last record": finished[:20], "all": finished}.get(step, b""))
    return client.socket


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_clients_that_go_at_any_step_leave_nothing(stage: Stage, reset: bool) -> None:
    steps = ("connected", "half a hello", "hello", "heard all", "half the last record", "all")
    for listener_name in ("hasty", "names"):
        for step in steps * 5:
            connection = stop_at(step, stage.ports[listener_name])
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        assert eventually(lambda: stage.is_at_rest(listener_name))  # noqa: B023
        assert_served(stage, listener_name)


def test_many_half_handshakes_are_cut_while_others_are_served(stage: Stage) -> None:
    number = 300
    before = stage.stat("hasty", "downstream_cx_transport_socket_connect_timeout")
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            held = stack.enter_context(socket.create_connection(("127.0.0.1", stage.ports["hasty"])))
            held.sendall(HELLO)
        assert_served(stage, "edge", "hasty")
        assert eventually(
            lambda: stage.stat("hasty", "downstream_cx_transport_socket_connect_timeout") == before + number
        )
    assert eventually(lambda: stage.is_at_rest("hasty"))


def test_nobody_renegotiates(stage: Stage) -> None:
    """What RFC 8446 did away with is refused in TLS 1.2 too."""
    before = stage.stat("edge", "ssl.handshake")
    asked = subprocess.run(
        ["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{stage.ports['edge']}"],
        input=b"R\n",
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert b"no renegotiation" in asked.stderr
    assert stage.stat("edge", "ssl.handshake") == before + 1
    assert_served(stage, "edge")


def test_a_silent_client_is_cut_after_ten_seconds_where_nothing_is_said(stage: Stage) -> None:
    left = stage.since + DEFAULT_LIMIT - time.monotonic()
    assert not ends(stage.silent, left - 1.0)
    assert ends(stage.silent, 4.0)
    assert stage.stat("edge", "downstream_cx_transport_socket_connect_timeout") == 1
