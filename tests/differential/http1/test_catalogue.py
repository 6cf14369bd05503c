"""The catalogue of hostile and of odd messages: read the same however it is cut, and as h11 reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from tests.differential.http1 import theirs
from tests.differential.http1.differences import is_wanted
from tests.differential.http1.ours import Codec
from tests.integration.hostile import cases, lawful, more_cases, replies

# Longer ones are about limits, which are tested elsewhere and differ.
LONGEST = 20_000
# Up to this length a message is cut at each of its bytes.
CUT_EVERYWHERE = 400

_HOSTILE = {**cases.CLASSES, **more_cases.CLASSES}
REQUESTS = {
    name: [data for data in table if len(data) < LONGEST]
    for name, table in (
        *((name, [case.data for case in table]) for name, table in _HOSTILE.items()),
        *((name, [case.data for case in table]) for name, table in lawful.CLASSES.items()),
    )
}
RESPONSES = {
    name: [
        (outcome.method, outcome.reply.data)
        for outcome in table
        if outcome.method in ("GET", "HEAD") and len(outcome.reply.data) < LONGEST
    ]
    for name, table in replies.CLASSES.items()
}


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    with Codec() as running:
        yield running


def differing(codec: Codec, messages: Sequence[tuple[str, bytes]]) -> list[object]:
    """The messages that we and h11 read differently without a reason in the table."""
    found: list[object] = []
    for role, data in messages:
        ours, h11s = codec.read(role, [data]), theirs.read(role, [data])
        if not is_wanted(ours, h11s):
            found.append((data[:300], ours, h11s))
    return found


def torn(codec: Codec, messages: Sequence[tuple[str, bytes]]) -> list[object]:
    """The messages that mean something else when they come in pieces."""
    found: list[object] = []
    for role, data in messages:
        whole = codec.read(role, [data])
        cuts = range(1, min(len(data), CUT_EVERYWHERE))
        ways = [[data[:at], data[at:]] for at in cuts]
        ways.append([data[at : at + 1] for at in range(len(data))])
        found += [(way, whole) for way in ways if codec.read(role, way) != whole]
    return found


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_are_read_as_h11_reads_them(codec: Codec, name: str) -> None:
    assert differing(codec, [("server", data) for data in REQUESTS[name]]) == []


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_are_read_the_same_however_they_are_cut(codec: Codec, name: str) -> None:
    assert torn(codec, [("server", data) for data in REQUESTS[name]]) == []


@pytest.mark.parametrize("name", RESPONSES)
def test_responses_are_read_as_h11_reads_them(codec: Codec, name: str) -> None:
    assert differing(codec, RESPONSES[name]) == []


@pytest.mark.parametrize("name", RESPONSES)
def test_responses_are_read_the_same_however_they_are_cut(codec: Codec, name: str) -> None:
    assert torn(codec, RESPONSES[name]) == []
