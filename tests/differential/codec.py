"""Our codecs as programs: examples of the crate that holds them, asked over a pipe."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

ROOT = Path(__file__).resolve().parents[2]
ROLES = {"server": 0, "GET": 1, "HEAD": 2, "CONNECT": 3}

Json = dict[str, Any]


class CodecProgram:
    """A running example; one question, one line of JSON as its answer."""

    example: ClassVar[str]

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [_built(self.example)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def events(self, head: bytes, pieces: Sequence[bytes]) -> list[Json]:
        """What it makes of `pieces`, after the head that its own documentation gives."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        framed = b"".join(struct.pack(">I", len(piece)) + piece for piece in pieces)
        self._process.stdin.write(head + struct.pack(">I", len(pieces)) + framed)
        self._process.stdin.flush()
        events: list[Json] = json.loads(self._process.stdout.readline())
        return events


def _built(example: str) -> str:
    command = ["cargo", "build", "--quiet", "--package=meshloom-wire", f"--example={example}"]
    command.append("--message-format=json")
    built = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    artifacts = [json.loads(line) for line in built.splitlines()]
    return next(str(made["executable"]) for made in artifacts if made.get("executable"))


def latin1(text: str) -> bytes:
    """Bytes, which the answers show as the characters U+0000 to U+00FF."""
    return text.encode("latin-1")
