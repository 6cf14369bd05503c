"""gRPC of all four kinds through a chain of proxies, with mutual TLS on every hop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from tests.differential.tls.listeners import TLS, certificate, downstream, text
from tests.integration.proxy.conftest import Start
from tests.support.bootstrap import TYPE, Json, cluster, http_listener, route, virtual_host
from tests.support.certificates import Authority, Identity, dns, uri
from tests.support.grpc_echo import EchoClient, EchoService, client, serving
from tests.support.proxies import Proxy
from tests.support.wait import until

CA = Authority()
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
HTTP2: Json = {"explicit_http_config": {"http2_protocol_options": {}}}
CHOSEN: Json = {"auto_config": {"http_protocol_options": {}, "http2_protocol_options": {}}}
# How each proxy of a chain speaks with the next, the last with the server.
CHAINS = {"two": [HTTP2, HTTP2], "three": [HTTP2, CHOSEN, HTTP2], "chosen": [CHOSEN, CHOSEN, CHOSEN]}


def hop(name: str) -> Identity:
    return CA.issue(uri(f"spiffe://mesh.test/{name}"), dns(f"{name}.test"))


def trusted(peer: str) -> Json:
    names = [{"san_type": "URI", "matcher": {"exact": f"spiffe://mesh.test/{peer}"}}]
    return {"trusted_ca": text(CA.root()), "match_typed_subject_alt_names": names}


def toward(name: str, own: Identity, peer: str, version: Json) -> Json:
    common = {"tls_certificates": [certificate(own)], "validation_context": trusted(peer)}
    config = {"@type": TLS + "UpstreamTlsContext", "sni": f"{name}.test", "common_tls_context": common}
    return {
        "transport_socket": {"name": "tls", "typed_config": config},
        "typed_extension_protocol_options": {OPTIONS: {"@type": TYPE + OPTIONS, **version}},
        "connect_timeout": "5s",
    }


@dataclass
class Chain:
    """Proxies, the one next to the server first."""

    service: EchoService
    proxies: list[Proxy]
    client: EchoClient


@pytest.fixture(params=CHAINS)
def chain(request: pytest.FixtureRequest, start: Start) -> Iterator[Chain]:
    service = EchoService()
    server = hop("server")
    pairs = [(server.key.encode(), server.chain.encode())]
    credentials = grpc.ssl_server_credentials(pairs, CA.root().encode(), require_client_auth=True)
    versions: list[Json] = CHAINS[request.param]
    with ExitStack() as stack:
        port, peer, proxies = stack.enter_context(serving(service, credentials)), "server", list[Proxy]()
        for nth, version in reversed(list(enumerate(versions))):
            own = hop(f"hop{nth}")
            before = "client" if nth == 0 else f"hop{nth - 1}"
            listener = http_listener("l", [virtual_host(route({"prefix": "/"}, "next"))])
            common: dict[str, Any] = {"validation_context": trusted(before), "alpn_protocols": ["h2"]}
            listener["filter_chains"][0]["transport_socket"] = downstream(own, common=common)
            proxy = start([listener], [cluster("next", port, **toward(peer, own, peer, version))])
            proxies.append(proxy)
            port, peer = proxy.port("l"), f"hop{nth}"
        caller = hop("client")
        shown = grpc.ssl_channel_credentials(CA.root().encode(), caller.key.encode(), caller.chain.encode())
        name = ("grpc.ssl_target_name_override", "hop0.test")
        yield Chain(service, proxies, stack.enter_context(client(port, name, credentials=shown)))


def test_calls_of_all_kinds_pass(chain: Chain) -> None:
    call, message = chain.client, b"m" * 100_000
    assert call.unary(message, timeout=20) == message
    assert list(call.server_stream(message, metadata=[("count", "5")], timeout=20)) == [message] * 5
    assert call.client_stream(iter([message] * 5), timeout=20) == message * 5
    assert list(call.bidirectional(iter([message] * 5), timeout=20)) == [message] * 5
    for proxy in chain.proxies:
        assert proxy.stat("cluster.next.upstream_cx_http2_total") == 1
        assert proxy.stat("cluster.next.ssl.handshake") == 1
        assert proxy.stat("cluster.next.upstream_rq_total") == 4


def test_status_and_trailers_come_back(chain: Chain) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        chain.client.unary(b"", metadata=[("say-status", "5"), ("say-text", "gone")], timeout=20)
    assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.NOT_FOUND, "gone")
    trailers: Any = failed.value.trailing_metadata()
    assert ("x-trailer", "t") in trailers


def test_a_cancelled_call_ends_at_the_server(chain: Chain) -> None:
    answers = chain.client.server_stream(b"", metadata=[("wait", "20"), ("count", "1")], timeout=20)
    assert next(answers) == b""
    answers.cancel()
    until(chain.service.cancelled.is_set, "the server hears of it")


def test_messages_pass_while_the_call_goes_on(chain: Chain) -> None:
    """Each answer is awaited before the next question."""
    said: list[bytes] = []

    def questions() -> Iterator[bytes]:
        for number in range(5):
            until(lambda: len(said) >= number, "the answer before")  # noqa: B023
            yield bytes([number])

    for reply in chain.client.bidirectional(questions(), timeout=20):
        said.append(reply)
    assert said == [bytes([number]) for number in range(5)]
