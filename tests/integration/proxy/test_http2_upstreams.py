"""HTTP/2 towards upstreams: many exchanges on one connection, and what becomes of them when things fail."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.integration.proxy.conftest import Start
from tests.support import http2_frames as frames
from tests.support.bootstrap import TYPE, cluster, file_log, http_listener, route, virtual_host
from tests.support.client import Client, fetch, request
from tests.support.http2_client import Http2Client
from tests.support.http2_origin import (
    Body,
    Close,
    Goaway,
    Head,
    Http2Origin,
    Raw,
    Received,
    Reset,
    Script,
    Step,
    Wait,
    answer,
    echo,
)
from tests.support.proxies import Proxy
from tests.support.wait import eventually

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# What a client sees of an answer that was cut short.
BROKEN = (ConnectionError, HTTPException)
MakeOrigin = Callable[..., Http2Origin]
Spoken = Callable[..., Proxy]


def options(*, common: dict[str, Any] | None = None, **http2: Any) -> dict[str, Any]:
    spoken = {"@type": TYPE + OPTIONS, "explicit_http_config": {"http2_protocol_options": http2}}
    if common:
        spoken["common_http_protocol_options"] = common
    return {OPTIONS: spoken}


@pytest.fixture
def origin2() -> Iterator[MakeOrigin]:
    with contextlib.ExitStack() as stack:

        def make(script: Script = lambda _received: answer(), **fields: Any) -> Http2Origin:
            origin = Http2Origin(script, **fields)
            stack.callback(origin.close)
            return origin

        yield make


@pytest.fixture
def spoken(start: Start) -> Spoken:
    """A proxy whose listener `l` sends everything over HTTP/2 to the cluster `c`."""

    def begin(
        *ports: int,
        common: dict[str, Any] | None = None,
        http2: dict[str, Any] | None = None,
        hcm: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None,
        **action: Any,
    ) -> Proxy:
        listener = http_listener(
            "l", [virtual_host(route({"prefix": "/"}, {"cluster": "c", **action}))], **(hcm or {})
        )
        fields: dict[str, Any] = {"typed_extension_protocol_options": options(common=common, **(http2 or {}))}
        if limits:
            fields["circuit_breakers"] = {"thresholds": [limits]}
        return start([listener], [cluster("c", *ports, **fields)])

    return begin


def all_at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def slow_after(count: int) -> Script:
    """Answers once so many requests are under way together."""
    together = threading.Barrier(count)

    def script(_received: Received) -> list[Step]:
        together.wait(5)
        return answer()

    return script


def test_a_request_is_translated(spoken: Spoken, origin2: MakeOrigin) -> None:
    upstream = origin2(echo)
    proxy = spoken(upstream.port)
    extra = (
        ("X-Kept", "1"),
        ("TE", "trailers"),
        ("Cookie", "a=1"),
        ("Keep-Alive", "x"),
        ("Connection", "x-odd"),
    )
    response = fetch(proxy.port("l"), "POST", "/p?q=1", *extra, ("X-Odd", "2"), body=b"payload")
    seen = json.loads(response.body)
    fields = dict(map(tuple, seen["headers"]))
    assert (fields[":method"], fields[":scheme"], fields[":path"]) == ("POST", "http", "/p?q=1")
    assert (fields[":authority"], seen["body"]) == ("a.test", "payload")
    assert (fields["x-kept"], fields["te"], fields["cookie"]) == ("1", "trailers", "a=1")
    assert fields["content-length"] == "7"
    assert not {"host", "connection", "keep-alive", "x-odd", "transfer-encoding"} & set(fields)
    assert upstream.violations == []


def test_many_exchanges_share_one_connection(spoken: Spoken, origin2: MakeOrigin) -> None:
    upstream = origin2(lambda _: [Wait(0.1), *answer()])
    proxy = spoken(upstream.port)
    answers = all_at_once(30, lambda n: fetch(proxy.port("l"), "GET", f"/{n}").status)
    assert answers == [200] * 30
    assert upstream.connections == 1
    assert proxy.stat("cluster.c.upstream_cx_http2_total") == 1
    assert proxy.stat("cluster.c.upstream_rq_total") == 30
    assert eventually(lambda: proxy.stat("cluster.c.upstream_rq_active") == 0)


def test_another_connection_is_made_at_the_peers_limit(spoken: Spoken, origin2: MakeOrigin) -> None:
    upstream = origin2(lambda _: [Wait(0.3), *answer()], settings={frames.Setting.MAX_CONCURRENT_STREAMS: 2})
    proxy = spoken(upstream.port)
    assert fetch(proxy.port("l")).status == 200
    answers = all_at_once(6, lambda n: fetch(proxy.port("l"), "GET", f"/{n}").status)
    assert answers == [200] * 6
    assert 2 <= upstream.connections <= 4
    assert upstream.violations == []


def test_what_is_refused_over_a_limit_nobody_knew_of_goes_out_again(
    spoken: Spoken, origin2: MakeOrigin
) -> None:
    """The limit comes when more streams are open than it allows; those were not looked at (RFC 9113 8.7)."""
    limit = frames.settings({frames.Setting.MAX_CONCURRENT_STREAMS: 2})
    told = Raw(lambda stream: limit if stream == 5 else b"")

    def early(head: Received) -> list[Step]:
        over = head.connection == 1 and 5 <= head.stream <= 19
        return [told, Reset(frames.Code.REFUSED_STREAM)] if over else []

    upstream = origin2(lambda _: [Wait(0.2), *answer()], early=early)
    with Http2Client(spoken(upstream.port).port("l")) as client:
        streams = [client.request(path=f"/{n}") for n in range(10)]
        assert [client.answer(stream).status for stream in streams] == [200] * 10
    assert upstream.connections > 1


def test_a_peer_that_allows_no_streams_is_not_flooded_with_connections(
    spoken: Spoken, origin2: MakeOrigin
) -> None:
    limit = frames.settings({frames.Setting.MAX_CONCURRENT_STREAMS: 0})
    refusal = [Raw(lambda _: limit), Wait(0.02), Reset(frames.Code.REFUSED_STREAM)]
    upstream = origin2(lambda _: answer(), early=lambda _: refusal)
    proxy = spoken(upstream.port)
    answers = [response for _ in range(3) for response in all_at_once(2, lambda _: fetch(proxy.port("l")))]
    assert [response.status for response in answers] == [503] * 6
    assert upstream.connections <= 6
    assert eventually(lambda: upstream.open == 0)


def test_our_own_limit_of_streams_holds(spoken: Spoken, origin2: MakeOrigin) -> None:
    upstream = origin2(lambda _: [Wait(0.2), *answer()])
    proxy = spoken(upstream.port, http2={"max_concurrent_streams": 3})
    answers = all_at_once(9, lambda n: fetch(proxy.port("l"), "GET", f"/{n}").status)
    assert answers == [200] * 9
    assert upstream.connections == 3


def test_exchanges_wait_where_no_further_connection_is_allowed(spoken: Spoken, origin2: MakeOrigin) -> None:
    upstream = origin2(lambda _: [Wait(0.05), *answer()])
    proxy = spoken(upstream.port, http2={"max_concurrent_streams": 2}, limits={"max_connections": 1})
    answers = all_at_once(8, lambda n: fetch(proxy.port("l"), "GET", f"/{n}").status)
    assert answers == [200] * 8
    assert upstream.connections == 1
    assert proxy.stat("cluster.c.upstream_rq_pending_active") == 0


def test_the_breaker_of_requests_counts_streams(spoken: Spoken, origin2: MakeOrigin) -> None:
    upstream = origin2(lambda _: [Wait(0.5), *answer()])
    proxy = spoken(upstream.port, limits={"max_requests": 2})
    statuses = sorted(all_at_once(4, lambda _: fetch(proxy.port("l")).status))
    assert statuses == [200, 200, 503, 503]
    assert proxy.stat("cluster.c.upstream_rq_active_overflow") == 2


def test_a_goaway_loses_no_request(spoken: Spoken, origin2: MakeOrigin) -> None:
    seen: set[str] = set()
    lock = threading.Lock()

    def script(received: Received) -> list[Step]:
        with lock:
            seen.add(received.target)
        if received.stream < 9:
            return [Wait(0.02), *answer()]
        # This one and all later ones were not looked at; those before end in order.
        return [Goaway(received.stream - 2), Wait(0.1), Close()]

    upstream = origin2(script)
    proxy = spoken(upstream.port)

    def load(worker: int) -> list[int]:
        with Client(proxy.port("l")) as client:
            statuses = []
            for n in range(40):
                client.send(request("GET", f"/{worker}/{n}"))
                statuses.append(client.response().status)
            return statuses

    statuses = [status for batch in all_at_once(6, load) for status in batch]
    assert statuses == [200] * 240
    assert upstream.connections > 10
    assert proxy.stat("cluster.c.upstream_cx_close_notify") > 10
    assert proxy.stat("cluster.c.upstream_rq_retry") == 0


def test_a_goaway_repeats_a_request_with_a_body(spoken: Spoken, origin2: MakeOrigin) -> None:
    replies: Iterator[list[Step]] = iter([[Goaway(0), Wait(0.05), Close()]])
    upstream = origin2(lambda received: next(replies, None) or echo(received))
    proxy = spoken(upstream.port)
    response = fetch(proxy.port("l"), "POST", "/", body=b"once")
    assert (response.status, json.loads(response.body)["body"]) == (200, "once")


def test_a_connection_that_ends_tells_each_of_its_exchanges(
    spoken: Spoken, origin2: MakeOrigin, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    upstream = origin2(lambda _: [Wait(0.2), Close()])
    text = "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_PROTOCOL%\n"
    proxy = spoken(upstream.port, hcm={"access_log": [file_log(log, text)]})
    statuses = all_at_once(5, lambda _: fetch(proxy.port("l"), "POST", "/", body=b"x").status)
    assert statuses == [503] * 5
    line = "503 UC upstream_reset_before_response_started{connection_termination} HTTP/2"
    assert eventually(lambda: log.read_text().splitlines() == [line] * 5)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (frames.Code.INTERNAL_ERROR, "remote_reset"),
        (frames.Code.REFUSED_STREAM, "remote_refused_stream_reset"),
    ],
)
def test_a_reset_is_told_as_envoy_tells_it(
    spoken: Spoken, origin2: MakeOrigin, tmp_path: Path, code: int, reason: str
) -> None:
    log = tmp_path / "log"
    upstream = origin2(lambda _: [Reset(code)])
    text = "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"
    proxy = spoken(upstream.port, hcm={"access_log": [file_log(log, text)]})
    response = fetch(proxy.port("l"))
    words = reason.replace("_", " ")
    before = b"upstream connect error or disconnect/reset before headers. reset reason: "
    assert (response.status, response.body) == (503, before + words.encode())
    assert eventually(lambda: log.exists() and log.read_text() != "")
    assert log.read_text() == f"503 UR upstream_reset_before_response_started{{{reason}}}\n"
    assert proxy.stat("cluster.c.upstream_rq_rx_reset") == 1
    assert proxy.stat("cluster.c.http2.rx_reset") == 1


@pytest.mark.parametrize(
    ("condition", "again"), [("reset", True), ("refused-stream", True), ("5xx", True), ("cancelled", False)]
)
def test_a_refused_stream_is_retried_when_the_policy_says_so(
    spoken: Spoken, origin2: MakeOrigin, condition: str, again: bool
) -> None:
    replies: Iterator[list[Step]] = iter([[Reset(frames.Code.REFUSED_STREAM)]])
    upstream = origin2(lambda _: next(replies, None) or answer())
    proxy = spoken(upstream.port, retry_policy={"retry_on": condition, "num_retries": 1})
    assert fetch(proxy.port("l")).status == (200 if again else 503)


def test_a_reset_in_the_middle_breaks_the_answer(spoken: Spoken, origin2: MakeOrigin) -> None:
    upstream = origin2(
        lambda _: [Head(((":status", "200"), ("content-length", "10"))), Body(b"half"), Wait(0.05), Reset()]
    )
    proxy = spoken(upstream.port)
    with Client(proxy.port("l")) as client:
        client.send(request())
        with pytest.raises(BROKEN):
            client.response()


def test_a_client_that_leaves_resets_its_stream_alone(spoken: Spoken, origin2: MakeOrigin) -> None:
    upstream = origin2(lambda received: [Wait(0.3 if received.target == "/stays" else 5), *answer()])
    proxy = spoken(upstream.port)
    with ThreadPoolExecutor(1) as pool:
        stays = pool.submit(lambda: fetch(proxy.port("l"), "GET", "/stays").status)
        with Client(proxy.port("l")) as leaver:
            leaver.send(request("GET", "/leaves"))
            assert eventually(lambda: len(upstream.received) == 2)
        assert eventually(lambda: [code for _, code in upstream.resets] == [frames.Code.CANCEL])
        assert stays.result(5) == 200
    assert upstream.connections == 1


def test_an_early_answer_ends_the_rest_of_the_request(spoken: Spoken, origin2: MakeOrigin) -> None:
    upstream = origin2(early=lambda _: answer(413, b"too much"))
    proxy = spoken(upstream.port)
    with Client(proxy.port("l")) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\nstart")
        assert client.response().status == 413
    assert eventually(lambda: [code for _, code in upstream.resets] == [frames.Code.NO_ERROR])
    assert fetch(proxy.port("l"), "GET", "/").status == 413
    assert upstream.connections == 1


def test_a_large_body_goes_through_small_windows(spoken: Spoken, origin2: MakeOrigin) -> None:
    body = bytes(range(256)) * 8192
    upstream = origin2(lambda received: answer(200, received.body))
    proxy = spoken(upstream.port)
    response = fetch(proxy.port("l"), "POST", "/", body=body)
    assert response.body == body
    assert upstream.violations == []


def test_a_slow_client_holds_back_its_own_stream_only(spoken: Spoken, origin2: MakeOrigin) -> None:
    size = 4 << 20
    upstream = origin2(lambda received: answer(200, b"x" * (size if received.target == "/big" else 10)))
    proxy = spoken(upstream.port)
    with contextlib.ExitStack() as stack:
        readers = []
        for _ in range(24):
            reader = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port("l")), timeout=5))
            reader.sendall(request("GET", "/big"))
            readers.append(reader)
        assert eventually(lambda: proxy.stat("cluster.c.upstream_rq_total") == 24)
        assert eventually(lambda: proxy.stat("cluster.c.upstream_flow_control_paused_reading_total") >= 24)
        for _ in range(5):
            assert fetch(proxy.port("l"), "GET", "/small").body == b"x" * 10
        got = 0
        while got < size:
            piece = readers[0].recv(1 << 20)
            assert piece
            got += len(piece)
    assert upstream.connections == 1


def test_a_peer_that_takes_no_body_holds_the_client_back(spoken: Spoken, origin2: MakeOrigin) -> None:
    upstream = origin2(reads=False)
    proxy = spoken(upstream.port)
    with socket.create_connection(("127.0.0.1", proxy.port("l"))) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 99999999\r\n\r\n")
        client.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 64 << 20:
                sent += client.send(b"x" * 65536)
        assert sent < 32 << 20
        assert fetch(proxy.port("l"), "GET", "/").status == 200


def test_trailers_go_both_ways(spoken: Spoken, origin2: MakeOrigin) -> None:
    def script(received: Received) -> list[Step]:
        came = dict(received.trailers or ()).get("x-in", "")
        return [Head(((":status", "200"),)), Body(b"body"), Head((("x-sum", came),), end=True)]

    upstream = origin2(script)
    proxy = spoken(upstream.port)
    with Client(proxy.port("l")) as client:
        head = b"POST / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.send(head + b"3\r\nabc\r\n0\r\nX-In: 42\r\n\r\n")
        got = b""
        while not got.endswith(b"\r\n\r\n") or b"\r\n0\r\n" not in got:
            got += client.socket.recv(4096)
    assert got.endswith(b"0\r\nx-sum: 42\r\n\r\n")


def test_bodies_without_a_length_are_chunked_for_the_client(spoken: Spoken, origin2: MakeOrigin) -> None:
    upstream = origin2(lambda _: [Head(((":status", "200"),)), Body(b"one"), Body(b"two", end=True)])
    response = fetch(spoken(upstream.port).port("l"))
    assert (response.body, response.header("transfer-encoding")) == (b"onetwo", "chunked")


# Promises more than comes, so that its fault shows only when the client has the head.
SHORT = Head(((":status", "200"), ("content-length", "10")))


@pytest.mark.parametrize(
    "steps",
    [
        [SHORT, Body(b"short", end=True)],
        [Head(((":status", "200"), ("connection", "close"))), Body(b"x", end=True)],
        [Head((("x-no", "status"),), end=True)],
        [Head(((":status", "200"), ("X-Upper", "1")), end=True)],
        [Head(((":status", "200"), ("x-a", "b\r\nc")), end=True)],
        [Head(((":status", "abc"),), end=True)],
    ],
)
def test_a_malformed_answer_is_never_passed_on(
    spoken: Spoken, origin2: MakeOrigin, steps: list[Step]
) -> None:
    upstream = origin2(lambda received: steps if received.target == "/bad" else answer())
    proxy = spoken(upstream.port)
    with Client(proxy.port("l")) as client:
        client.send(request("GET", "/bad"))
        if isinstance(steps[-1], Body) and steps[0] == SHORT:
            with pytest.raises(BROKEN):
                client.response()
        else:
            assert client.response().status == 502
    assert fetch(proxy.port("l"), "GET", "/good").status == 200


def test_a_connection_carries_as_many_requests_as_it_may(spoken: Spoken, origin2: MakeOrigin) -> None:
    upstream = origin2()
    proxy = spoken(upstream.port, common={"max_requests_per_connection": 3})
    with Client(proxy.port("l")) as client:
        for _ in range(9):
            client.send(request())
            assert client.response().status == 200
    assert upstream.connections == 3
    assert eventually(lambda: upstream.open == 0)
    assert proxy.stat("cluster.c.upstream_cx_max_requests") == 3


def test_an_idle_connection_ends(spoken: Spoken, origin2: MakeOrigin) -> None:
    upstream = origin2()
    proxy = spoken(upstream.port, common={"idle_timeout": "0.2s"})
    assert fetch(proxy.port("l")).status == 200
    assert eventually(lambda: upstream.open == 0)
    assert proxy.stat("cluster.c.upstream_cx_idle_timeout") == 1


def test_a_connection_ends_after_its_time_without_loss(spoken: Spoken, origin2: MakeOrigin) -> None:
    upstream = origin2(lambda _: [Wait(0.02), *answer()])
    proxy = spoken(upstream.port, common={"max_connection_duration": "0.2s"})
    end = time.monotonic() + 1
    with Client(proxy.port("l")) as client:
        while time.monotonic() < end:
            client.send(request())
            assert client.response().status == 200
    assert upstream.connections >= 3


def test_a_dead_peer_is_noticed_by_pings(spoken: Spoken) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        keepalive = {"interval": "0.1s", "timeout": "0.2s"}
        proxy = spoken(silent.getsockname()[1], http2={"connection_keepalive": keepalive})
        began = time.monotonic()
        assert fetch(proxy.port("l"), "POST", "/", body=b"x").status == 503
        assert time.monotonic() - began < 3
    assert proxy.stat("cluster.c.http2.keepalive_timeout") == 1


def test_pings_keep_a_living_connection(spoken: Spoken, origin2: MakeOrigin) -> None:
    upstream = origin2(lambda _: [Wait(0.6), *answer()])
    proxy = spoken(upstream.port, http2={"connection_keepalive": {"interval": "0.05s", "timeout": "0.5s"}})
    assert fetch(proxy.port("l")).status == 200
    assert (upstream.connections, proxy.stat("cluster.c.http2.keepalive_timeout")) == (1, 0)


def test_a_goaway_repeats_a_request_whose_body_was_on_its_way(spoken: Spoken, origin2: MakeOrigin) -> None:
    refusals: Iterator[list[Step]] = iter([[Goaway(0), Wait(0.1), Close()]])
    upstream = origin2(echo, early=lambda _: next(refusals, ()))
    proxy = spoken(upstream.port)
    with Client(proxy.port("l")) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 8\r\n\r\nhalf")
        assert eventually(lambda: upstream.connections == 2)
        client.send(b"rest")
        assert json.loads(client.response().body)["body"] == "halfrest"
    assert proxy.stat("cluster.c.upstream_rq_retry") == 0


def test_an_upstream_that_never_takes_a_request_is_asked_so_often(
    spoken: Spoken, origin2: MakeOrigin
) -> None:
    upstream = origin2(lambda _: [Goaway(0), Wait(0.01), Close()])
    response = fetch(spoken(upstream.port).port("l"))
    assert (response.status, upstream.connections) == (503, 4)


def test_what_one_endpoint_did_not_take_goes_to_another(spoken: Spoken, origin2: MakeOrigin) -> None:
    leaving = [origin2(lambda _: [Goaway(0), Wait(0.01), Close()]) for _ in range(2)]
    staying = origin2(lambda _: answer(200, b"here"))
    proxy = spoken(*(each.port for each in leaving), staying.port)
    with ThreadPoolExecutor(4) as pool:
        bodies = list(pool.map(lambda _: fetch(proxy.port("l")).body, range(40)))
    assert bodies == [b"here"] * 40


def test_a_malformed_answer_ends_the_connection_where_that_is_wanted(
    spoken: Spoken, origin2: MakeOrigin
) -> None:
    bad = [Head(((":status", "200"), ("connection", "close")), end=True)]
    upstream = origin2(lambda received: bad if received.target == "/bad" else answer())
    proxy = spoken(upstream.port, http2={"override_stream_error_on_invalid_http_message": False})
    assert fetch(proxy.port("l"), "GET", "/bad").status == 502
    assert fetch(proxy.port("l"), "GET", "/good").status == 200
    assert upstream.connections == 2
