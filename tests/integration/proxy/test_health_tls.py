"""Health checks over TLS: they pass with a server that is trusted, and fail with any other."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.differential.tls.listeners import TLS, certificate, downstream, text
from tests.integration.proxy.conftest import MakeOrigin, Start
from tests.integration.proxy.test_health import check, flags_of, grpc_health, serve
from tests.support.bootstrap import Json, cluster, tcp_listener
from tests.support.certificates import Authority, dns, uri
from tests.support.http2_origin import Http2Origin
from tests.support.origin import answer
from tests.support.server import LoopbackServer
from tests.support.wait import until

CA, STRANGER = Authority("root"), Authority("stranger")
CHECKER = CA.issue(uri("spiffe://mesh.test/checker"))
CHECKS: dict[str, Json] = {
    "http1": {"http_health_check": {"path": "/health"}},
    "http2": {"http_health_check": {"path": "/health", "codec_client_type": "HTTP2"}},
    "grpc": {"grpc_health_check": {"service_name": "shop"}},
    "tcp": {"tcp_health_check": {"send": {"text": "70696e67"}, "receive": [{"text": "706f6e67"}]}},
    "connecting": {"tcp_health_check": {}},
}


class Pong(LoopbackServer):
    """Answers whatever comes with `pong`."""

    def __init__(self) -> None:
        self.__post_init__()

    def serve(self, connection: socket.socket) -> None:
        while connection.recv(4096):
            connection.sendall(b"pong")


@pytest.fixture
def behind(origin: MakeOrigin) -> Iterator[Callable[[str], int]]:
    """The port of a plain endpoint that passes one kind of checks."""
    with ExitStack() as stack:

        def begin(kind: str) -> int:
            match kind:
                case "http1":
                    return origin(lambda _: answer(200)).port
                case "http2":
                    return stack.enter_context(Http2Origin()).port
                case "grpc":
                    return stack.enter_context(grpc_health({"now": 1}, []))
                case _:
                    return stack.enter_context(Pong()).port

        yield begin


def endpoint(start: Start, to: int, authority: Authority = CA, protocol: str = "") -> int:
    """Ends TLS before a plain endpoint. With a protocol, only who offers that gets through."""
    socket = downstream(
        authority.issue(dns("endpoint.test")),
        common={
            "validation_context": {"trusted_ca": text(CA.root())},
            "alpn_protocols": [protocol] if protocol else [],
        },
        require_client_certificate=True,
    )
    listener = tcp_listener("in", "plain")
    listener["filter_chains"][0]["transport_socket"] = socket
    if protocol:
        listener["filter_chains"][0]["filter_chain_match"] = {"application_protocols": [protocol]}
    return start([listener], [cluster("plain", to)]).port("in")


def checking(kind: str, **fields: Any) -> Json:
    made = check(**CHECKS[kind], **fields)
    if "http_health_check" not in CHECKS[kind]:
        del made["http_health_check"]
    return made


def trusting(**fields: Any) -> Json:
    names = [{"san_type": "DNS", "matcher": {"exact": "endpoint.test"}}]
    rules = {"trusted_ca": text(CA.root()), "match_typed_subject_alt_names": names}
    common = {"tls_certificates": [certificate(CHECKER)], "validation_context": rules, **fields}
    config = {"@type": TLS + "UpstreamTlsContext", "common_tls_context": common}
    return {"name": "tls", "typed_config": config}


@pytest.mark.parametrize("kind", CHECKS)
def test_a_trusted_endpoint_passes(start: Start, behind: Callable[[str], int], kind: str) -> None:
    port = endpoint(start, behind(kind))
    proxy = serve(start, [port], checking(kind), transport_socket=trusting())
    until(lambda: proxy.stat("cluster.c.health_check.success") >= 3, "successes")
    assert flags_of(proxy, port) == "healthy"
    assert proxy.stat("cluster.c.health_check.failure") == 0


@pytest.mark.parametrize("kind", CHECKS)
def test_an_endpoint_of_a_stranger_fails(start: Start, behind: Callable[[str], int], kind: str) -> None:
    port = endpoint(start, behind(kind), STRANGER)
    proxy = serve(start, [port], checking(kind), transport_socket=trusting())
    until(lambda: proxy.stat("cluster.c.health_check.failure") >= 2, "failures")
    assert flags_of(proxy, port).startswith("/failed_active_hc")
    assert proxy.stat("cluster.c.health_check.success") == 0


@pytest.mark.parametrize("own", [["h2"], ["other", "h2"], ["other"], None])
def test_checks_offer_protocols_of_their_own(
    start: Start, behind: Callable[[str], int], own: list[str] | None
) -> None:
    port = endpoint(start, behind("http2"), protocol="h2")
    options = {"tls_options": {"alpn_protocols": own}} if own else {}
    context = trusting(alpn_protocols=["context"])
    proxy = serve(start, [port], checking("http2", **options), transport_socket=context)
    wanted = "success" if own and "h2" in own else "failure"
    until(lambda: proxy.stat(f"cluster.c.health_check.{wanted}") >= 2, wanted)
    other = {"success": "failure", "failure": "success"}[wanted]
    assert proxy.stat(f"cluster.c.health_check.{other}") == 0


def test_a_check_chooses_its_transport_by_its_own_labels(start: Start, behind: Callable[[str], int]) -> None:
    port = endpoint(start, behind("http1"))
    labels = {"tls": "yes"}
    matches = [{"name": "tls", "match": labels, "transport_socket": trusting()}]
    health = checking("http1", transport_socket_match_criteria=labels)
    proxy = serve(start, [port], health, transport_socket_matches=matches)
    until(lambda: proxy.stat("cluster.c.health_check.success") >= 3, "successes")
    assert flags_of(proxy, port) == "healthy"
