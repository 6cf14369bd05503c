"""Every hostile request is refused by the proxy itself, ends its connection, and leaves no trace upstream."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.integration.hostile import cases as named
from tests.integration.hostile import more_cases
from tests.integration.hostile.cases import Case
from tests.integration.hostile.conftest import Stage
from tests.integration.hostile.conversation import assert_unharmed, converse

CLASSES = {**named.CLASSES, **more_cases.CLASSES}


@pytest.mark.parametrize("cases", CLASSES.values(), ids=CLASSES.keys())
@pytest.mark.parametrize("step", [0, 7], ids=["whole", "in pieces"])
def test_hostile_requests_are_refused_and_nothing_follows(
    stage: Stage, cases: Sequence[Case], step: int
) -> None:
    wrong = [fault for case in cases if (fault := judge(stage, case, step))]
    assert wrong == []
    assert_unharmed(stage.port, stage.upstream)


def judge(stage: Stage, case: Case, step: int) -> str | None:
    """Sends one case; says what was wrong with what came of it."""
    # Only the beginning comes in pieces: the rest of a large case would take long and show nothing more.
    head, rest = case.data[:400], case.data[400:]
    pieces = [head[at : at + step] for at in range(0, len(head), step)] if step else [head]
    before = len(stage.upstream.requests)
    answers = converse(stage.port, [*pieces, rest], expect=1)
    problems = []
    if len(answers.statuses) != 1 or answers.statuses[0] not in case.statuses:
        problems.append(f"answered {answers.statuses}, wanted one of {sorted(case.statuses)}")
    if case.closes and not answers.closed:
        problems.append("left open")
    if sent := stage.upstream.requests[before:]:
        problems.append(f"sent upstream: {sent}")
    return f"{case.data[:120]!r}: {'; '.join(problems)}" if problems else None
