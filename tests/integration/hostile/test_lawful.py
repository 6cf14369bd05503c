"""Odd but lawful requests reach the upstream once, in one reading, however they arrive."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.integration.hostile.conftest import Stage
from tests.integration.hostile.conversation import Watched, assert_unharmed, converse
from tests.integration.hostile.lawful import CLASSES, Lawful


@pytest.mark.parametrize("cases", CLASSES.values(), ids=CLASSES.keys())
@pytest.mark.parametrize("step", [0, 1], ids=["whole", "byte by byte"])
def test_lawful_requests_have_one_reading(stage: Stage, cases: Sequence[Lawful], step: int) -> None:
    wrong = [fault for case in cases if (fault := judge(stage, case, step))]
    assert wrong == []
    assert_unharmed(stage.port, stage.upstream)


def judge(stage: Watched, case: Lawful, step: int) -> str | None:
    stage.upstream.requests.clear()
    head, rest = case.data[:600], case.data[600:]
    pieces = [head[at : at + step] for at in range(0, len(head), step)] if step else [head]
    answers = converse(stage.port, [*pieces, rest], expect=1, methods=[case.start[0]])
    problems = []
    if answers.statuses != [200]:
        problems.append(f"answered {answers.statuses}")
    if len(stage.upstream.requests) == 1:
        (request,) = stage.upstream.requests
        if request.start != case.start or request.body != case.body:
            problems.append(f"became {request.start} with {request.body!r}")
        if request.trailers != case.trailers:
            problems.append(f"has trailers {request.trailers}")
        problems += [f"has no {field}" for field in case.has if field[1] not in request.values(field[0])]
        problems += [f"has {name}" for name in case.lacks if request.values(name)]
    else:
        problems.append(f"became {len(stage.upstream.requests)} requests")
    return f"{case.data[:120]!r}: {'; '.join(problems)}" if problems else None
