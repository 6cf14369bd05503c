"""Odd but lawful requests: forwarded once, in order, with framing and hop-by-hop fields of our own."""

from __future__ import annotations

import pytest

from tests.integration.hostile.conftest import Stage
from tests.integration.hostile.conversation import assert_unharmed, converse
from tests.integration.hostile.strict import Message


def forwarded(stage: Stage, data: bytes, *, method: str = "GET") -> Message:
    """The one request that reached the upstream, after a 200 for it."""
    answers = converse(stage.port, [data], expect=1, methods=[method])
    assert answers.statuses == [200]
    assert stage.upstream.violations == []
    (request,) = stage.upstream.requests
    return request


def get(lines: str, target: str = "/", version: str = "HTTP/1.1") -> bytes:
    return f"GET {target} {version}\r\nHost: a.test\r\n{lines}\r\n".encode("latin-1")


def test_chunks_lose_their_extensions_and_sizes_their_zeros(stage: Stage) -> None:
    head = b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
    body = b'005;a=b;c="d e"\r\nhello\r\n7;x\r\n, world\r\n0000;last\r\n\r\n'
    assert forwarded(stage, head + body).body == b"hello, world"


def test_trailers_cannot_become_fields_of_the_head_or_of_the_next_request(stage: Stage) -> None:
    head = b"POST /t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    lines = (
        b"Content-Length: 5",
        b"Transfer-Encoding: x",
        b"Host: evil",
        b"Authorization: x",
        b"X-Forwarded-For: 6.6.6.6",
    )
    trailers = b"\r\n".join([*lines, b""])
    request = forwarded(stage, head + b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n")
    assert request.body == b"hello"
    assert request.value("host") == "a"
    assert request.value("authorization") is None
    assert "6.6.6.6" not in (request.value("x-forwarded-for") or "")
    assert_unharmed(stage.port, stage.upstream)


def test_an_absolute_target_decides_the_host(stage: Stage) -> None:
    request = forwarded(stage, b"GET http://shop.test:81/a?b HTTP/1.1\r\nHost: other\r\n\r\n")
    assert request.start == ("GET", "/a?b")
    assert request.value("host") == "shop.test:81"


def test_hop_by_hop_and_nominated_fields_stay_here(stage: Stage) -> None:
    lines = "Connection: x-secret, keep-alive\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\n"
    lines += "Proxy-Connection: close\r\nTE: gzip\r\nX-Keep: 2\r\n"
    request = forwarded(stage, get(lines))
    names = {name.lower() for name, _ in request.fields}
    assert names.isdisjoint({"x-secret", "keep-alive", "proxy-connection", "te"})
    assert request.value("x-keep") == "2"


@pytest.mark.parametrize(
    "nominated",
    ["host", "x-forwarded-for", "x-request-id", "x-forwarded-proto", "x-envoy-expected-rq-timeout-ms"],
)
def test_fields_that_others_rely_on_cannot_be_nominated_away(stage: Stage, nominated: str) -> None:
    request = forwarded(stage, get(f"Connection: {nominated}\r\nX-Forwarded-For: 9.9.9.9\r\n"))
    assert request.values(nominated)


def test_a_nominated_length_still_frames_the_body(stage: Stage) -> None:
    lines = "Connection: content-length, transfer-encoding\r\nContent-Length: 5\r\n"
    assert forwarded(stage, get(lines) + b"hello").body == b"hello"


def test_h2c_is_not_switched_to(stage: Stage) -> None:
    lines = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    answers = converse(stage.port, [get(lines)], expect=1)
    assert 101 not in answers.statuses
    assert all(request.value("upgrade") is None for request in stage.upstream.requests)


def test_pipelined_requests_are_answered_in_order(stage: Stage) -> None:
    data = b"".join(get("", target=f"/p{n}") for n in range(20))
    answers = converse(stage.port, [data], expect=20)
    assert [m.body for m in answers.messages] == [f"('GET', '/p{n}') 0".encode() for n in range(20)]


def test_a_bad_request_behind_a_good_one_does_not_spoil_its_answer(stage: Stage) -> None:
    answers = converse(stage.port, [get("") + b"BAD\r\n\r\n" + get("", target="/never")], expect=3)
    assert answers.statuses == [200, 400]
    assert answers.closed
    assert [request.start for request in stage.upstream.requests] == [("GET", "/")]


def test_nothing_is_read_behind_connection_close(stage: Stage) -> None:
    answers = converse(stage.port, [get("Connection: close\r\n") + get("", target="/never")], expect=2)
    assert answers.statuses == [200]
    assert answers.closed
    assert [request.start for request in stage.upstream.requests] == [("GET", "/")]


@pytest.mark.parametrize(
    "data",
    [
        b"POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
        b"POST /s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"POST /s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello",
        b"POST /s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ],
    ids=["length", "between chunks", "in a chunk", "before the end"],
)
def test_a_body_cut_short_is_never_a_whole_request_upstream(stage: Stage, data: bytes) -> None:
    answers = converse(stage.port, [data], expect=1, ends=True)
    assert 200 not in answers.statuses
    assert stage.upstream.requests == []
    assert_unharmed(stage.port, stage.upstream)


@pytest.mark.parametrize(
    "target", ["/x/../admin", "/x/%2e%2e/admin", "/%61dmin", "//admin", "/./admin/x", "http://h/admin"]
)
def test_another_spelling_of_a_guarded_path_is_guarded(stage: Stage, target: str) -> None:
    answers = converse(stage.port, [get("", target=target)], expect=1)
    assert answers.statuses in ([403], [400], [307])
    assert stage.upstream.requests == []


def test_upstream_gets_the_path_that_was_judged(stage: Stage) -> None:
    converse(stage.port, [get("", target="/a//b/../c?x=/../y")], expect=1)
    assert [request.start for request in stage.upstream.requests] == [("GET", "/a/c?x=/../y")]
