"""What one connection's bytes said, in a form in which two codecs can be compared."""

from __future__ import annotations

from dataclasses import dataclass

Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A message, pseudo-fields first; the cookie crumbs of its head are one field."""

    head: Fields
    interim: tuple[Fields, ...] = ()
    body: bytes = b""
    trailers: Fields | None = None
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The messages by stream.

    A fault is the codec's name for what ended the connection, or the first of its streams that the peer used
    wrongly; what was read before it does not count.
    """

    messages: tuple[tuple[int, Message], ...] = ()
    fault: str | None = None


def fault(kind: str) -> Outcome:
    return Outcome(fault=kind)
