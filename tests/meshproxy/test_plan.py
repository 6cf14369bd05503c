"""The arbiter's decisions, without a process."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshloom.meshproxy.arbiter.plan import (
    AGENT,
    Booting,
    Drain,
    Draining,
    Exit,
    Kill,
    Killed,
    Leave,
    Place,
    Serving,
    Spawn,
    State,
    TellDrain,
    Timing,
    Vacant,
    plan,
    vacate,
    wake_at,
)

TIMING = Timing()
NOW = 1000.0
AGENT_UP = Serving(pid=1, since=0.0, beat=NOW)


def serving(pid: int, since: float = 0.0, beat: float = NOW) -> Serving:
    return Serving(pid, since, beat)


def state(*workers: Place, **fields: Any) -> State:
    return State(workers, AGENT_UP, configured=True, proven=True)._replace(**fields)


def test_the_agent_comes_first_because_only_it_knows_the_configuration() -> None:
    start = State(workers=(Vacant(0.0), Vacant(0.0)), agent=Vacant(0.0))

    assert plan(start, NOW, TIMING) == [Spawn(AGENT)]


def test_workers_start_once_there_is_a_configuration() -> None:
    assert plan(state(Vacant(0.0), Vacant(0.0)), NOW, TIMING) == [Spawn(0), Spawn(1)]


def test_a_served_place_is_left_alone() -> None:
    assert plan(state(serving(10), serving(11)), NOW, TIMING) == []


def test_a_worker_without_a_heartbeat_is_killed() -> None:
    silent = serving(10, beat=NOW - TIMING.heartbeat - 0.1)

    assert plan(state(silent, serving(11)), NOW, TIMING) == [Kill(0, 10, signal.SIGKILL, "no heartbeat")]


def test_a_worker_that_never_gets_ready_is_killed() -> None:
    stuck = Booting(10, since=NOW - TIMING.boot - 1)

    assert plan(state(stuck), NOW, TIMING) == [Kill(0, 10, signal.SIGKILL, "not ready in time")]


def test_a_healthy_worker_that_is_killed_is_replaced_at_once() -> None:
    vacant = vacate(serving(10, since=NOW - 1), -signal.SIGKILL, NOW, TIMING)

    assert plan(state(vacant), NOW, TIMING) == [Spawn(0)]


def test_a_crash_loop_backs_off_from_a_tenth_of_a_second_to_ten() -> None:
    delays = []
    place: Place = Vacant(NOW)
    for _ in range(10):
        place = Booting(10, NOW, getattr(place, "failures", 0))
        place = vacate(place, 3, NOW, TIMING)
        delays.append(round(place.retry_at - NOW, 3))

    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0]


def test_a_worker_that_served_for_long_is_not_punished_for_its_crash() -> None:
    place = vacate(Serving(10, NOW - TIMING.settled, NOW, failures=4), -signal.SIGSEGV, NOW, TIMING)

    assert place == Vacant(NOW)


def test_while_a_place_backs_off_it_stays_empty() -> None:
    assert plan(state(Vacant(NOW + 5), serving(11)), NOW, TIMING) == []


def test_workers_that_never_served_end_the_arbiter() -> None:
    hopeless = state(Vacant(NOW, failures=TIMING.first_boots), proven=False)

    assert plan(hopeless, NOW, TIMING) == [Exit(1)]


def test_a_crash_loop_after_a_good_start_does_not_end_the_arbiter() -> None:
    assert plan(state(Vacant(NOW, failures=99)), NOW, TIMING) == [Spawn(0)]


def test_a_drain_tells_the_workers_then_ends_the_agent_then_the_arbiter() -> None:
    phase = Drain(NOW + 30)

    assert plan(state(serving(10), phase=phase), NOW, TIMING) == [TellDrain(0, 10, NOW + 30)]
    assert plan(state(Draining(10, NOW + 30), phase=phase), NOW, TIMING) == []
    (last,) = plan(state(Vacant(NOW), phase=phase), NOW, TIMING)
    assert isinstance(last, Kill)
    assert (last.place, last.number) == (AGENT, signal.SIGTERM)
    assert plan(state(Vacant(NOW), phase=phase, agent=Vacant(NOW)), NOW, TIMING) == [Exit(0)]


def test_a_drain_has_an_end() -> None:
    actions = plan(state(Draining(10, NOW), phase=Drain(NOW)), NOW, TIMING)

    assert actions == [Kill(0, 10, signal.SIGKILL, "drain time is over")]


def test_drained_listeners_leave_the_arbiter_and_its_agent() -> None:
    assert plan(state(Vacant(NOW), phase=Drain(NOW + 30, stay=True)), NOW + 60, TIMING) == []


def test_told_to_leave_at_once_it_waits_for_nobody() -> None:
    workers = (serving(10), Booting(11, NOW), Draining(12, NOW + 9), Killed(13))

    actions = plan(state(*workers, phase=Leave(0)), NOW, TIMING)

    assert [action.pid for action in actions if isinstance(action, Kill)] == [10, 11, 12]


def test_an_agent_that_dies_is_replaced_and_no_worker_notices() -> None:
    gone = vacate(AGENT_UP, 70, NOW, TIMING)

    assert plan(state(serving(10), agent=gone), NOW, TIMING) == [Spawn(AGENT)]


PLACES = st.one_of(
    st.builds(Vacant, st.floats(0, 2000), st.integers(0, 20)),
    st.builds(Booting, st.integers(2, 99), st.floats(0, NOW), st.integers(0, 20)),
    st.builds(Serving, st.integers(2, 99), st.floats(0, NOW), st.floats(0, NOW), st.integers(0, 20)),
    st.builds(Draining, st.integers(2, 99), st.floats(0, 2000)),
    st.builds(Killed, st.integers(2, 99)),
)
PHASES = st.one_of(st.builds(Drain, st.floats(0, 2000), st.booleans()), st.builds(Leave, st.integers(0, 1)))


@given(workers=st.lists(PLACES, max_size=4), agent=PLACES, phase=PHASES)
def test_on_the_way_out_nothing_is_started(workers: list[Place], agent: Place, phase: Drain | Leave) -> None:
    actions = plan(State(tuple(workers), agent, True, True, phase), NOW, TIMING)

    assert not any(isinstance(action, Spawn) for action in actions)


@given(workers=st.lists(PLACES, min_size=1, max_size=4), agent=PLACES)
def test_no_place_gets_two_children(workers: list[Place], agent: Place) -> None:
    actions = plan(State(tuple(workers), agent, True, True), NOW, TIMING)

    spawned = [action.place for action in actions if isinstance(action, Spawn)]
    places = [agent, *workers]
    assert all(isinstance(places[place + 1], Vacant) for place in spawned)
    assert len(spawned) == len(set(spawned))


@pytest.mark.parametrize("retry_in", [0.05, 0.4, 30.0])
def test_it_sleeps_until_the_next_retry_but_looks_at_hearts_every_second(retry_in: float) -> None:
    assert wake_at(state(Vacant(NOW + retry_in)), NOW) == min(NOW + retry_in, NOW + 1.0)
