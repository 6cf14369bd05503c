"""HTTP/2 with clients: many exchanges over one connection, windows, resets, and how a connection lives."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.proxy.conftest import MakeOrigin, Start
from tests.support import http2_frames as frames
from tests.support.bootstrap import cluster, fault, file_log, http_listener, route, router, virtual_host
from tests.support.client import Client, request
from tests.support.http2_client import Http2Client, RawClient, fetch
from tests.support.http2_frames import Code
from tests.support.origin import Answer, Received, answer
from tests.support.proxies import Proxy
from tests.support.wait import eventually

Simple = Callable[..., Proxy]


def echo(received: Received) -> Answer:
    return answer(200, received.body, ("x-method", received.method), ("x-target", received.target))


def logged(path: Path, count: int = 1) -> list[str]:
    def lines() -> list[str]:
        return path.read_text().splitlines() if path.exists() else []

    eventually(lambda: len(lines()) >= count)
    return lines()


def ended(client: RawClient, code: Code) -> bool:
    """The proxy has closed the connection, and said why."""
    return client.cut() and client.goaway is not None and client.goaway.code == code


def test_the_preface_chooses_the_version(simple: Simple, origin: MakeOrigin) -> None:
    proxy = simple(origin(echo).port)
    assert fetch(proxy.port("l"), "POST", "/p?q", body=b"two").body == b"two"
    with Client(proxy.port("l")) as client:
        client.send(request("POST", "/", body=b"one"))
        assert client.response().body == b"one"
    assert proxy.stat("http.l.downstream_cx_http2_total") == 1
    assert proxy.stat("http.l.downstream_cx_http1_total") == 1
    assert proxy.stat("http.l.downstream_rq_http2_total") == 1


def test_a_preface_in_pieces_is_awaited(simple: Simple, origin: MakeOrigin) -> None:
    proxy = simple(origin(echo).port)
    with RawClient(proxy.port("l"), preface=False) as client:
        for byte in frames.PREFACE:
            client.send(bytes([byte]))
        client.send(frames.settings())
        client.request()
        assert client.answer().status == 200


@pytest.mark.parametrize("codec", ["HTTP2", "AUTO"])
def test_requests_of_one_connection_do_not_wait_for_each_other(
    simple: Simple, origin: MakeOrigin, codec: str
) -> None:
    def script(received: Received) -> Answer:
        return answer(200, received.target.encode()) if received.target != "/slow" else Answer(wait=0.3)

    proxy = simple(origin(script).port, hcm={"codec_type": codec})
    with Http2Client(proxy.port("l")) as client:
        slow = client.request(path="/slow")
        streams = {client.request(path=f"/{n}"): f"/{n}".encode() for n in range(20)}
        for stream, body in streams.items():
            assert client.answer(stream).body == body
        assert not client.answers[slow].finished
    assert proxy.stat("http.l.downstream_cx_total") == 1


def test_large_bodies_cross_both_ways(simple: Simple, origin: MakeOrigin) -> None:
    body = bytes(range(256)) * 8000
    upstream = origin(echo)
    proxy = simple(upstream.port)
    with Http2Client(proxy.port("l")) as client:
        assert client.fetch("POST", "/", ("content-length", str(len(body))), body=body).body == body
        assert client.fetch("POST", "/", body=body).body == body
    assert upstream.received[1].header("transfer-encoding") == "chunked"


def test_a_response_waits_for_the_clients_windows(simple: Simple, origin: MakeOrigin) -> None:
    body = bytes(300_000)
    proxy = simple(origin(lambda _: answer(200, body)).port)
    with Http2Client(proxy.port("l")) as client:
        client.reads = False
        held = client.request()
        client.until(lambda me: len(me.answers[held].body) == 65_535)
        client.h2.increment_flow_control_window(1_000_000)
        client.flush()
        other = client.request(path="/other")
        client.until(lambda me: len(me.answers[other].body) == 65_535)
        assert len(client.answers[held].body) == 65_535
        client.h2.increment_flow_control_window(400_000, held)
        client.flush()
        assert client.answer(held).body == body


def send_until_held(client: Http2Client, stream: int, most: int) -> int:
    """Bytes that the proxy takes of a body before it gives no more window."""
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < most:
            room = min(client.h2.local_flow_control_window(stream), 16_384)
            if room <= 0:
                client.receive(0.3)
                continue
            client.h2.send_data(stream, bytes(room))
            client.flush()
            sent += room
    return sent


def test_a_client_that_sends_is_held_back_by_its_upstream(simple: Simple, origin: MakeOrigin) -> None:
    go = threading.Event()
    upstream = origin(echo)

    def early(head: Received) -> None:
        if head.target != "/other":
            go.wait(10)

    upstream.early = early
    proxy = simple(upstream.port)
    with Http2Client(proxy.port("l")) as client:
        stream = client.request("POST", end=False)
        sent = send_until_held(client, stream, 40_000_000)
        assert client.h2.local_flow_control_window(stream) <= 0, sent
        assert client.fetch(path="/other").status == 200
        go.set()
        client.send(stream, b"z", end=True)
        assert len(client.answer(stream).body) == sent + 1
    assert proxy.stat("http.l.downstream_flow_control_paused_reading_total") > 0


def test_a_body_that_comes_before_its_upstream_waits(simple: Simple, origin: MakeOrigin) -> None:
    filters = [fault(delay={"fixed_delay": "0.6s", "percentage": {"numerator": 100}}), router()]
    proxy = simple(origin(echo).port, hcm={"http_filters": filters})
    with Http2Client(proxy.port("l")) as client:
        stream = client.request("POST", end=False)
        sent = send_until_held(client, stream, 10_000_000)
        assert sent <= 2 * 65_536
        client.send(stream, bytes(200_000), end=True)
        assert len(client.answer(stream).body) == sent + 200_000


def test_trailers_cross_both_ways(simple: Simple, origin: MakeOrigin) -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"
    upstream = origin(lambda _: Answer(chunked))
    proxy = simple(upstream.port)
    with Http2Client(proxy.port("l")) as client:
        stream = client.request("POST", body=b"abc", trailers=[("x-up", "2")])
        got = client.answer(stream)
    assert (got.body, got.trailers) == (b"abc", (("x-sum", "1"),))


def test_an_early_answer_stands_and_the_rest_is_not_wanted(simple: Simple, origin: MakeOrigin) -> None:
    upstream = origin(echo)
    upstream.early = lambda _: Answer(answer(413, b"too much").data, "close")
    proxy = simple(upstream.port)
    with Http2Client(proxy.port("l")) as client:
        stream = client.request("POST", body=b"a", end=False)
        client.until(lambda me: me.answers[stream].reset is not None)
        got = client.answers[stream]
        assert (got.status, got.body, got.ended, got.reset) == (413, b"too much", True, Code.NO_ERROR)
        assert client.fetch(path="/next").status == 413


def test_a_broken_response_is_reset(simple: Simple, origin: MakeOrigin) -> None:
    cut = Answer(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", "close")
    proxy = simple(origin(lambda received: cut if received.target == "/cut" else answer()).port)
    with Http2Client(proxy.port("l")) as client:
        got = client.answer(client.request(path="/cut"))
        assert (got.status, got.body, got.ended, got.reset) == (200, b"half", False, Code.INTERNAL_ERROR)
        assert client.fetch().status == 200


def test_a_reset_ends_the_exchange_and_says_so(simple: Simple, origin: MakeOrigin, tmp_path: Path) -> None:
    log = tmp_path / "log"
    form = "%PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"
    upstream = origin(lambda received: Answer(wait=5) if received.target == "/slow" else answer())
    proxy = simple(upstream.port, hcm={"access_log": [file_log(log, form)]})
    with Http2Client(proxy.port("l")) as client:
        stream = client.request(path="/slow")
        assert client.fetch().status == 200
        client.reset(stream)
        assert logged(log, 2)[1] == "HTTP/2 0 DR http2.remote_reset"
        assert client.fetch().status == 200
    assert proxy.stat("http.l.downstream_rq_rx_reset") == 1
    assert proxy.stat("http2.rx_reset") == 1
    eventually(lambda: proxy.stat("cluster.origin.upstream_cx_active") <= 1)


def test_a_connection_that_breaks_ends_all_its_exchanges(
    simple: Simple, origin: MakeOrigin, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    form = "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"
    proxy = simple(origin(lambda _: Answer(wait=5)).port, hcm={"access_log": [file_log(log, form)]})
    with Http2Client(proxy.port("l")) as client:
        for _ in range(3):
            client.request()
        eventually(lambda: proxy.stat("http.l.downstream_rq_active") == 3)
    assert logged(log, 3) == ["0 DC downstream_remote_disconnect"] * 3
    eventually(lambda: proxy.stat("http.l.downstream_cx_http2_active") == 0)
    assert proxy.stat("http2.streams_active") == 0


def test_a_malformed_request_ends_its_stream_alone(
    simple: Simple, origin: MakeOrigin, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    form = "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"
    proxy = simple(origin(echo).port, hcm={"access_log": [file_log(log, form)]})
    with RawClient(proxy.port("l")) as client:
        client.request(1, "/", ("connection", "close"))
        client.request(3, "/")
        assert client.answer(1).reset == Code.PROTOCOL_ERROR
        assert client.answer(3).status == 200
    assert logged(log, 2)[0] == "0 DPE http2.invalid.header.field"


def test_a_malformed_request_ends_the_connection_where_asked(simple: Simple, origin: MakeOrigin) -> None:
    options = {"override_stream_error_on_invalid_http_message": False}
    proxy = simple(origin(echo).port, hcm={"http2_protocol_options": options})
    with RawClient(proxy.port("l")) as client:
        client.request(1, "/", ("connection", "close"))
        assert ended(client, Code.PROTOCOL_ERROR)
    assert proxy.stat("http.l.downstream_cx_protocol_error") == 1


def test_a_head_over_the_limits_is_answered_431(simple: Simple, origin: MakeOrigin) -> None:
    proxy = simple(origin(echo).port)
    with RawClient(proxy.port("l")) as client:
        client.request(1, "/", *((f"x-{n}", "1") for n in range(120)))
        client.request(3, "/")
        assert client.answer(1).status == 431
        assert client.answer(3).status == 200
    assert proxy.stat("http2.header_overflow") == 1


def test_a_target_that_is_no_path_is_answered_here(simple: Simple, origin: MakeOrigin) -> None:
    proxy = simple(origin(echo).port)
    assert fetch(proxy.port("l"), "OPTIONS", "*").status == 404


def grpc(client: Http2Client, path: str = "/s/m") -> dict[str, str]:
    stream = client.request(
        "POST", path, ("content-type", "application/grpc"), ("te", "trailers"), body=b"\0" * 5
    )
    got = client.answer(stream)
    assert (got.status, got.body, got.trailers) == (200, b"", None)
    return dict(got.headers)


def test_local_answers_to_grpc_are_trailers_only(start: Start, origin: MakeOrigin, tmp_path: Path) -> None:
    log = tmp_path / "log"
    listener = http_listener(
        "l",
        [
            virtual_host(
                route({"prefix": "/s"}, {"cluster": "none"}), route({"prefix": "/d"}, {"cluster": "dead"})
            )
        ],
        access_log=[file_log(log, "%GRPC_STATUS% %RESPONSE_CODE_DETAILS%\n")],
    )
    proxy = start([listener], [cluster("dead", origin(lambda _: Answer(b"", "close")).port)])
    with Http2Client(proxy.port("l")) as client:
        assert grpc(client)["grpc-status"] == "14"
        assert grpc(client, "/none")["grpc-status"] == "12"
        assert grpc(client, "/d")["grpc-status"] == "14"
    lines = logged(log, 3)
    assert lines[:2] == ["Unavailable cluster_not_found", "Unimplemented route_not_found"]
    assert lines[2].startswith("Unavailable upstream_reset_before_response_started")


def test_streams_over_the_limit_are_refused(simple: Simple, origin: MakeOrigin) -> None:
    options = {"max_concurrent_streams": 2}
    proxy = simple(origin(lambda _: Answer(wait=5)).port, hcm={"http2_protocol_options": options})
    with RawClient(proxy.port("l")) as client:
        for stream in (1, 3, 5):
            client.request(stream)
        assert client.answer(5).reset == Code.REFUSED_STREAM
        assert client.settled()
        assert not client.stream(1).finished
    assert proxy.stat("http2.stream_refused_errors") == 1


NOTICE = b"\x7f\xff\xff\xff"


def last_stream(client: RawClient) -> bytes:
    return client.goaway.payload[:4] if client.goaway else b""


def test_a_spent_connection_drains_without_losing_a_request(simple: Simple, origin: MakeOrigin) -> None:
    hcm = {"common_http_protocol_options": {"max_requests_per_connection": 2}, "drain_timeout": "0.3s"}
    proxy = simple(origin(echo).port, hcm=hcm)
    with RawClient(proxy.port("l")) as client:
        client.request(1)
        client.request(3)
        assert client.answer(3).status == 200
        assert last_stream(client) == NOTICE
        client.request(5)  # was on its way when the news came
        assert client.answer(5).status == 200
        assert client.cut()
        assert last_stream(client) == b"\x00\x00\x00\x05"
    assert proxy.stat("http.l.downstream_cx_max_requests_reached") >= 1


def test_an_old_connection_drains(simple: Simple, origin: MakeOrigin) -> None:
    hcm: dict[str, Any] = {
        "common_http_protocol_options": {"max_connection_duration": "0.2s"},
        "drain_timeout": "0.1s",
    }
    proxy = simple(origin(echo).port, hcm=hcm)
    with RawClient(proxy.port("l")) as client:
        client.request()
        assert client.answer().status == 200
        assert ended(client, Code.NO_ERROR)
    assert proxy.stat("http.l.downstream_cx_max_duration_reached") == 1


def test_an_idle_connection_ends(simple: Simple, origin: MakeOrigin) -> None:
    hcm = {"common_http_protocol_options": {"idle_timeout": "0.3s"}, "drain_timeout": "0.1s"}
    proxy = simple(origin(echo).port, hcm=hcm)
    with RawClient(proxy.port("l")) as client:
        client.request()
        assert client.answer().status == 200
        assert ended(client, Code.NO_ERROR)
    assert proxy.stat("http.l.downstream_cx_idle_timeout") == 1


def test_a_silent_client_is_asked_and_left(simple: Simple, origin: MakeOrigin, tmp_path: Path) -> None:
    log = tmp_path / "log"
    hcm = {
        "http2_protocol_options": {"connection_keepalive": {"interval": "0.1s", "timeout": "0.2s"}},
        "access_log": [file_log(log, "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n")],
    }
    upstream = origin(lambda received: Answer(wait=5) if received.target == "/slow" else answer())
    proxy = simple(upstream.port, hcm=hcm)
    with RawClient(proxy.port("l")) as client:
        client.request(path="/slow")
        assert client.cut(), "nobody answers the ping"
    assert logged(log) == ["DC downstream_local_disconnect(http2_ping_timeout)"]
    with Http2Client(proxy.port("l")) as polite:
        end = time.monotonic() + 0.8
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                polite.receive(0.1)
        assert polite.fetch().status == 200
    assert proxy.stat("http2.keepalive_timeout") == 1


def test_a_head_that_does_not_end_is_cut(simple: Simple, origin: MakeOrigin) -> None:
    proxy = simple(origin(echo).port, hcm={"request_headers_timeout": "0.3s"})
    with RawClient(proxy.port("l")) as client:
        whole = frames.headers(1, [(b":method", b"GET")], end=True)
        client.send(whole[:-1])
        assert client.cut()
    assert proxy.stat("http.l.downstream_rq_header_timeout") == 1


def test_a_client_that_does_not_read_loses_its_response(simple: Simple, origin: MakeOrigin) -> None:
    proxy = simple(
        origin(lambda _: answer(200, bytes(100_000))).port,
        hcm={"stream_idle_timeout": "0.3s", "stream_flush_timeout": "0.3s"},
    )
    with Http2Client(proxy.port("l")) as client:
        client.reads = False
        stream = client.request()
        assert client.answer(stream).reset in (Code.CANCEL, Code.INTERNAL_ERROR)
    eventually(lambda: proxy.stat("http.l.downstream_rq_active") == 0)


def test_a_draining_proxy_loses_no_request(simple: Simple, origin: MakeOrigin) -> None:
    proxy = simple(
        origin(lambda r: Answer(answer(200, b"late").data, wait=0.8) if r.target == "/s" else answer()).port,
        hcm={"drain_timeout": "0.3s"},
    )
    with RawClient(proxy.port("l")) as client:
        client.request(1, "/s")
        eventually(lambda: proxy.stat("http.l.downstream_rq_active") == 1)
        proxy.process.send_signal(signal.SIGTERM)
        assert client.until(lambda me: last_stream(me) == NOTICE)
        client.request(3)
        assert client.answer(3).status == 200
        assert client.answer(1).body == b"late"
        assert client.cut()
        assert last_stream(client) == b"\x00\x00\x00\x03"


def test_connections_that_come_meanwhile_get_nothing_of_others(simple: Simple, origin: MakeOrigin) -> None:
    proxy = simple(origin(echo).port)
    strays: list[bytes] = []
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            made = [socket.create_connection(("127.0.0.1", proxy.port("l"))) for _ in range(5)]
            for each in made:
                each.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    strays.append(each.recv(1000))
                each.close()

    others = threading.Thread(target=come_and_go)
    others.start()
    try:
        with Http2Client(proxy.port("l")) as client:
            for turn in range(40):
                body = str(turn).encode()
                streams = [client.request("POST", body=body) for _ in range(10)]
                assert [client.answer(stream).body for stream in streams] == [body] * 10
    finally:
        over.set()
        others.join()
    assert strays == []


def test_a_connection_that_has_said_nothing_holds_no_drain_up(simple: Simple, origin: MakeOrigin) -> None:
    proxy = simple(origin(echo).port)
    with RawClient(proxy.port("l"), preface=False) as client:
        eventually(lambda: proxy.stat("http.l.downstream_cx_active") == 1)
        proxy.process.send_signal(signal.SIGTERM)
        assert client.cut(5)


def test_the_codec_can_be_fixed(simple: Simple, origin: MakeOrigin) -> None:
    proxy = simple(origin(echo).port, hcm={"codec_type": "HTTP2"})
    with RawClient(proxy.port("l"), preface=False) as client:
        client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert client.cut()


def test_scheme_and_authority_reach_the_upstream(simple: Simple, origin: MakeOrigin) -> None:
    upstream = origin(echo)
    proxy = simple(upstream.port)
    with Http2Client(proxy.port("l")) as client:
        client.scheme = "https"
        stream = client.request(path="/x", authority="b.test:81")
        assert client.answer(stream).status == 200
    got = upstream.received[0]
    assert (got.header("host"), got.header("x-forwarded-proto")) == ("b.test:81", "http")
