"""gRPC through a pair of sidecars with mutual TLS between them: grpcio at both ends sees a direct line."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import grpc
import pytest

from tests.integration.http2.stage import http2_cluster, tls_client_socket, tls_socket
from tests.integration.proxy.pki import Authority
from tests.support.bootstrap import cluster, http_listener, route, static, virtual_host
from tests.support.grpc_echo import EchoClient, EchoService, client, serving
from tests.support.http2_client import Http2Client
from tests.support.proxies import Kind, Proxy, running

KIND: Kind = "meshproxy"
PATIENCE = 8.0


@dataclass(frozen=True)
class Pair:
    """The client's sidecar, the server's, and the service behind them."""

    near: Proxy
    far: Proxy
    service: EchoService

    @property
    def port(self) -> int:
        return self.near.port("outbound")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("grpc")
    authority, service = Authority(), EchoService()
    to_app = [virtual_host(route({"prefix": "/"}, {"cluster": "app", "timeout": "0s"}))]
    inbound = http_listener("inbound", to_app)
    inbound["filter_chains"][0]["transport_socket"] = tls_socket(authority, folder, mutual=True)
    dead = route({"prefix": "/dead."}, "dead")
    hurried = route({"prefix": "/test.Hurried"}, {"cluster": "peer", "timeout": "0.3s"})
    limits = {"max_stream_duration": {"grpc_timeout_header_max": "0s"}, "timeout": "0s"}
    watched = {"prefix": "/", "headers": [{"name": "x-watched", "present_match": True}]}
    rest = route({"prefix": "/"}, {"cluster": "peer", "timeout": "0s"})
    to_peer = [virtual_host(dead, hurried, route(watched, {"cluster": "peer", **limits}), rest)]
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(serving(service))
        far = stack.enter_context(
            running(KIND, static([inbound], [http2_cluster("app", port)]), folder / "far")
        )
        peer = http2_cluster(
            "peer", far.port("inbound"), transport_socket=tls_client_socket(authority, folder)
        )
        outbound = static([http_listener("outbound", to_peer)], [peer, cluster("dead", 1)])
        near = stack.enter_context(running(KIND, outbound, folder / "near"))
        yield Pair(near, far, service)


@pytest.fixture
def echo(pair: Pair) -> Iterator[EchoClient]:
    pair.service.calls.clear()
    pair.service.cancelled.clear()
    pair.service.sent = 0
    with client(pair.port) as one:
        yield one


def failure(call: Callable[[], object]) -> grpc.Call:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    assert isinstance(raised.value, grpc.Call)
    return raised.value


def test_all_four_kinds_of_calls(echo: EchoClient) -> None:
    assert echo.unary(b"one", timeout=PATIENCE) == b"one"
    assert list(echo.server_stream(b"x", timeout=PATIENCE, metadata=(("count", "5"),))) == [b"x"] * 5
    assert echo.client_stream(iter([b"a", b"b", b"c"]), timeout=PATIENCE) == b"abc"
    assert list(echo.bidirectional(iter([b"1", b"2"]), timeout=PATIENCE)) == [b"1", b"2"]


def test_metadata_of_both_ends_and_both_ways(pair: Pair, echo: EchoClient) -> None:
    metadata = (("x-text", "t"), ("x-some-bin", b"\x00\x01\xff"), ("x-twice", "1"), ("x-twice", "2"))
    reply, call = echo.unary.with_call(b"m", timeout=PATIENCE, metadata=metadata)
    assert reply == b"m"
    assert ("x-head", "h") in call.initial_metadata()
    assert {("x-trailer", "t"), ("x-bin", b"\x00\xff")} <= set(call.trailing_metadata())
    (seen,) = pair.service.calls
    assert (seen["x-text"], seen["x-some-bin"], seen["x-twice"]) == ("t", str(b"\x00\x01\xff"), "2")


def test_a_large_message_in_both_directions(echo: EchoClient) -> None:
    large = bytes(range(256)) * 12_000
    assert echo.unary(large, timeout=PATIENCE) == large
    assert list(echo.bidirectional(iter([large] * 3), timeout=PATIENCE)) == [large] * 3


@pytest.mark.parametrize("status", [1, 2, 5, 7, 13, 14, 16])
def test_status_and_message_of_the_server_arrive(echo: EchoClient, status: int) -> None:
    told = (("say-status", str(status)), ("say-text", "why: ümlaut % and\nline"))
    error = failure(lambda: echo.unary(b"", timeout=PATIENCE, metadata=_bytes(told)))
    assert (error.code().value[0], error.details()) == (status, "why: ?mlaut % and line")


def _bytes(told: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Metadata is ASCII without line ends."""
    return tuple((k, v.encode("ascii", "replace").decode().replace("\n", " ")) for k, v in told)


def test_a_refusal_without_any_message_has_its_trailers(echo: EchoClient) -> None:
    """Trailers alone: status and metadata are in the one head."""
    error = failure(lambda: echo.unary(b"", timeout=PATIENCE, metadata=(("refuse", "1"),)))
    assert error.code() == grpc.StatusCode.PERMISSION_DENIED
    assert error.details() == "refused"
    assert ("x-trailer", "t") in (error.trailing_metadata() or ())


def test_a_stream_that_fails_half_way_gives_what_came(echo: EchoClient) -> None:
    call = echo.server_stream(b"x", timeout=PATIENCE, metadata=(("count", "2"), ("say-status", "13")))
    assert [next(call), next(call)] == [b"x", b"x"]
    assert failure(lambda: next(call)).code() == grpc.StatusCode.INTERNAL


def test_messages_flow_one_by_one_in_both_directions(echo: EchoClient) -> None:
    """Each is answered before the next is sent: nothing waits for more bytes or for the end."""
    turn = threading.Semaphore(1)

    def questions() -> Iterator[bytes]:
        for number in range(20):
            assert turn.acquire(timeout=PATIENCE)
            yield str(number).encode()

    heard = []
    for reply in echo.bidirectional(questions(), timeout=PATIENCE):
        heard.append(reply)
        turn.release()
    assert heard == [str(number).encode() for number in range(20)]


def test_the_deadline_travels_and_is_kept(pair: Pair, echo: EchoClient) -> None:
    error = failure(lambda: echo.unary(b"", timeout=0.3, metadata=(("wait", "30"),)))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    (seen,) = pair.service.calls
    assert 0.0 < float(seen["deadline"]) <= 0.31
    assert pair.service.cancelled.wait(PATIENCE)


def test_the_proxy_itself_keeps_the_deadline_where_it_is_told_to(pair: Pair, echo: EchoClient) -> None:
    fields = (("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "200m"))
    with Http2Client(pair.port) as raw:
        call = ("POST", "/test.Echo/Unary", *fields, ("wait", "30"), ("x-watched", "1"))
        got = raw.fetch(*call, body=b"\0\0\0\0\0")
    # The service had sent its head, so there is no other way left to say it.
    assert (got.status, got.reset is not None) == (200, True)
    assert pair.service.cancelled.wait(PATIENCE)


def test_a_cancelled_call_is_cancelled_at_the_server(pair: Pair, echo: EchoClient) -> None:
    call = echo.server_stream(b"x", timeout=30, metadata=(("count", "1"), ("wait", "30")))
    assert next(call) == b"x"
    call.cancel()
    assert pair.service.cancelled.wait(PATIENCE)
    # The connection that it shared lives on.
    assert echo.unary(b"next", timeout=PATIENCE) == b"next"


def test_a_reader_that_stops_stops_its_writer(pair: Pair, echo: EchoClient) -> None:
    """Back pressure, end to end: what nobody reads is not produced."""
    message = bytes(64 * 1024)
    call = echo.server_stream(message, timeout=30, metadata=(("count", "2000"),))
    assert next(call) == message
    produced = -1
    deadline = time.monotonic() + PATIENCE
    while pair.service.sent != produced:
        assert time.monotonic() < deadline
        produced = pair.service.sent
        time.sleep(0.3)  # it has come to rest when it does not move for so long
    assert produced < 400
    call.cancel()


def test_a_reader_that_stops_for_a_while_misses_nothing(echo: EchoClient) -> None:
    message = bytes(64 * 1024)
    call = echo.server_stream(message, timeout=30, metadata=(("count", "100"),))
    assert next(call) == message
    time.sleep(0.3)  # windows and buffers fill meanwhile
    assert sum(1 for _ in call) == 99


def test_many_calls_share_a_connection(pair: Pair, echo: EchoClient) -> None:
    futures = [echo.unary.future(str(n).encode(), timeout=PATIENCE) for n in range(200)]
    assert [future.result() for future in futures] == [str(n).encode() for n in range(200)]
    assert pair.near.stat("cluster.peer.upstream_cx_total") < 10


def test_the_proxy_speaks_grpc_of_its_own_errors(pair: Pair) -> None:
    """A cluster without a living endpoint: a status in the head, with HTTP 200, and no body."""
    with Http2Client(pair.port) as raw:
        grpc_head = (("content-type", "application/grpc"), ("te", "trailers"))
        dead = raw.fetch("POST", "/dead.Service/Call", *grpc_head, body=b"\0\0\0\0\0")
        assert (dead.status, dead.header("grpc-status"), dead.body) == (200, "14", b"")
        assert dead.header("content-type") == "application/grpc"
        hurried = raw.fetch("POST", "/test.Hurried/Call", *grpc_head, ("grpc-timeout", "1S"))
        assert hurried.header("grpc-status") == "12"


def test_the_status_is_counted(pair: Pair, echo: EchoClient) -> None:
    before = pair.near.stat("cluster.peer.upstream_rq_2xx")
    assert echo.unary(b"", timeout=PATIENCE) == b""
    assert pair.near.stat("cluster.peer.upstream_rq_2xx") == before + 1
