"""Every hostile request is refused by the proxy itself, ends its connection, and leaves no trace upstream."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from tests.integration.hostile import cases as named
from tests.integration.hostile import more_cases
from tests.integration.hostile.cases import Case
from tests.integration.hostile.conftest import Stage
from tests.integration.hostile.conversation import Watched, assert_unharmed, converse

CLASSES = {**named.CLASSES, **more_cases.CLASSES}
GOOD = b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n"
# Only the beginning comes in pieces: the rest of a large case would take long and show nothing more.
BEGINNING = 400

Cut = Callable[[bytes], list[bytes]]


def whole(data: bytes) -> list[bytes]:
    return [data]


def in_sevens(data: bytes) -> list[bytes]:
    return [*(data[at : at + 7] for at in range(0, min(len(data), BEGINNING), 7)), data[BEGINNING:]]


def anywhere(data: bytes) -> list[bytes]:
    """The same cuts each time, others for each case."""
    drawn = random.Random(data[:BEGINNING])
    cuts = sorted(drawn.sample(range(1, BEGINNING), 3))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@pytest.mark.parametrize("cases", CLASSES.values(), ids=CLASSES.keys())
@pytest.mark.parametrize("cut", [whole, in_sevens, anywhere])
def test_hostile_requests_are_refused_and_nothing_follows(
    stage: Stage, cases: Sequence[Case], cut: Cut
) -> None:
    wrong = [fault for case in cases if (fault := judge(stage, case, cut))]
    assert wrong == []
    assert_unharmed(stage.port, stage.upstream)


@pytest.mark.parametrize("cases", CLASSES.values(), ids=CLASSES.keys())
def test_what_came_before_a_hostile_request_is_answered(stage: Stage, cases: Sequence[Case]) -> None:
    wrong = [fault for case in cases if (fault := judge(stage, case, whole, before=GOOD))]
    assert wrong == []
    assert_unharmed(stage.port, stage.upstream)


def judge(stage: Watched, case: Case, cut: Cut, before: bytes = b"") -> str | None:
    """Sends one case, behind the good request `before`; says what was wrong with what came of it."""
    stage.upstream.requests.clear()
    wanted = [200] if before else []
    answers = converse(stage.port, cut(before + case.data), expect=len(wanted) + 1)
    problems = []
    if len(answers.statuses) <= len(wanted):
        problems.append(f"answered {answers.statuses}")
    elif answers.statuses[:-1] != wanted or answers.statuses[-1] not in case.statuses:
        problems.append(f"answered {answers.statuses}, wanted {wanted} and one of {sorted(case.statuses)}")
    if case.closes and not answers.closed:
        problems.append("left open")
    if len(stage.upstream.requests) != len(wanted):
        problems.append(f"sent upstream: {stage.upstream.requests}")
    return f"{case.data[:120]!r}: {'; '.join(problems)}" if problems else None
