"""Equal requests go to the endpoint that the real Envoy sends them to, by every hash and every spread."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.bootstrap import TYPE, address, http_listener, route, static, tcp_listener, virtual_host
from tests.support.client import Client, Response, request
from tests.support.origin import Origin, answer
from tests.support.proxies import Proxy, side_by_side

pytestmark = pytest.mark.xdist_group("differential-envoy")

POLICIES = TYPE + "envoy.extensions.load_balancing_policies."
BY_NAME: dict[str, Any] = {"header": {"header_name": "x-name"}}
COOKIE: dict[str, Any] = {"cookie": {"name": "sticky", "ttl": "60s", "path": "/a"}}
LOCALITIES: dict[str, Any] = {"common_lb_config": {"locality_weighted_lb_config": {}}}


def typed(kind: str, **fields: Any) -> dict[str, Any]:
    config = {"name": kind, "typed_config": {"@type": POLICIES + kind, **fields}}
    return {"load_balancing_policy": {"policies": [{"typed_extension_config": config}]}}


CLUSTERS: dict[str, dict[str, Any]] = {
    "ring": {"lb_policy": "RING_HASH"},
    "smallring": {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 7}},
    "cutring": {
        "lb_policy": "RING_HASH",
        "ring_hash_lb_config": {"minimum_ring_size": 9, "maximum_ring_size": 11},
    },
    "murmur": {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"hash_function": "MURMUR_HASH_2"}},
    "maglev": {"lb_policy": "MAGLEV"},
    "smallmaglev": {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 101}},
    "ringlocal": {"lb_policy": "RING_HASH", **LOCALITIES},
    "maglevlocal": {"lb_policy": "MAGLEV", **LOCALITIES},
    "typedring": typed("ring_hash.v3.RingHash", minimum_ring_size=64),
    "typedmaglev": typed("maglev.v3.Maglev", table_size=503),
}
HASHES: dict[str, list[dict[str, Any]]] = {
    "name": [BY_NAME],
    "path": [{"header": {"header_name": ":path"}}],
    "host": [{"header": {"header_name": ":authority"}}],
    "rewritten": [
        {
            "header": {
                "header_name": "x-name",
                "regex_rewrite": {"pattern": {"regex": "^(.)-.*$"}, "substitution": "\\1"},
            }
        }
    ],
    "cookie": [COOKIE],
    "query": [{"query_parameter": {"name": "q"}}],
    "source": [{"connection_properties": {"source_ip": True}}],
    "both": [BY_NAME, {"query_parameter": {"name": "q"}}],
    "twice": [BY_NAME, BY_NAME],
    "terminal": [{**BY_NAME, "terminal": True}, {"query_parameter": {"name": "q"}}],
}
WEIGHTS = (1, 2, 1, 5)


def resource(name: str, ports: Sequence[int], config: dict[str, Any]) -> dict[str, Any]:
    members = [
        {
            "endpoint": {"address": address(port), "hostname": f"host-{number}"},
            "load_balancing_weight": WEIGHTS[number],
        }
        for number, port in enumerate(ports)
    ]
    members[3]["metadata"] = {"filter_metadata": {"envoy.lb": {"hash_key": "the fourth"}}}
    localities = [
        {"locality": {"zone": "a"}, "load_balancing_weight": 1, "lb_endpoints": members[:1]},
        {"locality": {"zone": "b"}, "load_balancing_weight": 2, "lb_endpoints": members[1:]},
    ]
    assignment = {"cluster_name": name, "endpoints": localities}
    return {"name": name, "type": "STATIC", "load_assignment": assignment, **config}


def says(number: int) -> Origin:
    return Origin(lambda received: answer(503 if "fail" in received.target else 200, str(number).encode()))


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Proxy]]:
    folder: Path = tmp_path_factory.mktemp("affinity")
    origins = [says(number) for number in range(len(WEIGHTS))]
    # In no order: tables do not depend on it.
    origins.sort(key=lambda origin: -origin.port)
    ports = [origin.port for origin in origins]
    clusters = [resource(name, ports, config) for name, config in CLUSTERS.items()]
    by_cluster = [
        virtual_host(route({"prefix": "/"}, {"cluster": name, "hash_policy": [BY_NAME]}), domains=[name])
        for name in CLUSTERS
    ]
    by_hash = [
        virtual_host(
            route({"prefix": "/"}, {"cluster": "ring", "hash_policy": policies}), domains=[f"by-{name}"]
        )
        for name, policies in HASHES.items()
    ]
    by_hash += [
        virtual_host(
            route(
                {"prefix": "/"},
                {"cluster": "maglev", "hash_policy": [{"cookie": {"name": "sticky", **cookie}}]},
            ),
            domains=[f"by-{name}"],
        )
        for name, cookie in COOKIES.items()
    ]
    listener = http_listener("web", [*by_cluster, *by_hash], use_remote_address=False)
    by_source = tcp_listener("tcp", "maglev", hash_policy=[{"source_ip": {}}])
    bootstrap = static([listener, by_source], clusters)
    with side_by_side(bootstrap, folder) as pair:
        yield pair
    for origin in origins:
        origin.close()


def ask(proxy: Proxy, host: str, target: str = "/", *headers: tuple[str, str]) -> Response:
    with Client(proxy.port("web")) as client:
        client.send(request("GET", target, *headers, host=host))
        return client.response("GET")


def bodies(proxy: Proxy, host: str, asks: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> str:
    return " ".join(ask(proxy, host, target, *headers).body.decode() for target, headers in asks)


@pytest.mark.parametrize("name", CLUSTERS)
def test_names_go_where_envoy_sends_them(name: str, proxies: list[Proxy]) -> None:
    asks = [("/", [("X-Name", f"name-{number}")]) for number in range(40)]

    ours, envoys = (bodies(proxy, name, asks) for proxy in proxies)

    assert ours == envoys
    assert len(set(ours.split())) > 1


ASKS: list[tuple[str, list[tuple[str, str]]]] = [
    *(
        (f"/{number}?q={number}", [("X-Name", f"{number}-x"), ("Cookie", f"a=b; sticky=s{number}")])
        for number in range(12)
    ),
    ("/p?a=b&q=2&q=3", [("X-Name", "a"), ("X-Name", "b"), ("Cookie", 'sticky="quoted"')]),
    ("/p?qq=1&q", [("X-Name", "b"), ("X-Name", "a"), ("Cookie", "sticky=1; sticky=2")]),
    (
        "/p?q=%20",
        [("X-Name", ""), ("Cookie", "sticky=1"), ("Cookie", "sticky=2"), ("X-Forwarded-For", "1.2.3.4")],
    ),
]


@pytest.mark.parametrize("name", HASHES)
def test_whatever_is_hashed_goes_where_envoy_sends_it(name: str, proxies: list[Proxy]) -> None:
    ours, envoys = (bodies(proxy, f"by-{name}", ASKS) for proxy in proxies)

    assert ours == envoys


def test_a_client_without_the_cookie_gets_one_and_stays(proxies: list[Proxy]) -> None:
    for proxy in proxies:
        first = ask(proxy, "by-cookie")
        (cookie,) = [value for name, value in first.headers if name.lower() == "set-cookie"]
        found = re.fullmatch(r'(sticky="[0-9a-f]{16}"); Max-Age=60; Path=/a; HttpOnly', cookie)
        assert found, (proxy.kind, cookie)
        again = [ask(proxy, "by-cookie", "/", ("Cookie", found.group(1))) for _ in range(5)]
        assert {reply.body for reply in again} == {first.body}
        assert all(name.lower() != "set-cookie" for reply in again for name, _ in reply.headers)


COOKIES: dict[str, dict[str, Any]] = {
    "session": {"ttl": "0s"},
    "short": {"ttl": "1.5s"},
    "never": {},
    "flags": {"ttl": "5s", "attributes": [{"name": "Secure"}, {"name": "SameSite", "value": "Lax"}]},
}


@pytest.mark.parametrize("name", COOKIES)
def test_cookies_are_given_in_envoys_words(name: str, proxies: list[Proxy]) -> None:
    for sent in ((), (("Cookie", "sticky="),), (("Cookie", "STICKY=a"),), (("Cookie", "sticky=a"),)):
        given = [ask(proxy, f"by-{name}", "/", *sent).header("set-cookie") for proxy in proxies]
        ours, envoys = (re.sub('"[0-9a-f]{16}"', "<key>", cookie or "none") for cookie in given)
        assert ours == envoys, sent


def through_tcp(proxy: Proxy, source: str) -> bytes:
    with socket.create_connection(("127.0.0.1", proxy.port("tcp")), 10, (source, 0)) as connection:
        connection.sendall(request())
        received = b""
        while not received.endswith((b"0", b"1", b"2", b"3")) or b"\r\n\r\n" not in received:
            received += connection.recv(1000)
        return received[-1:]


def test_connections_go_by_their_source(proxies: list[Proxy]) -> None:
    sources = [f"127.0.0.{number}" for number in range(1, 13)]

    ours, envoys = ([through_tcp(proxy, source) for source in sources] for proxy in proxies)

    assert ours == envoys
    assert len(set(ours)) > 1
