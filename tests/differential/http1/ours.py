"""Our codec, driven through the `http1_events` example of the crate that holds it."""

from __future__ import annotations

from collections.abc import Sequence

from tests.differential.codec import ROLES, CodecProgram, Json, latin1
from tests.differential.http1.outcome import Fields, Outcome, fault

PEER_CLOSES = 1


class Codec(CodecProgram):
    example = "http1_events"

    def read(self, role: str, pieces: Sequence[bytes]) -> Outcome:
        """What a server, or the client of a request with the method `role`, makes of `pieces` and the end."""
        head = bytes([ROLES[role], PEER_CLOSES])
        return _outcome(self.events(head, pieces), is_server=role == "server")


def _outcome(events: Sequence[Json], *, is_server: bool) -> Outcome:
    head: Json | None = None
    body, trailers, interim, complete = b"", Fields(), [], False
    for event in events:
        match event["type"]:
            case "fault":
                return fault(event["kind"])
            case "response" if 100 <= event["status"] < 200 and event["status"] != 101:
                interim.append(_start(event))
            case "request" | "response":
                head = event
            case "data":
                body += latin1(event["bytes"])
            case "trailers":
                trailers = _fields(event["fields"])
            case "end":
                complete = True
                break
    if head is None:
        return Outcome() if is_server else fault("NoAnswer")
    return Outcome(_start(head), _fields(head["fields"]), body, trailers, complete, tuple(interim))


def _start(head: Json) -> tuple[bytes | int, ...]:
    version = latin1(head["version"].removeprefix("HTTP/"))
    if head["type"] == "request":
        return latin1(head["method"]), latin1(head["target"]), version
    return head["status"], latin1(head["reason"]), version


def _fields(fields: Sequence[Sequence[str]]) -> Fields:
    return tuple((latin1(name).lower(), latin1(value)) for name, value in fields)
