"""Listeners that change under connections: what stays the same is not touched, the rest drains."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bootstrap import (
    PROXY_PROTOCOL,
    Json,
    address,
    cluster,
    direct,
    http_listener,
    listener_filter,
    static,
    tcp_proxy,
    virtual_host,
)
from tests.support.client import Client, request
from tests.support.first_bytes import Greeter, greeting_of, proxy_v1
from tests.support.proxies import Proxy, running
from tests.support.wait import eventually

TYPE_URL = "type.googleapis.com/envoy.config.listener.v3.Listener"


class Managed:
    """A proxy that takes its listeners from a file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "listeners.json"
        self.proxy: Proxy
        self._version = 0

    def put(self, *listeners: Json) -> None:
        self._version += 1
        resources = [{"@type": TYPE_URL, **listener} for listener in listeners]
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps({"version_info": str(self._version), "resources": resources}))
        new.rename(self.path)

    def change(self, *listeners: Json) -> None:
        """Puts them and waits until they are in force."""
        before = self.changes()
        self.put(*listeners)
        assert eventually(lambda: self.changes() > before, within=10)

    def changes(self) -> int:
        names = ("listener_added", "listener_modified", "listener_removed")
        return sum(self.proxy.stat(f"listener_manager.{name}") for name in names)


@pytest.fixture
def managed(tmp_path: Path) -> Iterator[Managed]:
    made = Managed(tmp_path)
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(Greeter(b"tcp"))
        made.put(two_chains())
        bootstrap = static([], [cluster("tcp", origin.port)]) | {
            "dynamic_resources": {"lds_config": {"path_config_source": {"path": str(made.path)}}}
        }
        made.proxy = stack.enter_context(running("meshproxy", bootstrap, tmp_path / "proxy"))
        assert eventually(lambda: made.changes() == 1)
        yield made


def http_filters(text: str) -> list[Json]:
    listener = http_listener("l", [virtual_host(direct({"prefix": "/"}, 200, text))])
    filters: list[Json] = listener["filter_chains"][0]["filters"]
    return filters


def chain(host: str, filters: list[Json]) -> Json:
    match = {"prefix_ranges": [{"address_prefix": host, "prefix_len": 32}]}
    return {"filter_chain_match": match, "filters": filters}


def two_chains(second: str = "old", **fields: Any) -> Json:
    """One chain at 127.0.0.1, one at 127.0.0.2."""
    chains = [chain("127.0.0.1", http_filters("same")), chain("127.0.0.2", http_filters(second))]
    return {"name": "l", "address": address(0, "0.0.0.0"), "filter_chains": chains, **fields}


def at(managed: Managed, host: str) -> Client:
    return Client(managed.proxy.port("l"), host=host)


def ask(client: Client) -> tuple[bytes, str | None]:
    client.send(request())
    response = client.response()
    return response.body, response.header("connection")


def test_connections_live_on_where_their_filter_chain_stays(managed: Managed) -> None:
    with at(managed, "127.0.0.1") as kept, at(managed, "127.0.0.2") as drained:
        assert (ask(kept), ask(drained)) == ((b"same", None), (b"old", None))

        managed.change(two_chains("new"))

        proxy = managed.proxy
        assert proxy.stat("listener_manager.listener_in_place_updated") == 1
        assert proxy.stat("listener_manager.total_filter_chains_draining") == 1
        assert ask(kept) == (b"same", None)
        assert ask(drained) == (b"old", "close")
        assert drained.closed()
        with at(managed, "127.0.0.2") as fresh:
            assert ask(fresh) == (b"new", None)
        assert ask(kept) == (b"same", None)
    assert eventually(lambda: proxy.stat("listener_manager.total_filter_chains_draining") == 0)


def test_a_change_of_the_listener_itself_drains_all_of_it(managed: Managed) -> None:
    with at(managed, "127.0.0.1") as first, at(managed, "127.0.0.2") as second:
        assert (ask(first), ask(second)) == ((b"same", None), (b"old", None))

        managed.change(two_chains(per_connection_buffer_limit_bytes=40_000))

        assert managed.proxy.stat("listener_manager.listener_in_place_updated") == 0
        assert managed.proxy.stat("listener_manager.listener_modified") == 1
        assert (ask(first), ask(second)) == ((b"same", "close"), (b"old", "close"))


def test_tcp_connections_live_on_or_end_with_the_drain_time(managed: Managed) -> None:
    def listener(stat_prefix: str) -> Json:
        chains = [chain("127.0.0.1", [tcp_proxy("same", "tcp")])]
        chains += [chain("127.0.0.2", [tcp_proxy(stat_prefix, "tcp")])]
        return {"name": "l", "address": address(0, "0.0.0.0"), "filter_chains": chains}

    managed.change(listener("old"))
    port = managed.proxy.port("l")
    with (
        socket.create_connection(("127.0.0.1", port), 10) as kept,
        socket.create_connection(("127.0.0.2", port), 10) as drained,
    ):
        assert (kept.recv(10), drained.recv(10)) == (b"tcp", b"tcp")

        managed.change(listener("new"))

        assert drained.recv(10) == b"", "ended after the drain time of one second"
        kept.sendall(b"still there")
        kept.settimeout(0.3)
        with pytest.raises(TimeoutError):
            kept.recv(1)


def test_a_connection_that_is_looked_at_gets_the_newest_chains(managed: Managed) -> None:
    def listener(to: str) -> Json:
        filters = [listener_filter(PROXY_PROTOCOL)]
        chains = [{"filters": [tcp_proxy(to, "tcp")]}]
        return {"name": "l", "address": address(0), "listener_filters": filters, "filter_chains": chains}

    managed.change(listener("old"))
    header = proxy_v1(("1.2.3.4", 1), ("5.6.7.8", 2))
    with socket.create_connection(("127.0.0.1", managed.proxy.port("l")), 10) as client:
        client.sendall(header[:9])

        managed.change(listener("new"))

        client.sendall(header[9:])
        assert client.recv(10) == b"tcp"
    assert managed.proxy.stat("tcp.new.downstream_cx_total") == 1
    assert managed.proxy.stat("tcp.old.downstream_cx_total") == 0


def test_who_waits_at_a_removed_listener_is_served(managed: Managed) -> None:
    port, [worker] = managed.proxy.port("l"), managed.proxy.workers()
    os.kill(worker, signal.SIGSTOP)
    try:
        waiting = [Client(port) for _ in range(20)]
        for client in waiting:
            client.send(request())
        managed.put()
        assert eventually(lambda: "l::" not in managed.proxy.get("/listeners"), within=10)
    finally:
        os.kill(worker, signal.SIGCONT)
    answers = [client.response().body for client in waiting]
    for client in waiting:
        client.socket.close()
    assert answers == [b"same"] * 20
    with pytest.raises(ConnectionRefusedError):
        greeting_of(port)
