"""Upstreams that answer badly: the client sees the fault, and nobody ever sees another's bytes."""

from __future__ import annotations

import pytest

from tests.integration.hostile.conftest import Stage
from tests.integration.hostile.conversation import Answers, assert_unharmed, converse
from tests.integration.hostile.strict import Message
from tests.integration.hostile.upstream import Reply, echo

OK = b"HTTP/1.1 200 OK\r\n"
STRAY = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nSTRAY"


def ask(stage: Stage, reply: Reply, *, method: str = "GET", target: str = "/bad") -> Answers:
    """One request that is answered with `reply`; every other one is echoed."""
    stage.upstream.script = lambda request: reply if request.start[1] == target else echo(request)  # type: ignore[index]
    data = f"{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode()
    answers = converse(stage.port, [data], expect=1, methods=[method])
    assert_unharmed(stage.port, stage.upstream)
    return answers


BROKEN_HEADS = {
    "no version": b"200 OK\r\n\r\n",
    "wrong protocol": b"ICY 200 OK\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\n\r\n",
    "two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "letters": b"HTTP/1.1 abc OK\r\n\r\n",
    "status below 100": b"HTTP/1.1 099 OK\r\n\r\n",
    "two spaces": b"HTTP/1.1  200 OK\r\n\r\n",
    "lf only": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "a list of lengths": OK + b"Content-Length: 2, 2\r\n\r\nok",
    "signed length": OK + b"Content-Length: +2\r\n\r\nok",
    "huge length": OK + b"Content-Length: 18446744073709551618\r\n\r\nok",
    "unknown coding": OK + b"Transfer-Encoding: gzip\r\n\r\nok",
    "two codings": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "space before colon": OK + b"Content-Length : 2\r\n\r\nok",
    "folded": OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "nul in value": OK + b"X: \0\r\nContent-Length: 2\r\n\r\nok",
    "cr in value": OK + b"X: a\rb\r\nContent-Length: 2\r\n\r\nok",
    "no colon": OK + b"X\r\nContent-Length: 2\r\n\r\nok",
    "unasked upgrade": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + STRAY,
    "endless field": OK + b"X: " + b"y" * 500_000,
    "endless fields": OK + b"X: y\r\n" * 50_000,
    "garbage": b"\x00\x01\x02\x03" * 64,
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "only interim": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("data", BROKEN_HEADS.values(), ids=BROKEN_HEADS.keys())
def test_a_head_that_cannot_be_trusted_is_a_gateway_error(stage: Stage, data: bytes) -> None:
    answers = ask(stage, Reply(data, "close"))
    assert answers.statuses in ([502], [503])
    assert b"STRAY" not in answers.messages[0].body


CUT_SHORT = {
    "length": OK + b"Content-Length: 10\r\n\r\nhello",
    "between chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "in a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\na\r\nhello",
    "before the end": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    "bad chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n",
    "half of a mebibyte": OK + b"Content-Length: 1048576\r\n\r\n" + b"x" * 524_288,
}


@pytest.mark.parametrize("data", CUT_SHORT.values(), ids=CUT_SHORT.keys())
@pytest.mark.parametrize("then", ["close", "reset"])
def test_the_client_sees_that_a_body_was_cut_short(stage: Stage, data: bytes, then: str) -> None:
    answers = ask(stage, Reply(data, "reset" if then == "reset" else "close"))
    # A reset may overtake the head; then there is nothing to cut and the answer is a gateway error.
    assert answers.truncated or answers.statuses in ([], [502], [503])
    assert answers.closed or answers.statuses != [200]


@pytest.mark.parametrize(
    ("method", "data", "body"),
    [
        ("GET", OK + b"Content-Length: 2\r\n\r\nok" + STRAY, b"ok"),
        ("GET", OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + STRAY, b"ok"),
        ("HEAD", OK + b"Content-Length: 5\r\n\r\n" + b"STRAY", b""),
        ("GET", b"HTTP/1.1 204 No\r\n\r\n" + STRAY, b""),
        ("GET", b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nSTRAY", b""),
        ("GET", b"HTTP/1.1 304 Not\r\nContent-Length: 5\r\n\r\nSTRAY", b""),
    ],
    ids=["length", "chunks", "head", "204", "204 with length", "304"],
)
def test_what_comes_behind_an_answer_is_nobody_s(stage: Stage, method: str, data: bytes, body: bytes) -> None:
    for _ in range(3):
        answers = ask(stage, Reply(data), method=method)
        assert [message.body for message in answers.messages] == [body]


def test_transfer_encoding_beats_a_length_and_the_length_is_dropped(stage: Stage) -> None:
    data = OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    answers = ask(stage, Reply(data))
    (message,) = answers.messages
    assert (message.start, message.body) in ((200, b"hello"), (502, message.body))
    assert message.value("content-length") is None or message.start == 502


def test_a_body_that_ends_with_its_connection_is_whole(stage: Stage) -> None:
    (message,) = ask(stage, Reply(OK + b"\r\nall of it", "close")).messages
    assert (message.start, message.body) == (200, b"all of it")


def test_interim_responses_do_not_answer(stage: Stage) -> None:
    data = b"HTTP/1.1 102 Processing\r\n\r\n" * 100 + OK + b"Content-Length: 2\r\n\r\nok"
    (message,) = ask(stage, Reply(data)).messages
    assert (message.start, message.body) == (200, b"ok")


def test_interim_responses_without_end_are_cut(stage: Stage) -> None:
    answers = ask(stage, Reply(b"HTTP/1.1 102 Processing\r\n\r\n" * 100_000, "close"))
    assert answers.statuses in ([502], [503])


def test_set_cookie_lines_are_never_joined(stage: Stage) -> None:
    data = OK + b"Set-Cookie: a=1, b\r\nSet-Cookie: c=2\r\nContent-Length: 0\r\n\r\n"
    (message,) = ask(stage, Reply(data)).messages
    assert message.values("set-cookie") == ["a=1, b", "c=2"]


@pytest.mark.parametrize(
    "line", [b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 299 \xe9", b"HTTP/1.1 600 x", b"HTTP/1.0 200 OK"]
)
def test_status_lines_that_can_be_read_are_passed_on(stage: Stage, line: bytes) -> None:
    (message,) = ask(stage, Reply(line + b"\r\nContent-Length: 2\r\n\r\nok", "close")).messages
    assert (message.start, message.body) == (int(line[9:12]), b"ok")


def test_a_post_is_not_sent_twice_when_the_upstream_closes(stage: Stage) -> None:
    ask(stage, Reply(b"", "close"), method="POST", target="/once")
    sent = [request for request in stage.upstream.requests if request.start == ("POST", "/once")]
    assert len(sent) == 1


def test_the_script_sees_whole_messages(stage: Stage) -> None:
    seen: list[Message] = []
    stage.upstream.script = lambda request: seen.append(request) or echo(request)  # type: ignore[func-returns-value]
    body = b"x" * 300_000
    data = b"POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    assert converse(stage.port, [data], expect=1).statuses == [200]
    assert seen[0].body == body
