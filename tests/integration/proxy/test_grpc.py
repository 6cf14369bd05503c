"""gRPC through the proxy: all kinds of calls, statuses in logs, deadlines, retries."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.integration.proxy.conftest import Start
from tests.integration.proxy.test_http2_upstreams import options
from tests.support import grpc_echo
from tests.support.bootstrap import cluster, file_log, http_listener, route, virtual_host
from tests.support.client import Response, fetch
from tests.support.grpc_echo import EchoClient, EchoService
from tests.support.http2_origin import Head, Http2Origin, Received, Step, Wait
from tests.support.proxies import Proxy
from tests.support.wait import eventually

Calls = Callable[..., tuple[EchoClient, Proxy]]


@pytest.fixture
def service() -> EchoService:
    return EchoService()


def chained(
    start: Start, port: int, hops: int = 1, hcm: dict[str, Any] | None = None, **action: Any
) -> list[Proxy]:
    """Proxies in a row in front of a port, the first one first."""
    proxies: list[Proxy] = []
    for _ in range(hops):
        to = {"cluster": "c", "timeout": "5s", **action}
        listener = http_listener("l", [virtual_host(route({"prefix": "/"}, to))], **(hcm or {}))
        upstream = cluster("c", port, typed_extension_protocol_options=options())
        proxies.insert(0, start([listener], [upstream]))
        port = proxies[0].port("l")
    return proxies


@pytest.fixture
def calls(start: Start, service: EchoService) -> Iterator[Calls]:
    """A client of the service behind a proxy, whose route has these fields."""
    with contextlib.ExitStack() as stack:

        def begin(**fields: Any) -> tuple[EchoClient, Proxy]:
            port = stack.enter_context(grpc_echo.serving(service))
            proxies = chained(start, port, **fields)
            return stack.enter_context(grpc_echo.client(proxies[0].port("l"))), proxies[0]

        yield begin


@pytest.mark.parametrize("hops", [1, 2])
def test_all_four_kinds_of_calls_go_through(calls: Calls, hops: int) -> None:
    client, proxy = calls(hops=hops)
    many = [b"a", b"bb", b"ccc"]
    reply, call = client.unary.with_call(b"one", timeout=5)
    assert (reply, call.code()) == (b"one", grpc.StatusCode.OK)
    assert dict(call.initial_metadata())["x-head"] == "h"
    assert dict(call.trailing_metadata())["x-bin"] == b"\x00\xff"
    assert list(client.server_stream(b"x", timeout=5)) == [b"x"] * 3
    assert client.client_stream(iter(many), timeout=5) == b"abbccc"
    assert list(client.bidirectional(iter(many), timeout=5)) == many
    assert proxy.stat("cluster.c.upstream_cx_http2_total") == 1


def test_a_conversation_goes_back_and_forth(calls: Calls) -> None:
    client, _ = calls()
    replies: list[bytes] = []

    def turns() -> Iterator[bytes]:
        for number in range(20):
            assert len(replies) == number
            yield str(number).encode()
            assert eventually(lambda: len(replies) == number + 1)  # noqa: B023

    for reply in client.bidirectional(turns(), timeout=10):
        replies.append(reply)
    assert replies == [str(number).encode() for number in range(20)]


def test_large_messages_pass_in_both_directions(calls: Calls) -> None:
    client, _ = calls()
    big = bytes(3 << 20)
    assert client.unary(big, timeout=10) == big
    assert list(client.bidirectional(iter([big] * 3), timeout=10)) == [big] * 3


def test_statuses_reach_the_client_and_the_log(calls: Calls, tmp_path: Path) -> None:
    log = tmp_path / "log"
    text = "%RESPONSE_CODE% %GRPC_STATUS% %GRPC_STATUS_NUMBER% %PROTOCOL% %UPSTREAM_PROTOCOL%\n"
    client, _ = calls(hcm={"access_log": [file_log(log, text)]})
    client.unary(b"", timeout=5)
    # In trailers behind a head; and in the only head, where the call is refused before anything.
    for metadata in ([("say-status", "5")], [("refuse", "1")]):
        with pytest.raises(grpc.RpcError):
            client.unary(b"", metadata=metadata, timeout=5)
    with pytest.raises(grpc.RpcError) as raised:
        list(client.server_stream(b"", metadata=[("say-status", "8"), ("say-text", "full")], timeout=5))
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
    ends = ["OK 0", "NotFound 5", "PermissionDenied 7", "ResourceExhausted 8"]
    assert eventually(
        lambda: log.exists() and log.read_text().splitlines() == [f"200 {end} HTTP/2 HTTP/2" for end in ends]
    )


def test_a_cancelled_call_ends_upstream_alone(calls: Calls, service: EchoService) -> None:
    client, proxy = calls()
    call = client.unary.future(b"", metadata=[("wait", "20")], timeout=30)
    assert eventually(lambda: len(service.calls) == 1)
    call.cancel()
    assert service.cancelled.wait(5)
    assert client.unary(b"again", timeout=5) == b"again"
    assert proxy.stat("cluster.c.upstream_cx_total") == 1


def test_failures_of_the_proxy_are_grpc_statuses(start: Start) -> None:
    dead = Http2Origin()
    dead.close()
    (proxy,) = chained(start, dead.port)
    with grpc_echo.client(proxy.port("l")) as client, pytest.raises(grpc.RpcError) as raised:
        client.unary(b"", timeout=5)
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "upstream connect error" in str(raised.value.details())


def timed_out(start: Start, asked: str, **action: Any) -> tuple[Response, str | None, Proxy]:
    """A call that is not answered, and asks for so much time: its end, and what the upstream was told."""
    origin = Http2Origin(lambda _: [Wait(5)])
    (proxy,) = chained(start, origin.port, **action)
    fields = (("content-type", "application/grpc"), ("grpc-timeout", asked))
    response = fetch(proxy.port("l"), "POST", "/test.Echo/Unary", *fields)
    origin.close()
    return response, origin.received[0].header("grpc-timeout"), proxy


@pytest.mark.parametrize(
    ("asked", "action", "told"),
    [
        ("20S", {"max_grpc_timeout": "0.3s"}, "300m"),
        ("200m", {"max_grpc_timeout": "5s"}, "200m"),
        ("400m", {"max_grpc_timeout": "0s", "grpc_timeout_offset": "0.1s"}, "300m"),
    ],
)
def test_a_call_has_the_time_it_asks_for_up_to_the_routes_maximum(
    start: Start, asked: str, action: dict[str, str], told: str
) -> None:
    response, heard, _ = timed_out(start, asked, **action)
    assert (response.status, response.header("grpc-status")) == (200, "14")
    assert response.header("grpc-message") == "upstream request timeout"
    assert heard == told


def test_a_route_that_does_not_heed_calls_passes_their_timeout_on(calls: Calls, service: EchoService) -> None:
    client, _ = calls()
    client.unary(b"", timeout=20)
    assert 15 < float(service.calls[0]["deadline"]) <= 20


def test_the_life_of_a_call_is_what_it_asks_for_up_to_a_maximum(start: Start) -> None:
    life = {"grpc_timeout_header_max": "0.4s", "grpc_timeout_header_offset": "0.1s"}
    response, heard, proxy = timed_out(start, "20S", max_stream_duration=life)
    assert (response.header("grpc-status"), heard) == ("4", "300m")
    assert proxy.stat("http.l.downstream_rq_max_duration_reached") == 1


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ("cancelled", 1),
        ("deadline-exceeded", 4),
        ("resource-exhausted", 8),
        ("internal", 13),
        ("unavailable", 14),
    ],
)
def test_calls_are_retried_by_their_status(start: Start, condition: str, status: int) -> None:
    codes = iter([status, 0])

    def script(_received: Received) -> list[Step]:
        head = ((":status", "200"), ("content-type", "application/grpc"), ("grpc-status", str(next(codes))))
        return [Head(head, end=True)]

    origin = Http2Origin(script)
    policy = {"retry_on": condition, "num_retries": 1}
    (proxy,) = chained(start, origin.port, retry_policy=policy)
    response = fetch(proxy.port("l"), "POST", "/test.Echo/Unary", ("content-type", "application/grpc"))
    origin.close()
    assert (response.status, response.header("grpc-status")) == (200, "0")
    assert proxy.stat("cluster.c.upstream_rq_retry_success") == 1


def test_calls_that_fail_at_once_eject_their_endpoint(start: Start) -> None:
    head = ((":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "14"))
    origin = Http2Origin(lambda _: [Head(head, end=True)])
    outlier = {"consecutive_5xx": 3, "max_ejection_percent": 100, "base_ejection_time": "60s"}
    listener = http_listener("l", [virtual_host(route({"prefix": "/"}, "c"))])
    fields = {"typed_extension_protocol_options": options(), "outlier_detection": outlier}
    proxy = start([listener], [cluster("c", origin.port, **fields)])
    for _ in range(3):
        fetch(proxy.port("l"), "POST", "/", ("content-type", "application/grpc"))
    origin.close()
    assert proxy.stat("cluster.c.outlier_detection.ejections_enforced_consecutive_5xx") == 1
