"""The state of one type on one stream: what was sent, and what the proxy said to it.

    Fresh ──send──▶ Awaiting ──ack──▶ Accepted ──send──▶ Awaiting ...
                        └────nack───▶ Refused  ──send──▶ Awaiting ...

A request whose nonce is not the newest one says nothing about what the proxy runs now: xDS calls it stale
and has it ignored. At most one response per type is in flight; what changes meanwhile is folded into the
next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, assert_never

from meshloom.pilot.translate.resource import Nonce, Version


@dataclass(frozen=True, slots=True)
class Fresh:
    """Asked for, never answered."""


@dataclass(frozen=True, slots=True)
class Awaiting:
    """A response is in flight since `since` (seconds, monotonic); `acked` is what the proxy still runs."""

    acked: Version | None
    sent: Version
    nonce: Nonce
    since: float
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The proxy has what it asked for."""

    acked: Version
    nonce: Nonce
    at: float


@dataclass(frozen=True, slots=True)
class Refused:
    """The proxy said no to `refused` and runs `acked` on. `names` were in the refused response."""

    acked: Version | None
    refused: Version
    nonce: Nonce
    reason: str
    names: frozenset[str]


Exchange: TypeAlias = Fresh | Awaiting | Accepted | Refused


def acked_version(state: Exchange) -> Version | None:
    """What the proxy is known to run."""
    match state:
        case Fresh():
            return None
        case Awaiting(acked=acked) | Accepted(acked=acked) | Refused(acked=acked):
            return acked
        case _:
            assert_never(state)


def newest_nonce(state: Exchange) -> Nonce | None:
    match state:
        case Fresh():
            return None
        case Awaiting(nonce=nonce) | Accepted(nonce=nonce) | Refused(nonce=nonce):
            return nonce
        case _:
            assert_never(state)


def on_send(state: Exchange, version: Version, nonce: Nonce, now: float, names: frozenset[str]) -> Awaiting:
    return Awaiting(acked_version(state), version, nonce, now, names)


def on_ack(state: Exchange, nonce: Nonce, now: float) -> Exchange:
    match state:
        case Awaiting(sent=sent, nonce=expected) if nonce == expected:
            return Accepted(sent, nonce, now)
        case Fresh() | Awaiting() | Accepted() | Refused():
            return state
        case _:
            assert_never(state)


def on_nack(state: Exchange, nonce: Nonce, reason: str) -> Exchange:
    match state:
        case Awaiting(acked=acked, sent=sent, nonce=expected, names=names) if nonce == expected:
            return Refused(acked, sent, nonce, reason, names)
        case Fresh() | Awaiting() | Accepted() | Refused():
            return state
        case _:
            assert_never(state)
