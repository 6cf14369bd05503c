"""Our HTTP/1 codec and h11 say the same of right and of broken messages, but for the wanted differences."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.differential.http1 import messages, theirs
from tests.differential.http1.differences import is_wanted
from tests.differential.http1.ours import Codec

METHODS = st.sampled_from(["GET", "GET", "HEAD", "CONNECT"])
CASES = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    with Codec() as running:
        yield running


@CASES
@given(request=messages.requests(), lengths=messages.cuts())
def test_right_requests_are_read_the_same(codec: Codec, request: bytes, lengths: list[int]) -> None:
    pieces = messages.cut(request, lengths)
    ours = codec.read("server", pieces)
    assert ours.complete, request
    assert ours == theirs.read("server", pieces)


@CASES
@given(response=messages.responses(), method=METHODS, lengths=messages.cuts())
def test_right_responses_are_read_the_same(
    codec: Codec, response: bytes, method: str, lengths: list[int]
) -> None:
    pieces = messages.cut(response, lengths)
    ours = codec.read(method, pieces)
    assert ours.complete, response
    assert ours == theirs.read(method, pieces)


@CASES
@given(request=messages.broken(messages.requests()), lengths=messages.cuts())
@example(request=b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", lengths=[1])
@example(
    request=b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\n\r\nx\r\n0\r\n\r\n",
    lengths=[],
)
@example(request=b"GET / HTTP/1.1\nHost: a\n\n", lengths=[])
@example(request=b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", lengths=[1])
def test_broken_requests_differ_only_as_wanted(codec: Codec, request: bytes, lengths: list[int]) -> None:
    ours = codec.read("server", messages.cut(request, lengths))
    h11s = theirs.read("server", [request])
    assert is_wanted(ours, h11s), (request, ours, h11s)


@CASES
@given(response=messages.broken(messages.responses()), method=METHODS, lengths=messages.cuts())
def test_broken_responses_differ_only_as_wanted(
    codec: Codec, response: bytes, method: str, lengths: list[int]
) -> None:
    ours = codec.read(method, messages.cut(response, lengths))
    h11s = theirs.read(method, [response])
    assert is_wanted(ours, h11s), (response, ours, h11s)
