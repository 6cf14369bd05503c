"""Whatever an upstream sends: a gateway error, a visibly broken answer, or the right one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.integration.hostile.conftest import Stage
from tests.integration.hostile.conversation import Answers, assert_unharmed, converse
from tests.integration.hostile.replies import CLASSES, Outcome
from tests.integration.hostile.strict import Message
from tests.integration.hostile.upstream import Reply, echo
from tests.support.http2_client import fetch
from tests.support.wait import eventually

Talk = Callable[[int, str], Answers]


def over_http1(port: int, method: str) -> Answers:
    data = f"{method} /bad HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    return converse(port, [data], expect=1, methods=[method])


def over_http2(port: int, method: str) -> Answers:
    """The same, as a client of HTTP/2 sees it: what is cut short ends with RST_STREAM."""
    got = fetch(port, method, "/bad")
    trailers = tuple(name for name, _ in got.trailers or ())
    whole = Message(got.status, got.headers, got.body, trailers=trailers)
    return Answers((whole,) if got.ended else (), closed=False, truncated=got.reset is not None)


@pytest.mark.parametrize("talk", [over_http1, over_http2], ids=["http1", "http2"])
@pytest.mark.parametrize("outcomes", CLASSES.values(), ids=CLASSES.keys())
def test_replies_have_the_outcome_that_they_deserve(
    stage: Stage, outcomes: Sequence[Outcome], talk: Talk
) -> None:
    wrong = [fault for outcome in outcomes if (fault := judge(stage, outcome, talk))]
    assert wrong == []


def judge(stage: Stage, outcome: Outcome, talk: Talk = over_http1) -> str | None:
    def script(request: Message) -> Reply:
        return outcome.reply if request.start == (outcome.method, "/bad") else echo(request)

    stage.upstream.script = script
    before = stage.upstream.late
    answers = talk(stage.port, outcome.method)
    if outcome.reply.late:
        # A request that was sent before they came would have to take them for its answer.
        assert eventually(lambda: stage.upstream.late > before)
    assert_unharmed(stage.port, stage.upstream)
    problem = problem_of(outcome, answers)
    return f"{outcome.reply.data[:120]!r} ({outcome.reply.then}): {problem}" if problem else None


def problem_of(outcome: Outcome, answers: Answers) -> str | None:
    is_gateway_error = answers.statuses in ([502], [503])
    if is_gateway_error:
        return None if outcome.is_ != "answered" else f"answered {answers.statuses}"
    if outcome.is_ == "refused":
        return f"answered {answers.statuses}"
    if outcome.is_ == "cut":
        return None if answers.truncated and not answers.messages else f"whole: {answers}"
    if [(m.start, m.body) for m in answers.messages] != [(outcome.status, outcome.body)]:
        return f"answered {answers}"
    (message,) = answers.messages
    if message.trailers != outcome.trailers:
        return f"has trailers {message.trailers}"
    found = [name for name in outcome.lacks if message.values(name)]
    return f"has {found}" if found else None


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE", "GET"])
@pytest.mark.parametrize("kept", [False, True], ids=["fresh connection", "kept connection"])
def test_only_what_may_be_repeated_goes_out_again(stage: Stage, method: str, kept: bool) -> None:
    """An upstream that closes without an answer has perhaps done what it was asked (RFC 9110 9.2.2)."""
    outcome = Outcome(CLASSES["heads of responses"][-1].reply, method=method)
    if kept:
        assert_unharmed(stage.port, stage.upstream)
    assert judge(stage, outcome) is None
    sent = [request for request in stage.upstream.requests if request.start == (method, "/bad")]
    repeatable = method in ("PUT", "DELETE", "GET")
    assert len(sent) == 1 or (repeatable and len(sent) == 2)
