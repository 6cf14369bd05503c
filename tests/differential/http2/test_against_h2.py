"""Our HTTP/2 codec and h2 say the same of right and of broken connections, but for the wanted differences."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.differential.http2 import messages, theirs
from tests.differential.http2.differences import comparable, is_wanted
from tests.differential.http2.messages import PREFACE, Frame, cut, written
from tests.differential.http2.ours import Codec

METHODS = st.sampled_from(["GET", "HEAD", "CONNECT"])
SPLITS = st.one_of(st.none(), st.integers(20, 60))
# What the echo leaves out: it would not be true of the answer.
UNECHOED = {b"host", b"content-length"}
CASES = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _broken(right: st.SearchStrategy[list[Frame]]) -> st.SearchStrategy[list[Frame]]:
    return st.one_of(messages.with_bad_field(right), messages.with_bad_frame(right))


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    with Codec() as running:
        yield running


@CASES
@given(frames=messages.requests(), lengths=messages.cuts(), split=SPLITS, huffman=st.booleans())
def test_right_requests_are_read_the_same(
    codec: Codec, frames: list[Frame], lengths: list[int], split: int | None, huffman: bool
) -> None:
    connection = PREFACE + written(frames, split_at=split, huffman=huffman)
    ours, _ = codec.read("server", cut(connection, lengths))
    assert ours.fault is None, ours
    assert all(message.complete for _, message in ours.messages)
    assert comparable(ours) == comparable(theirs.read("server", connection))


@CASES
@given(frames=messages.responses(), lengths=messages.cuts(), split=SPLITS)
def test_right_responses_are_read_the_same(
    codec: Codec, frames: list[Frame], lengths: list[int], split: int | None
) -> None:
    connection = written(frames, split_at=split)
    ours, _ = codec.read("GET", cut(connection, lengths))
    assert ours.fault is None, ours
    assert comparable(ours) == comparable(theirs.read("GET", connection))


@CASES
@given(frames=messages.requests())
def test_what_we_write_is_read_by_h2(codec: Codec, frames: list[Frame]) -> None:
    client = theirs.connection(is_client=True)
    client.initiate_connection()
    connection = PREFACE + written(frames)
    ours, answer = codec.read("server", [connection])
    for stream, _ in ours.messages:
        theirs.ask(client, stream, "GET")
    read = theirs.told(client, answer)
    assert read.fault is None, read
    for (stream, request), (answered, response) in zip(
        comparable(ours).messages, comparable(read).messages, strict=True
    ):
        fields = tuple(
            field for field in request.head if not field[0].startswith(b":") and field[0] not in UNECHOED
        )
        assert (answered, response.head) == (stream, ((b":status", b"200"), *fields))
        assert (response.body, response.trailers, response.complete) == (b"echo", ((b"x-end", b"yes"),), True)


@CASES
@given(
    frames=st.one_of(
        messages.with_bad_field(messages.requests()), messages.with_bad_frame(messages.requests())
    )
)
def test_broken_requests_differ_only_as_wanted(codec: Codec, frames: list[Frame]) -> None:
    connection = PREFACE + written(frames)
    ours, _ = codec.read("server", [connection])
    h2s = theirs.read("server", connection)
    assert is_wanted(ours, h2s), (frames, ours, h2s)


@CASES
@given(
    frames=st.one_of(
        messages.with_bad_field(messages.responses()), messages.with_bad_frame(messages.responses())
    ),
    method=METHODS,
)
def test_broken_responses_differ_only_as_wanted(codec: Codec, frames: list[Frame], method: str) -> None:
    connection = written(frames)
    ours, _ = codec.read(method, [connection])
    h2s = theirs.read(method, connection)
    assert is_wanted(ours, h2s, method), (frames, ours, h2s)
