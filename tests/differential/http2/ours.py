"""Our codec, driven through the `http2_events` example of the crate that holds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.differential.codec import ROLES, CodecProgram, Json, latin1
from tests.differential.http2.outcome import Fields, Message, Outcome, fault


class Codec(CodecProgram):
    example = "http2_events"

    def read(self, role: str, pieces: Sequence[bytes]) -> tuple[Outcome, bytes]:
        """What a server, or the client of a request with the method `role`, makes of `pieces` and writes."""
        events = self.events(bytes([ROLES[role]]), pieces)
        return _outcome(events), latin1(events[-1]["bytes"])


def _outcome(events: Sequence[Json]) -> Outcome:
    messages: dict[int, Message] = {}
    interim: dict[int, tuple[Fields, ...]] = {}
    for event in events:
        stream = event.get("stream", 0)
        match event["type"]:
            case "fault":
                return fault(event["kind"])
            case "reset" if event["fault"] is not None:
                return fault(event["fault"])
            case "too-large":
                return fault("HeadTooLarge")
            case "response" if event["status"] < 200:
                interim[stream] = (*interim.get(stream, ()), _head(event))
            case "request" | "response":
                messages[stream] = Message(_head(event), interim.get(stream, ()), complete=event["end"])
            case "data":
                message = messages[stream]
                body = message.body + latin1(event["bytes"])
                messages[stream] = replace(message, body=body, complete=event["end"])
            case "trailers":
                trailers = _section(latin1(event["section"]))
                messages[stream] = replace(messages[stream], trailers=trailers, complete=True)
    return Outcome(tuple(sorted(messages.items())))


def _head(event: Json) -> Fields:
    fields = tuple((latin1(name), latin1(value)) for name, value in event["fields"])
    if event["type"] == "response":
        return ((b":status", b"%d" % event["status"]), *fields)
    line = event["line"]
    pseudo = ((f":{name}".encode(), line[name]) for name in ("method", "scheme", "authority", "path"))
    return (*((name, latin1(value)) for name, value in pseudo), *fields)


def _section(section: bytes) -> Fields:
    lines = (line.split(b": ", 1) for line in section.split(b"\r\n") if line)
    return tuple((name, value) for name, value in lines)
