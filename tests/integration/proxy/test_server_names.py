"""Names for TLS out of requests: no connection carries a request for another name than it was opened for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.differential.tls.listeners import TLS, downstream, text
from tests.integration.proxy.conftest import Start
from tests.support.bootstrap import TYPE, Json, cluster, direct, http_listener, route, virtual_host
from tests.support.certificates import Authority, Identity, dns
from tests.support.client import Client, fetch, request
from tests.support.proxies import Proxy

CA = Authority()
NAMES = [f"{letter}.example" for letter in "abcdef"]
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
VERSIONS: dict[str, Json] = {
    "http1": {"explicit_http_config": {"http_protocol_options": {}}},
    "http2": {"explicit_http_config": {"http2_protocol_options": {}}},
    "chosen": {"auto_config": {"http_protocol_options": {}, "http2_protocol_options": {}}},
}
TOLD = ["%REQUESTED_SERVER_NAME%", "%REQ(:AUTHORITY)%", "%CONNECTION_ID%", "%PROTOCOL%"]


def upstream(version: str, sni: str = "", **fields: Any) -> Json:
    """Names from requests are checked, and sent unless there is one for all."""
    context = {"validation_context": {"trusted_ca": text(CA.root())}}
    socket = {"@type": TLS + "UpstreamTlsContext", "common_tls_context": context, "sni": sni}
    names = {"auto_sni": not sni, "auto_san_validation": True}
    options = {"@type": TYPE + OPTIONS, "upstream_http_protocol_options": names, **VERSIONS[version]}
    return {
        "transport_socket": {"name": "tls", "typed_config": socket},
        "typed_extension_protocol_options": {OPTIONS: options},
        **fields,
    }


@pytest.fixture
def serve(start: Start) -> Callable[..., Proxy]:
    """A proxy before one that answers with the server name, the host and the number of its connection."""

    def begin(version: str, identity: Identity | None = None, **fields: Any) -> Proxy:
        socket = downstream(
            identity or CA.issue(*map(dns, NAMES)), common={"alpn_protocols": ["h2", "http/1.1"]}
        )
        told = [{"header": {"key": "x-told", "value": " ".join(TOLD)}}]
        answers = direct({"prefix": "/"}, 200, "hello", response_headers_to_add=told)
        inner = http_listener("in", [virtual_host(answers)])
        inner["filter_chains"][0]["transport_socket"] = socket
        port = start([inner], []).port("in")
        outer = http_listener("out", [virtual_host(route({"prefix": "/"}, "c"))])
        return start(
            [outer], [cluster("c", port, **{**upstream(version, **fields), "connect_timeout": "5s"})]
        )

    return begin


def told(proxy: Proxy, *names: str) -> list[list[str]]:
    """What the server says to requests, one after the other, on one connection of the client."""
    with Client(proxy.port("out")) as client:
        answers = []
        for name in names:
            client.send(request("GET", "/", host=name))
            answers.append((client.response().header("x-told") or "refused").split(" "))
        return answers


@pytest.mark.parametrize("version", VERSIONS)
def test_a_connection_carries_requests_for_one_name_only(serve: Any, version: str) -> None:
    proxy = serve(version)
    connections: dict[str, set[str]] = {}
    for name, host, connection, protocol in told(proxy, *NAMES, *reversed(NAMES), *NAMES):
        assert name == host
        assert protocol == ("HTTP/1.1" if version == "http1" else "HTTP/2")
        connections.setdefault(name, set()).add(connection)
    assert [len(each) for each in connections.values()] == [1] * len(NAMES)
    assert proxy.stat("cluster.c.upstream_cx_total") == len(NAMES)


@pytest.mark.parametrize("version", VERSIONS)
def test_many_clients_at_once_do_not_mix_names(serve: Any, version: str) -> None:
    proxy = serve(version)
    with ThreadPoolExecutor(8) as pool:
        for answers in pool.map(lambda turn: told(proxy, *NAMES[turn % 6 :], *NAMES), range(24)):
            assert all(name == host for name, host, *_ in answers)


@pytest.mark.parametrize("version", VERSIONS)
def test_idle_connections_make_room_for_other_names(serve: Any, version: str) -> None:
    proxy = serve(version, circuit_breakers={"thresholds": [{"max_connections": 2}]})
    for name, host, *_ in told(proxy, *NAMES, *NAMES):
        assert name == host
        assert proxy.stat("cluster.c.upstream_cx_active") <= 2


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_without_the_name_gets_no_request(serve: Any, version: str) -> None:
    proxy = serve(version, CA.issue(dns("a.example")))
    statuses = [
        fetch(proxy.port("out"), host=name).status for name in ("a.example", "b.example", "a.example")
    ]
    assert statuses == [200, 503, 200]
    assert proxy.stat("cluster.c.ssl.fail_verify_san") == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_all_who_wait_are_told_that_the_server_has_another_name(serve: Any, version: str) -> None:
    only_one = {"thresholds": [{"max_connections": 1, "max_pending_requests": 100}]}
    proxy = serve(version, CA.issue(dns("a.example")), circuit_breakers=only_one)
    with ThreadPoolExecutor(8) as pool:
        replies = pool.map(lambda _: fetch(proxy.port("out"), host="b.example").status, range(24))
        assert set(replies) == {503}


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_are_resumed_for_the_same_name_only(serve: Any, version: str) -> None:
    """The server shows the same certificate to all, so its sessions say nothing of other names."""
    server = CA.issue(dns("a.example"))
    proxy = serve(version, server, sni="a.example", max_requests_per_connection=1)
    for _ in range(3):
        assert fetch(proxy.port("out"), host="a.example").status == 200
        assert fetch(proxy.port("out"), host="b.example").status == 503
    assert proxy.stat("cluster.c.ssl.session_reused") == 2
