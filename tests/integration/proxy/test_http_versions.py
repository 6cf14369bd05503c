"""Which version of HTTP an upstream is spoken to in: the client's, or what the TLS handshake agrees on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.proxy.conftest import Start
from tests.integration.proxy.pki import Authority
from tests.integration.proxy.test_http2_upstreams import MakeOrigin, all_at_once, origin2
from tests.integration.proxy.test_tls import TLS, common, downstream, listener
from tests.support import http2_client
from tests.support.bootstrap import TYPE, cluster, direct, http_listener, virtual_host
from tests.support.client import fetch
from tests.support.http2_origin import Wait, answer, server_tls
from tests.support.proxies import Proxy

__all__ = ["origin2"]

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def speaking(**choice: Any) -> dict[str, Any]:
    return {"typed_extension_protocol_options": {OPTIONS: {"@type": TYPE + OPTIONS, **choice}}}


AUTO = speaking(auto_config={"http_protocol_options": {}, "http2_protocol_options": {}})
EXPLICIT = speaking(explicit_http_config={"http2_protocol_options": {}})
DOWNSTREAM = speaking(
    use_downstream_protocol_config={"http_protocol_options": {}, "http2_protocol_options": {}}
)
OLD: dict[str, Any] = {"http2_protocol_options": {}}


@pytest.fixture(scope="module")
def ca() -> Authority:
    return Authority()


@pytest.fixture
def secure(ca: Authority, origin2: MakeOrigin, tmp_path: Path) -> Callable[..., Any]:
    """An HTTP/2 origin in TLS, and the socket with which it is reached."""

    def make(*alpn: str, offers: tuple[str, ...] = ()) -> tuple[Any, dict[str, Any]]:
        identity = ca.issue(dns=("a.test",))
        origin = origin2(
            lambda _: [Wait(0.1), *answer()], tls=server_tls(*identity.files(tmp_path), alpn=alpn)
        )
        return origin, client_socket(ca, offers)

    return make


def client_socket(ca: Authority, offers: tuple[str, ...] = ()) -> dict[str, Any]:
    settings = {**common(ca.issue(), ca.root()), "alpn_protocols": list(offers)}
    config = {"@type": TLS + "UpstreamTlsContext", "sni": "a.test", "common_tls_context": settings}
    return {"name": "tls", "typed_config": config}


@pytest.mark.parametrize("spoken", [EXPLICIT, AUTO, OLD])
def test_http2_is_offered_and_spoken_in_tls(
    start: Start, secure: Callable[..., Any], spoken: dict[str, Any]
) -> None:
    origin, socket = secure("h2")
    proxy = start([listener("l", "c")], [cluster("c", origin.port, transport_socket=socket, **spoken)])
    assert all_at_once(12, lambda _: fetch(proxy.port("l")).status) == [200] * 12
    assert (origin.connections, origin.violations) == (1, [])
    assert proxy.stat("cluster.c.upstream_cx_http2_total") == 1


def test_a_server_that_chooses_http1_gets_it(start: Start, ca: Authority) -> None:
    inner = http_listener("in", [virtual_host(direct({"prefix": "/"}, 200, "fine"))], codec_type="HTTP1")
    socket = downstream(ca.issue(dns=("a.test",)), ca.root(), required=False)
    socket["typed_config"]["common_tls_context"]["alpn_protocols"] = ["http/1.1"]
    inner["filter_chains"][0]["transport_socket"] = socket
    server = start([inner], [])
    to = cluster("c", server.port("in"), transport_socket=client_socket(ca), **AUTO)
    proxy = start([listener("l", "c")], [to])
    assert all_at_once(8, lambda _: fetch(proxy.port("l")).body) == [b"fine"] * 8
    assert proxy.stat("cluster.c.upstream_cx_http2_total") == 0
    assert proxy.stat("cluster.c.upstream_cx_http1_total") >= 1


def test_configured_protocols_are_offered_in_place_of_ours(start: Start, secure: Callable[..., Any]) -> None:
    origin, socket = secure("h2", "special", offers=("special", "h2"))
    proxy = start([listener("l", "c")], [cluster("c", origin.port, transport_socket=socket, **AUTO)])
    assert fetch(proxy.port("l")).status == 200
    assert proxy.stat("cluster.c.upstream_cx_http2_total") == 1


def test_the_clients_version_is_spoken_on(start: Start, origin2: MakeOrigin) -> None:
    # Each version has a proxy of its own behind, which says what it was spoken to in.
    host = virtual_host(direct({"prefix": "/"}, 200, "fine"))
    back = start([http_listener("in", [host])], [])
    proxy = start([listener("l", "c")], [cluster("c", back.port("in"), **DOWNSTREAM)])

    def seen(proxy: Proxy) -> tuple[float, float]:
        return proxy.stat("http.in.downstream_rq_http1_total"), proxy.stat(
            "http.in.downstream_rq_http2_total"
        )

    assert fetch(proxy.port("l")).body == b"fine"
    assert seen(back) == (1, 0)
    assert http2_client.fetch(proxy.port("l")).body == b"fine"
    assert seen(back) == (1, 1)
    assert fetch(proxy.port("l")).body == b"fine"
    assert seen(back) == (2, 1)
    assert proxy.stat("cluster.c.upstream_cx_total") == 2


def test_agreement_needs_tls(start: Start) -> None:
    with pytest.raises(AssertionError, match="auto_config: the version is agreed on by ALPN"):
        start([listener("l", "c")], [cluster("c", 1, **AUTO)])
