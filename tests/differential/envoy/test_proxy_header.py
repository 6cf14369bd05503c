"""Upstreams that want a PROXY header are told of clients, and of health checks, as the real Envoy does."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.differential.envoy.checked import Checked, Say
from tests.support.bootstrap import TYPE, Json, cluster, http_listener, route, static, virtual_host
from tests.support.client import Client, request
from tests.support.proxies import KINDS, Kind, running
from tests.support.wait import eventually

pytestmark = pytest.mark.xdist_group("differential-envoy")

SOCKETS = TYPE + "envoy.extensions.transport_sockets."
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
V2 = b"\r\n\r\n\0\r\nQUIT\n"


@dataclass
class Told(Checked):
    """Takes a PROXY header off each connection."""

    headers: list[bytes] = field(default_factory=list)

    def serve(self, peer: socket.socket) -> None:
        header = take_header(peer)
        if header:
            self.headers.append(header)
            super().serve(peer)


def take_header(peer: socket.socket) -> bytes:
    head = exactly(peer, 6)
    if head == b"PROXY ":
        while not head.endswith(b"\r\n"):
            head += exactly(peer, 1)
        return head
    head += exactly(peer, 10)
    return head + exactly(peer, int.from_bytes(head[14:16], "big"))


def exactly(peer: socket.socket, size: int) -> bytes:
    heard = b""
    while len(heard) < size:
        more = peer.recv(size - len(heard))
        if not more:
            raise ConnectionError
        heard += more
    return heard


def resource(port: int, version: str, http2: bool, **fields: Any) -> Json:
    plain = {"name": "raw", "typed_config": {"@type": SOCKETS + "raw_buffer.v3.RawBuffer"}}
    config = {
        "@type": SOCKETS + "proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        "config": {"version": version},
        "transport_socket": plain,
    }
    name = "envoy.transport_sockets.upstream_proxy_protocol"
    made = cluster("c", port, transport_socket={"name": name, "typed_config": config}, **fields)
    if http2:
        options = {"@type": TYPE + OPTIONS, "explicit_http_config": {"http2_protocol_options": {}}}
        made["typed_extension_protocol_options"] = {OPTIONS: options}
    return made


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_carries_requests_of_one_client(kind: Kind, http2: bool, tmp_path: Path) -> None:
    listener = http_listener("l", [virtual_host(route({"prefix": "/"}, "c"))])
    with Told(http2=http2) as upstream:
        bootstrap = static([listener], [resource(upstream.port, "V1", http2)])
        with running(kind, bootstrap, tmp_path) as proxy:
            port = proxy.port("l")
            with Client(port) as first, Client(port) as second:
                for client in (first, second, first, second, first):
                    client.send(request("GET", "/traffic"))
                    assert client.response().status == 200
                ports = [client.socket.getsockname()[1] for client in (first, second)]
    assert upstream.headers == [b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % (own, port) for own in ports]


@pytest.mark.parametrize("version", ["V1", "V2"])
@pytest.mark.parametrize("kind", KINDS)
def test_health_checks_tell_of_the_proxy_itself(kind: Kind, version: str, tmp_path: Path) -> None:
    check = {
        "timeout": "5s",
        "interval": "60s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/health"},
    }
    listener = http_listener("l", [virtual_host(route({"prefix": "/"}, "c"))])
    with Told([Say()]) as upstream:
        bootstrap = static([listener], [resource(upstream.port, version, http2=False, health_checks=[check])])
        with running(kind, bootstrap, tmp_path) as proxy:
            assert eventually(lambda: proxy.stat("cluster.c.membership_healthy") == 1)
    (header,) = upstream.headers
    if version == "V2":
        # LOCAL: no addresses (PROXY protocol, 2.2).
        assert header == V2 + b"\x20\0\0\0"
    else:
        words = header.split()
        assert words[:4] == [b"PROXY", b"TCP4", b"127.0.0.1", b"127.0.0.1"]
        assert words[5] == b"%d" % upstream.port
