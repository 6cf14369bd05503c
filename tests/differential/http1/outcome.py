"""What one connection's bytes said, in a form in which two codecs can be compared."""

from __future__ import annotations

from dataclasses import dataclass

Fields = tuple[tuple[bytes, bytes], ...]
Head = tuple[bytes | int, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The first message of a connection; interim responses are not counted as one.

    A fault is the codec's name for it; what was read before it does not count.
    """

    head: Head | None = None
    fields: Fields = ()
    body: bytes = b""
    trailers: Fields = ()
    complete: bool = False
    interim: tuple[Head, ...] = ()
    fault: str | None = None


def fault(kind: str) -> Outcome:
    return Outcome(fault=kind)
