"""TLS with upstreams takes names from requests: what is sent and what is checked are as with Envoy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.differential.tls.listeners import TLS, text
from tests.support.bootstrap import TYPE, Json, cluster, http_listener, route, static, virtual_host
from tests.support.certificates import Authority, dns, ip
from tests.support.client import fetch
from tests.support.proxies import Proxy, side_by_side
from tests.support.tls_origin import TlsOrigin, server_context

CA = Authority()
SERVER = CA.issue(
    dns("a.example"), dns("b.example"), dns("*.wild.example"), ip("10.0.0.1"), ip("2001:db8::1")
)
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
TRUSTED = {"validation_context": {"trusted_ca": text(CA.root())}}
BOTH = {"auto_sni": True, "auto_san_validation": True}


def upstream(port: int, names: Json, common: Json = TRUSTED, **fields: Any) -> Json:
    """What of a cluster takes names from requests."""
    socket = {"@type": TLS + "UpstreamTlsContext", "common_tls_context": common, **fields}
    options = {
        "@type": TYPE + OPTIONS,
        "upstream_http_protocol_options": names,
        "explicit_http_config": {"http_protocol_options": {}},
    }
    return {
        "transport_socket": {"name": "tls", "typed_config": socket},
        "typed_extension_protocol_options": {OPTIONS: options},
    }


def named(kind: str, matcher: str) -> Json:
    names = [{"san_type": kind, "matcher": {"exact": matcher}}]
    return {"validation_context": {"trusted_ca": text(CA.root()), "match_typed_subject_alt_names": names}}


def untrusted() -> Json:
    rules = {"trusted_ca": text(CA.root()), "trust_chain_verification": "ACCEPT_UNTRUSTED"}
    return {"validation_context": rules}


# Of a cluster: names from requests, and the TLS context.
CLUSTERS: dict[str, tuple[Json, Json]] = {
    "sent": ({"auto_sni": True}, {"sni": "fixed.example"}),
    "sent_or_none": ({"auto_sni": True}, {}),
    "both": (BOTH, {}),
    "both_fixed": (BOTH, {"sni": "fixed.example"}),
    "checked": ({"auto_san_validation": True}, {"sni": "fixed.example"}),
    "by_header": ({**BOTH, "override_auto_sni_header": "x-name"}, {}),
    "by_authority": ({**BOTH, "override_auto_sni_header": ":authority"}, {}),
    "names_too": (BOTH, {"common": named("DNS", "b.example")}),
    "other_names": (BOTH, {"common": named("DNS", "c.example")}),
    "unchecked": (BOTH, {"common": {}}),
    "untrusted": (BOTH, {"common": untrusted()}),
    "own_check": ({"auto_sni": True}, {"auto_sni_san_validation": True}),
    "own_check_names": (
        {"auto_sni": True},
        {"auto_sni_san_validation": True, "common": named("DNS", "c.example")},
    ),
    "own_check_fixed": ({}, {"auto_sni_san_validation": True, "sni": "a.example"}),
    "own_check_wrong": ({}, {"auto_sni_san_validation": True, "sni": "c.example"}),
    "own_check_nothing": ({}, {"auto_sni_san_validation": True}),
}
HOSTS = [
    b"a.example",
    b"a.example:8443",
    b"A.Example",
    b"b.example",
    b"c.example",
    b"x.wild.example",
    b"x.y.wild.example",
    b"wild.example",
    b"10.0.0.1",
    b"10.0.0.1:80",
    b"10.0.0.2",
    b"[2001:db8::1]",
    b"[2001:db8::1]:443",
    b"a.example",
]
REWRITES: dict[str, Json] = {
    "literal": {"host_rewrite_literal": "b.example"},
    "header": {"host_rewrite_header": "x-host"},
    "endpoint": {"auto_host_rewrite": True},
}


def bootstrap(port: int) -> Json:
    clusters = [
        cluster(name, port, **upstream(port, names, **socket)) for name, (names, socket) in CLUSTERS.items()
    ]
    for made in clusters:
        made["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["hostname"] = "b.example"
    routes = [
        route({"prefix": f"/{name}/{rewrite}"}, {"cluster": name, **fields})
        for name in ("both", "by_header")
        for rewrite, fields in REWRITES.items()
    ]
    added = {"request_headers_to_add": [{"header": {"key": "x-name", "value": "b.example"}}]}
    routes.append(route({"prefix": "/by_header/added"}, "by_header", **added))
    routes += [route({"prefix": f"/{name}/"}, name) for name in CLUSTERS]
    return static([http_listener("l", [virtual_host(*routes)])], clusters)


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Proxy]]:
    folder = tmp_path_factory.mktemp("names")
    with (
        TlsOrigin(server_context(SERVER, folder / "o")) as origin,
        side_by_side(bootstrap(origin.port), folder) as [ours, envoy],
    ):
        yield ours, envoy


def ask(proxy: Proxy, path: str, host: bytes, *lines: bytes) -> tuple[int, bytes]:
    headers = tuple(
        (name.decode(), value.decode()) for name, value in (line.split(b": ", 1) for line in lines)
    )
    reply = fetch(proxy.port("l"), "GET", path, *headers, host=host.decode())
    return reply.status, reply.body if reply.status == 200 else b""


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_same_names_are_sent_and_checked(name: str, proxies: tuple[Proxy, Proxy]) -> None:
    for host in HOSTS:
        ours, envoy = (ask(proxy, f"/{name}/", host) for proxy in proxies)
        assert ours == envoy, host


NAMED = [
    ("/by_header/", b"X-Name: b.example"),
    ("/by_header/", b"X-Name: b.example:80"),
    ("/by_header/", b"X-Name: c.example"),
    ("/by_header/", b"X-Name: 10.0.0.1"),
    ("/by_header/", b"X-Name: "),
    ("/by_header/", b"X-Other: b.example"),
    ("/by_header/added", b"X-Other: 1"),
    ("/by_header/literal", b"X-Other: 1"),
    ("/by_header/literal", b"X-Name: a.example"),
    ("/both/literal", b"X-Other: 1"),
    ("/both/header", b"X-Host: b.example"),
    ("/both/header", b"X-Host: c.example"),
    ("/both/endpoint", b"X-Other: 1"),
]


@pytest.mark.parametrize(("path", "line"), NAMED)
def test_rewritten_hosts_and_headers_give_the_same_names(
    path: str, line: bytes, proxies: tuple[Proxy, Proxy]
) -> None:
    ours, envoy = (ask(proxy, path, b"a.example", line) for proxy in proxies)
    assert ours == envoy
