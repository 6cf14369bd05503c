"""Our codec, driven through the `http1_events` example of the crate that holds it."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Self

from tests.differential.http1.outcome import Fields, Outcome, fault

ROOT = Path(__file__).resolve().parents[3]
ROLES = {"server": 0, "GET": 1, "HEAD": 2, "CONNECT": 3}

Json = dict[str, Any]


class Codec:
    """A running `http1_events`; one question, one answer."""

    def __init__(self, process: subprocess.Popen[bytes], ask: IO[bytes], answer: IO[bytes]) -> None:
        self._process, self._ask, self._answer = process, ask, answer

    @classmethod
    def start(cls) -> Self:
        command = [
            "cargo",
            "build",
            "--quiet",
            "--package=meshloom-wire",
            "--example=http1_events",
            "--message-format=json",
        ]
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

    def read(self, role: str, pieces: Sequence[bytes]) -> Outcome:
        """What a server, or the client of a request with the method `role`, makes of `pieces` and the end."""
        framed = b"".join(struct.pack(">I", len(piece)) + piece for piece in pieces)
        self._ask.write(struct.pack(">BBI", ROLES[role], 1, len(pieces)) + framed)
        self._ask.flush()
        return _outcome(json.loads(self._answer.readline()), is_server=role == "server")


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
                body += _bytes(event["bytes"])
            case "trailers":
                trailers = _fields(event["fields"])
            case "end":
                complete = True
                break
    if head is None:
        return Outcome() if is_server else fault("NoAnswer")
    return Outcome(_start(head), _fields(head["fields"]), body, trailers, complete, tuple(interim))


def _start(head: Json) -> tuple[bytes | int, ...]:
    version = _bytes(head["version"].removeprefix("HTTP/"))
    if head["type"] == "request":
        return _bytes(head["method"]), _bytes(head["target"]), version
    return head["status"], _bytes(head["reason"]), version


def _fields(fields: Sequence[Sequence[str]]) -> Fields:
    return tuple((_bytes(name).lower(), _bytes(value)) for name, value in fields)


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")
