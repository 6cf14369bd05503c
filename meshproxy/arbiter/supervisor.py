"""The arbiter: carries out what `plan()` decides, and turns what happens into the state it decides from.

It relays between the agent (who knows the configuration) and the workers (who serve it), and keeps what a
respawned worker needs: the newest bundle, the listening sockets, the shared memory. What a message means
beyond that is none of its business.
"""

from __future__ import annotations

import math
import os
import signal
import time
from typing import Any, NamedTuple

from meshloom.meshproxy.arbiter import child
from meshloom.meshproxy.arbiter.configuration import Blob, Configuration
from meshloom.meshproxy.arbiter.delivery import Delivery
from meshloom.meshproxy.arbiter.generations import Generations
from meshloom.meshproxy.arbiter.handover import HandoverFailed
from meshloom.meshproxy.arbiter.health import Health, concerns
from meshloom.meshproxy.arbiter.listeners import Endpoint, Listeners
from meshloom.meshproxy.arbiter.loop import Loop
from meshloom.meshproxy.arbiter.plan import (
    AGENT,
    LONGEST_WAIT_S,
    Action,
    Booting,
    Drain,
    Draining,
    Exit,
    Kill,
    Killed,
    Leave,
    Place,
    Run,
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
from meshloom.meshproxy.arbiter.regions import Regions
from meshloom.meshproxy.arbiter.switchboard import Switchboard
from meshloom.meshproxy.control import Channel, Message, channel_pair
from meshloom.meshproxy.logs import open_log
from meshloom.meshproxy.options import Options
from meshloom.runtime.log import Log

log = Log("arbiter")


class Program(NamedTuple):
    """What the children run; a test puts its own in place of either."""

    worker: child.WorkerMain = child.serve
    agent: tuple[str, ...] = ()
    timing: Timing = Timing()


class Arbiter:
    """One proxy: its sockets, memory and processes. `run` returns the exit code."""

    def __init__(self, options: Options, program: Program) -> None:
        self._options = options
        self._program = program
        now = time.monotonic()
        self._state = State(workers=(Vacant(now),) * options.workers, agent=Vacant(now))
        self._listeners = Listeners(options.workers)
        self._regions = Regions(options.workers)
        self._configuration = Configuration()
        self._loop = Loop(self._on_signals)
        self._lines = Switchboard(self._loop, self._on_message)
        self._to_workers = Delivery(self._lines, self._listeners, options.workers)
        self._generations = Generations(options, self._loop, self._listeners, self._give_way)
        self._health = Health()
        self._worker_settings: dict[str, Any] = {}
        # Keys of TLS session tickets come from it: the same for all workers, and gone with us.
        self._ticket_secret = os.urandom(32).hex()
        self._restarts = [0] * options.workers
        self._last_turn = now
        self._exit_code: int | None = None
        self._asked_to_end = False

    def run(self) -> int:
        self._loop.listen_for_signals()
        try:
            self._generations.await_successor()
        except HandoverFailed as failure:
            log.error("hot_restart_failed", reason=failure)
            return 1
        while self._exit_code is None:
            now = time.monotonic()
            self._watch_hearts(now)
            self._bind_missing()
            for action in plan(self._state, now, self._program.timing):
                self._carry_out(action, now)
            if self._exit_code is None:
                self._loop.turn(wake_at(self._state, now) - time.monotonic())
        return self._exit_code

    # Deciding and acting

    def _carry_out(self, action: Action, now: float) -> None:
        match action:
            case Spawn(place) if place == AGENT:
                self._start_agent(now)
            case Spawn(place):
                self._start_worker(place, now)
            case Kill(place, pid, number, why):
                log.info("child_signalled", child=_name(place), pid=pid, signal=number, why=why)
                os.kill(pid, number)
                deadline = now + self._program.timing.agent_stop
                self._put(place, Killed(pid) if number == signal.SIGKILL else Draining(pid, deadline))
            case TellDrain(place, pid, deadline):
                self._lines.send(place, {"type": "drain", "seconds": max(math.ceil(deadline - now), 0)})
                self._put(place, Draining(pid, deadline))
            case Exit(code):
                self._exit_code = code

    def _put(self, place: int, new: Place) -> None:
        if place == AGENT:
            self._state = self._state._replace(agent=new)
            return
        workers = list(self._state.workers)
        workers[place] = new
        self._state = self._state._replace(workers=tuple(workers))
        self._tell_agent_of_workers()

    def _at(self, place: int) -> Place:
        return self._state.agent if place == AGENT else self._state.workers[place]

    def _watch_hearts(self, now: float) -> None:
        # When it is we who were stopped or starved, nobody's silence counts.
        starved = now - self._last_turn > LONGEST_WAIT_S + self._program.timing.heartbeat / 2
        self._last_turn = now
        workers = list(self._state.workers)
        for slot, place in enumerate(workers):
            if isinstance(place, Serving) and (self._regions.moved(slot) or starved):
                workers[slot] = place._replace(beat=now)
        self._state = self._state._replace(workers=tuple(workers))

    # Children

    def _start_worker(self, slot: int, now: float) -> None:
        mine, theirs = channel_pair()
        held = self._listeners.of_slot(slot)
        bundle = self._configuration.bundle
        settings = {
            **self._worker_settings,
            "slot": slot,
            "workers": self._options.workers,
            "control_fd": theirs.fileno(),
            "bundle_fd": bundle.fd if bundle else None,
            "bundle_version": bundle.version if bundle else 0,
            "telemetry_fd": self._regions.fds[slot],
            "limits_fd": self._regions.limits_fd,
            "listeners": [{**endpoint.describe(), "fd": each.fileno()} for endpoint, each in held],
            "drain_time_s": self._options.drain_time_s,
            "ticket_secret": self._ticket_secret,
        }
        keep = [theirs.fileno(), self._regions.fds[slot], *(each.fileno() for _, each in held)]
        keep += [self._regions.limits_fd] if self._regions.limits_fd is not None else []
        pid = child.fork_worker(self._program.worker, settings, keep + ([bundle.fd] if bundle else []))
        theirs.close()
        failures = getattr(self._at(slot), "failures", 0)
        self._lines.connect(slot, Channel(mine))
        self._put(slot, Booting(pid, now, failures))
        for update in self._configuration.updates:
            self._lines.send(slot, {"type": "update", "version": update.version, "listen": []}, [update.fd])
        for fact in self._health.for_worker(slot):
            self._lines.send(slot, fact)

    def _start_agent(self, now: float) -> None:
        mine, theirs = channel_pair()
        command = list(self._program.agent) or child.agent_command()
        pid = child.exec_agent(command, theirs.fileno())
        theirs.close()
        failures = getattr(self._state.agent, "failures", 0)
        self._lines.connect(AGENT, Channel(mine))
        self._put(AGENT, Booting(pid, now, failures))
        known = self._configuration.blobs()
        header = {
            "type": "start",
            "options": self._options._asdict(),
            "telemetry": len(self._regions.fds),
            "versions": [blob.version for blob in known],
        }
        self._lines.send(AGENT, header, [*self._regions.fds, *(blob.fd for blob in known)])
        self._tell_agent_of_workers()
        self._tell_agent_of_listeners([])
        for fact in self._health.for_agent():
            self._lines.send(AGENT, fact)

    def _reap(self) -> None:
        now = time.monotonic()
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for place in (AGENT, *range(len(self._state.workers))):
                there = self._at(place)
                if not isinstance(there, Vacant) and there.pid == pid:
                    self._ended(place, os.waitstatus_to_exitcode(status), now)

    def _ended(self, place: int, status: int, now: float) -> None:
        self._lines.converse(place)  # its last words
        self._lines.disconnect(place)
        was = self._at(place)
        vacant = vacate(was, status, now, self._program.timing)
        if place != AGENT:
            self._restarts[place] += 1
            for fact in self._health.worker_ended(place):
                self._lines.send(AGENT, fact)
        if isinstance(self._state.phase, Run):
            log.warning(
                "child_ended", child=_name(place), status=status, retry_in_s=round(vacant.retry_at - now, 3)
            )
        self._put(place, vacant)
        if place == AGENT and not self._state.configured and isinstance(self._state.phase, Run):
            # It has said what is wrong with the bootstrap; there is nothing to serve.
            self._state = self._state._replace(phase=Leave(status if status > 0 else 1))

    # Conversation

    def _on_message(self, place: int, message: Message) -> None:
        if place == AGENT:
            self._on_agent(message)
        else:
            self._on_worker(place, message)

    def _on_worker(self, slot: int, message: Message) -> None:
        _close(message.fds)
        there = self._at(slot)
        if message.kind == "ready" and isinstance(there, Booting):
            now = time.monotonic()
            log.info("worker_ready", slot=slot, pid=there.pid, after_s=round(now - there.since, 3))
            self._state = self._state._replace(proven=True)
            self._put(slot, Serving(there.pid, now, now, there.failures))
            if all(isinstance(place, Serving) for place in self._state.workers):
                self._generations.relieve_predecessor()
        if self._health.hear(slot, message.header):
            for other in range(len(self._state.workers)):
                if concerns(other, slot, message):
                    self._lines.send(other, message.header)
        self._lines.send(AGENT, {**message.header, "slot": slot})

    def _on_agent(self, message: Message) -> None:
        header = message.header
        match message.kind:
            case "hello":
                self._worker_settings = header["worker"]
                self._put_agent_serving()
            case "bundle":
                self._configuration.replace(Blob(header["version"], message.fds[0]))
                self._to_workers.sockets(self._bind(header["listen"]))
            case "update":
                version, fd = header["version"], message.fds[0]
                self._configuration.add(Blob(version, fd))
                self._to_workers.update(version, fd, self._bind(header["listen"]))
            case "drain":
                self._begin_drain(float(header["seconds"]), stay=True)
            case "quit":
                self._begin_drain(self._options.drain_time_s)
            case "log_level":
                self._worker_settings["log_level"] = header["level"]
                self._to_workers.message({"type": "log_level", "level": header["level"]})
            case unknown:
                log.error("unknown_message", sender="agent", type=unknown)

    def _put_agent_serving(self) -> None:
        if isinstance(self._state.agent, Booting):
            now = time.monotonic()
            self._put(AGENT, Serving(self._state.agent.pid, now, now, self._state.agent.failures))

    # Configuration

    def _bind(self, listen: list[dict[str, Any]]) -> list[Endpoint]:
        """Bring the sockets in line with the configuration; the first one lets the workers start."""
        first = not self._state.configured
        try:
            if first:
                self._generations.take_over()
        except HandoverFailed as failure:
            log.error("hot_restart_failed", reason=failure)
            self._state = self._state._replace(phase=Leave(1))
            return []
        added, failed = self._listeners.reconcile([Endpoint.parse(entry) for entry in listen])
        for fault in failed:
            log.error("bind_failed", **fault.endpoint.describe(), reason=fault.reason)
        if first and failed:
            self._state = self._state._replace(phase=Leave(1))
        self._state = self._state._replace(configured=True)
        reports = [{**fault.endpoint.describe(), "reason": fault.reason} for fault in failed]
        self._tell_agent_of_listeners(reports)
        return added

    def _bind_missing(self) -> None:
        """What could not be bound may have become free: a socket of our own that a worker has just closed."""
        if not self._listeners.missing or not isinstance(self._state.phase, Run):
            return
        if added := self._listeners.bind_missing():
            log.info("bound_at_last", listeners=len(added))
            self._tell_agent_of_listeners([])
            self._to_workers.sockets(added)

    def _tell_agent_of_workers(self) -> None:
        workers = [
            {
                "slot": slot,
                "pid": 0 if isinstance(place, Vacant) else place.pid,
                "state": type(place).__name__.lower(),
                "restarts": self._restarts[slot],
            }
            for slot, place in enumerate(self._state.workers)
        ]
        self._lines.send(AGENT, {"type": "workers", "workers": workers})

    def _tell_agent_of_listeners(self, failed: list[dict[str, Any]]) -> None:
        self._lines.send(
            AGENT, {"type": "bound", "listeners": self._listeners.bound_ports(), "failed": failed}
        )

    # Signals

    def _on_signals(self, numbers: frozenset[int]) -> None:
        if signal.SIGCHLD in numbers:
            self._reap()
        if signal.SIGHUP in numbers:
            self._lines.send(AGENT, {"type": "reload"})
        if signal.SIGUSR1 in numbers:
            self._to_workers.message({"type": "reopen_logs"})
            self._lines.send(AGENT, {"type": "reopen_logs"})
            open_log(self._options)
        if signal.SIGQUIT in numbers:
            self._state = self._state._replace(phase=Leave(0))
        elif numbers & {signal.SIGTERM, signal.SIGINT}:
            if self._asked_to_end:
                self._state = self._state._replace(phase=Leave(0))
            self._asked_to_end = True
            self._begin_drain(self._options.drain_time_s)

    def _give_way(self, seconds: float) -> None:
        self._lines.send(AGENT, {"type": "handed_over"})
        self._begin_drain(seconds)

    def _begin_drain(self, seconds: float, *, stay: bool = False) -> None:
        """Let requests end. A drain under way can be made shorter, or final, never longer."""
        phase = self._state.phase
        if isinstance(phase, Leave):
            return
        deadline = time.monotonic() + seconds
        if isinstance(phase, Drain):
            deadline, stay = min(deadline, phase.deadline), stay and phase.stay
        log.info("drain", seconds=seconds, stay=stay)
        # A copy kept open here would go on queueing connections that nobody accepts.
        self._listeners.reconcile([])
        self._state = self._state._replace(phase=Drain(deadline, stay))
        self._lines.send(AGENT, {"type": "draining", "seconds": seconds})


def _name(place: int) -> str:
    return "agent" if place == AGENT else f"worker-{place}"


def _close(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)
