"""What the arbiter does next, as one pure function.

The arbiter's loop turns whatever happened (a child ended, a worker said "ready", a second went by) into a
new `State` and asks `plan()`. `plan()` looks at the state and the time and returns actions; fork(), kill()
and exit() are its caller's. The same inputs give the same actions, so every rule here is tested without a
process.

A child's life, the agent's as much as a worker's:

    Vacant ──spawn──▶ Booting ──ready──▶ Serving ──drain──▶ Draining
      ▲                  │                  │                  │
      └──────ended───────┴───────ended──────┴──────ended───────┘     (or Killed, from any of them)

How long a vacant place stays vacant is decided once, when its child ends (`vacate`): a child that served
and was then killed from outside is replaced at once, because its waiting connections are in its socket; a
child that ends by itself, or at boot, waits 0.1 s, 0.2 s, ... 10 s, so that a crash loop costs nothing.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

AGENT = -1
"""The agent's place, beside the workers' 0, 1, ..."""
LONGEST_WAIT_S = 1.0
"""Hearts are looked at so often."""


class Timing(NamedTuple):
    """Seconds."""

    heartbeat: float = 5.0
    """A worker that shows no sign of life for so long is killed."""
    boot: float = 60.0
    """A worker that is not ready by then is killed."""
    backoff_first: float = 0.1
    backoff_most: float = 10.0
    proven: float = 0.3
    """A worker that has served for so long and is killed from outside is replaced at once."""
    settled: float = 10.0
    """A child that has served for so long has proven its configuration: its failures are forgotten."""
    agent_stop: float = 4.0
    """How long the agent may take to say its last words."""
    first_boots: int = 5
    """A worker that fails so often before any worker was ever ready ends the arbiter."""


class Vacant(NamedTuple):
    retry_at: float
    failures: int = 0


class Booting(NamedTuple):
    pid: int
    since: float
    failures: int = 0


class Serving(NamedTuple):
    pid: int
    since: float
    beat: float
    failures: int = 0


class Draining(NamedTuple):
    """Asked to end; made to at the deadline."""

    pid: int
    deadline: float


class Killed(NamedTuple):
    """What is left is to hear of its end."""

    pid: int


Place: TypeAlias = Vacant | Booting | Serving | Draining | Killed


class Run(NamedTuple):
    """Keep every place filled."""


class Drain(NamedTuple):
    """Let what is in flight end, until `deadline`; then leave."""

    deadline: float
    stay: bool = False
    """Only the listeners are to go: the arbiter and its agent remain."""


class Leave(NamedTuple):
    """Workers end at once."""

    code: int = 0


Phase: TypeAlias = Run | Drain | Leave


class State(NamedTuple):
    """All that the decision needs."""

    workers: tuple[Place, ...]
    agent: Place
    configured: bool = False
    """A configuration is at hand, so a worker has something to serve."""
    proven: bool = False
    """Some worker has been ready once: the program and its configuration can work."""
    phase: Phase = Run()


class Spawn(NamedTuple):
    place: int


class Kill(NamedTuple):
    place: int
    pid: int
    number: int
    why: str


class TellDrain(NamedTuple):
    place: int
    pid: int
    deadline: float


class Exit(NamedTuple):
    code: int


Action: TypeAlias = Spawn | Kill | TellDrain | Exit


def plan(state: State, now: float, timing: Timing) -> list[Action]:
    """What to do now. Idempotent once its actions are carried out."""
    match state.phase:
        case Run():
            return list(_run(state, now, timing))
        case Drain() as phase:
            return list(_drain(state, now, phase))
        case Leave(code):
            return list(_leave(state, now, code))


def wake_at(state: State, now: float) -> float:
    """When `plan` can next say something new, if nothing else happens."""
    times = [now + LONGEST_WAIT_S]
    for place in (*state.workers, state.agent):
        match place:
            case Vacant(retry_at) if retry_at > now:
                times.append(retry_at)
            case Draining(_, deadline) if deadline > now:
                times.append(deadline)
            case _:
                pass
    return min(times)


def vacate(place: Place, status: int, now: float, timing: Timing) -> Vacant:
    """The place of a child that ended with wait `status`: negative is a signal, else the exit code."""
    match place:
        case Serving(_, since) if status == -signal.SIGKILL and now - since >= timing.proven:
            return Vacant(now)
        case Serving(_, since) if now - since >= timing.settled:
            return Vacant(now)
        case Serving(_, _, _, failures) | Booting(_, _, failures):
            delay = min(timing.backoff_first * 2**failures, timing.backoff_most)
            return Vacant(now + delay, failures + 1)
        case Draining() | Killed() | Vacant():
            return Vacant(now)


def _run(state: State, now: float, timing: Timing) -> Iterator[Action]:
    if isinstance(state.agent, Vacant) and state.agent.retry_at <= now:
        yield Spawn(AGENT)
    for slot, place in enumerate(state.workers):
        match place:
            case Vacant(_, failures) if failures >= timing.first_boots and not state.proven:
                yield Exit(1)
                return
            case Vacant(retry_at) if state.configured and retry_at <= now:
                yield Spawn(slot)
            case Booting(pid, since) if now - since > timing.boot:
                yield Kill(slot, pid, signal.SIGKILL, "not ready in time")
            case Serving(pid, _, beat) if now - beat > timing.heartbeat:
                yield Kill(slot, pid, signal.SIGKILL, "no heartbeat")
            case _:
                pass


def _drain(state: State, now: float, phase: Drain) -> Iterator[Action]:
    for slot, place in enumerate(state.workers):
        match place:
            case Serving(pid):
                yield TellDrain(slot, pid, phase.deadline)
            case Booting(pid):
                yield Kill(slot, pid, signal.SIGKILL, "ended before it served")
            case Draining(pid, end) if now >= end:
                yield Kill(slot, pid, signal.SIGKILL, "drain time is over")
            case _:
                pass
    if not phase.stay and all(isinstance(place, Vacant) for place in state.workers):
        yield from _farewell(state, now, 0)


def _leave(state: State, now: float, code: int) -> Iterator[Action]:
    for slot, place in enumerate(state.workers):
        if not isinstance(place, Vacant | Killed):
            yield Kill(slot, place.pid, signal.SIGKILL, "told to end at once")
    if all(isinstance(place, Vacant) for place in state.workers):
        yield from _farewell(state, now, code)


def _farewell(state: State, now: float, code: int) -> Iterator[Action]:
    """The agent goes last: it still tells who asks what happened."""
    match state.agent:
        case Vacant():
            yield Exit(code)
        case Booting(pid) | Serving(pid):
            yield Kill(AGENT, pid, signal.SIGTERM, "the workers have ended")
        case Draining(pid, end) if now >= end:
            yield Kill(AGENT, pid, signal.SIGKILL, "did not end when asked")
        case Draining() | Killed():
            pass
