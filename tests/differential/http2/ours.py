"""Our codec, driven through the `http2_events` example of the crate that holds it."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Self

from tests.differential.http2.outcome import Fields, Message, Outcome, fault

ROOT = Path(__file__).resolve().parents[3]
ROLES = {"server": 0, "GET": 1, "HEAD": 2, "CONNECT": 3}

Json = dict[str, Any]


class Codec:
    """A running `http2_events`; one question, one answer."""

    def __init__(self, process: subprocess.Popen[bytes], ask: IO[bytes], answer: IO[bytes]) -> None:
        self._process, self._ask, self._answer = process, ask, answer

    @classmethod
    def start(cls) -> Self:
        command = ["cargo", "build", "--quiet", "--package=meshloom-wire", "--example=http2_events"]
        command.append("--message-format=json")
        built = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
        artifacts = [json.loads(line) for line in built.splitlines()]
        program = next(made["executable"] for made in artifacts if made.get("executable"))
        process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        return cls(process, process.stdin, process.stdout)

    def stop(self) -> None:
        self._ask.close()
        self._answer.close()
        self._process.wait(timeout=5)

    def read(self, role: str, pieces: Sequence[bytes]) -> tuple[Outcome, bytes]:
        """What a server, or the client of a request with the method `role`, makes of `pieces` and writes."""
        framed = b"".join(struct.pack(">I", len(piece)) + piece for piece in pieces)
        self._ask.write(struct.pack(">BI", ROLES[role], len(pieces)) + framed)
        self._ask.flush()
        events = json.loads(self._answer.readline())
        return _outcome(events), _bytes(events[-1]["bytes"])


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
                body = message.body + _bytes(event["bytes"])
                messages[stream] = replace(message, body=body, complete=event["end"])
            case "trailers":
                trailers = _section(_bytes(event["section"]))
                messages[stream] = replace(messages[stream], trailers=trailers, complete=True)
    return Outcome(tuple(sorted(messages.items())))


def _head(event: Json) -> Fields:
    fields = tuple((_bytes(name), _bytes(value)) for name, value in event["fields"])
    if event["type"] == "response":
        return ((b":status", b"%d" % event["status"]), *fields)
    line = event["line"]
    pseudo = ((f":{name}".encode(), line[name]) for name in ("method", "scheme", "authority", "path"))
    return (*((name, _bytes(value)) for name, value in pseudo), *fields)


def _section(section: bytes) -> Fields:
    lines = (line.split(b": ", 1) for line in section.split(b"\r\n") if line)
    return tuple((name, value) for name, value in lines)


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")
