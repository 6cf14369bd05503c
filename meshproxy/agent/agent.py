"""The agent: takes resources in, has them compiled, tells the workers, and remembers what it told.

Everything here runs on one event loop and none of it blocks; what is long-lived is a task of the group that
`run` opens. The workers do not depend on any of it: they serve what they were told last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format
from meshloom.meshproxy.agent.dialect import Change
from meshloom.meshproxy.agent.dns import Resolver
from meshloom.meshproxy.agent.fleet import Fleet
from meshloom.meshproxy.agent.ports import Ports
from meshloom.meshproxy.agent.relay import Relay
from meshloom.meshproxy.agent.sources import Outlets, Sources
from meshloom.meshproxy.agent.store import Store
from meshloom.meshproxy.agent.stream import Stream, Target
from meshloom.meshproxy.agent.target import find_target
from meshloom.meshproxy.agent.wire import encode_bundle, encode_update, replay
from meshloom.meshproxy.bootstrap.load import Bootstrap, InvalidBootstrap, load
from meshloom.meshproxy.bootstrap.overload import settings_of
from meshloom.meshproxy.control import Message
from meshloom.meshproxy.logs import open_log
from meshloom.meshproxy.options import Options
from meshloom.meshproxy.resources.compiled import Compiled, Rejected, compile_resource
from meshloom.meshproxy.resources.protos import CLUSTER, ENDPOINTS, LISTENER, PUSH_ORDER, SECRET, SHORT
from meshloom.meshproxy.resources.resolvers import asking_of
from meshloom.meshproxy.resources.source import DEFAULT_FETCH_TIMEOUT_S, Ads, Grpc, Source
from meshloom.runtime.log import Log

log = Log("agent")

COALESCE_S = 0.005
"""Responses that come together are one update."""
BUNDLE_AFTER_S = 1.0
BUNDLE_AFTER_UPDATES = 64
"""A new full bundle for the arbiter: when things have been quiet, or after so many updates."""
MAX_FAULTS_IN_NACK = 5


@dataclass(slots=True)
class TypeStats:
    """What happened to the updates of one type."""

    attempt: int = 0
    success: int = 0
    rejected: int = 0
    failure: int = 0
    version: str = ""
    last_error: str = ""
    last_error_at: float = 0.0


@dataclass(slots=True)
class Agent:
    options: Options
    bootstrap: Bootstrap
    relay: Relay
    fleet: Fleet
    clock: Callable[[], float] = time.monotonic
    store: Store = field(default_factory=Store)
    ports: Ports = field(default_factory=Ports)
    stats: dict[str, TypeStats] = field(default_factory=lambda: {t: TypeStats() for t in PUSH_ORDER})
    version: int = 0
    """Of what was published last."""
    settled: bool = False
    """Once everything that was there at the start has been published."""
    reloads_failed: int = 0
    errors: dict[tuple[str, str], tuple[str, float, bytes]] = field(default_factory=dict)
    """By type and name: the last resource that was refused, why and when."""
    _answered: set[str] = field(default_factory=set)
    _sources: Sources | None = None
    _resolver: Resolver | None = None
    _wake: asyncio.TimerHandle | None = None
    _bundle: asyncio.TimerHandle | None = None
    _updates_since_bundle: int = 0
    _settled_version: int = 0
    _told: bool = False
    _live: bool = False
    log_level: str = ""
    handed_over: asyncio.Event = field(default_factory=asyncio.Event)
    """A successor serves: what only one of us can have is its from now on."""
    admin_bound: tuple[str, int] | None = None
    started: float = 0.0

    def restore(self, versions: list[int], blobs: list[bytes]) -> None:
        """Take up what the workers have, after the agent's own restart."""
        self.version = max(versions, default=0)
        restored = []
        for type_url, version, body in replay(blobs):
            try:
                restored.append(compile_resource(type_url, body, version))
            except Rejected as fault:
                log.error("restore_failed", type=type_url, reason=fault)
        self.ports.remember(restored)
        self.store.seed(restored, self.clock())

    async def run(self) -> None:
        """Ends only when cancelled."""
        now = self.clock()
        async with asyncio.TaskGroup() as tasks:
            outlets = Outlets(self.take, self.find_target, self._on_file_failure, self._versions)
            self._sources = Sources(tasks, self.bootstrap.node, self.bootstrap.ads, outlets)
            self._resolver = Resolver(tasks, self._on_resolved, asking_of(self.bootstrap.message))
            self.relay.send({"type": "hello", "worker": self._worker_settings()})
            fresh = self.version == 0
            self._put_static(now)
            if self.bootstrap.cds is not None and fresh:
                self.store.clusters_until = now + self.bootstrap.cds[1]
            self.started = now
            self.advance()
            if fresh:
                # The workers start now, whatever is still to come.
                self.version += 1
                self._told = True
                self._settled_version = self.version
                self._send_bundle()
            await asyncio.Event().wait()

    @property
    def live(self) -> bool:
        """Whether the workers have once had in force everything that was there at the start."""
        if not self._live and self.settled:
            self._live = self.fleet.has_applied(self._settled_version)
        return self._live

    # What comes in

    def take(self, change: Change) -> str | None:
        """Take in a response whole, or refuse it whole: then the text of the NACK."""
        stats = self.stats.get(change.type_url)
        if stats is None:
            return f"{change.type_url} is not implemented; want one of {', '.join(SHORT)}"
        stats.attempt += 1
        compiled, faults = self._compile(change)
        if faults:
            stats.rejected += 1
            if len(faults) > MAX_FAULTS_IN_NACK:
                faults = [*faults[:MAX_FAULTS_IN_NACK], f"and {len(faults) - MAX_FAULTS_IN_NACK} more"]
            stats.last_error = "; ".join(faults)
            stats.last_error_at = time.time()
            return stats.last_error
        stats.success += 1
        stats.version = change.version
        self._answered.add(change.type_url)
        self.store.put(compiled, self.clock())
        self.store.remove(change.type_url, change.removed)
        for name in change.removed:
            self.store.conclude(change.type_url, name)
        if change.complete:
            self.store.retain(change.type_url, [resource.name for resource in compiled])
        self.advance_soon()
        return None

    def reload(self) -> None:
        """Read the bootstrap again; a bad one changes nothing."""
        try:
            fresh = load(self.options)
        except InvalidBootstrap as error:
            self.reloads_failed += 1
            for line in error.lines:
                log.error("reload_refused", fault=line)
            return
        if _kept_until_restart(fresh) != _kept_until_restart(self.bootstrap):
            log.warning("reload_needs_restart", fields="dynamic_resources.ads_config, admin, name servers")
        self.bootstrap = fresh
        self._put_static(self.clock())
        self.advance_soon()
        log.info("reloaded", static_resources=len(fresh.static))

    def hear(self, message: Message) -> None:
        """A message from the arbiter."""
        match message.kind:
            case "reload":
                self.reload()
            case "handed_over":
                self.handed_over.set()
            case "reopen_logs":
                open_log(self.options)
            case _:
                self.fleet.hear(message)

    def find_target(self, source: Grpc) -> Target:
        """Raises NoTarget."""
        return find_target(source, self._static_cluster, self._secret)

    def streams(self) -> list[Stream]:
        """Every stream to a management server."""
        return list(self._sources.streams.values()) if self._sources else []

    def set_log_level(self, level: str) -> None:
        """Of the workers; the agent's own is the caller's to set."""
        self.log_level = level
        self.relay.send({"type": "log_level", "level": level})

    # What follows

    def advance_soon(self) -> None:
        self._wake_in(COALESCE_S)

    def advance(self) -> None:
        """Publish what has become ready, and look for what is needed next."""
        now = self.clock()
        self._follow()
        self._open_gate(now)
        update = self.store.advance(now)
        if update is not None:
            self._publish(encode_update(update), update.listen)
            self.store.forget_unwanted()
            self._follow()
        warming = self.store.warming(now)
        if not self.settled and not warming and self._has_first_listeners(now):
            self.settled = True
            # Told by an earlier agent, the workers have what they have: nothing of ours is awaited.
            self._settled_version = self.version if self._told else 0
        pending = [until for until in warming.values() if until != float("inf")]
        if not self.settled:
            pending.append(self._listeners_until())
        if future := [until for until in pending if until > now]:
            self._wake_in(min(future) - now)

    def _publish(self, content: bytes, listen: Iterable[Mapping[str, Any]]) -> None:
        if self.version == 0:
            return  # the first bundle has it all
        self.version += 1
        self._told = True
        self.relay.send({"type": "update", "version": self.version, "listen": list(listen)}, content)
        self._updates_since_bundle += 1
        if self._updates_since_bundle >= BUNDLE_AFTER_UPDATES:
            self._send_bundle()
        elif self._bundle is None:
            self._bundle = asyncio.get_running_loop().call_later(BUNDLE_AFTER_S, self._send_bundle)

    def _send_bundle(self) -> None:
        if self._bundle is not None:
            self._bundle.cancel()
            self._bundle = None
        self._updates_since_bundle = 0
        header = {"type": "bundle", "version": self.version, "listen": list(self.store.listen())}
        self.relay.send(header, encode_bundle(self.store.published))

    def _follow(self) -> None:
        if self._sources is None or self._resolver is None:
            return
        wanted: dict[Source, dict[str, frozenset[str] | None]] = {
            source: {type_url: frozenset(names) for type_url, names in types.items()}
            for source, types in self.store.wanted().items()
        }
        if self.bootstrap.cds is not None:
            wanted.setdefault(self.bootstrap.cds[0], {})[CLUSTER] = None
        # Listeners are asked for once clusters are there to lead them somewhere.
        if self.bootstrap.lds is not None and self.store.clusters_until <= self.clock():
            wanted.setdefault(self.bootstrap.lds[0], {})[LISTENER] = None
        if self.bootstrap.ads is not None:
            wanted.setdefault(Ads(), {})
        self._sources.follow(wanted)
        self._resolver.follow(self.store.dns_clusters())

    def _open_gate(self, now: float) -> None:
        """The first clusters are here and have their endpoints: listeners may come."""
        if self.store.clusters_until <= now or CLUSTER not in self._answered:
            return
        if all(not name.startswith(CLUSTER) for name in self.store.warming(now)):
            self.store.clusters_until = 0.0
            self._follow()

    def _has_first_listeners(self, now: float) -> bool:
        return self.bootstrap.lds is None or LISTENER in self._answered or now >= self._listeners_until()

    def _listeners_until(self) -> float:
        timeout = self.bootstrap.lds[1] if self.bootstrap.lds else DEFAULT_FETCH_TIMEOUT_S
        return self.started + timeout

    def _wake_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        if self._wake is not None:
            if self._wake.when() <= when:
                return
            self._wake.cancel()
        self._wake = loop.call_at(when, self._on_wake)

    def _on_wake(self) -> None:
        self._wake = None  # a timer may fire a moment early: it is over all the same
        self.advance()

    # Private parts

    def _put_static(self, now: float) -> None:
        settled = []
        for resource in self.bootstrap.static:
            try:
                settled.append(self._settled(resource))
            except Rejected as fault:
                log.error("static_listener_refused", reason=fault)
        self.store.put_static(settled, now)

    def _settled(self, resource: Compiled) -> Compiled:
        try:
            return self.ports.settle(resource)
        except OSError as error:
            raise Rejected(resource.name, "address", f"cannot be had: {error.strerror}") from error

    def _compile(self, change: Change) -> tuple[list[Compiled], list[str]]:
        compiled: list[Compiled] = []
        faults: list[str] = []
        for name, version, body in change.resources:
            try:
                resource = self._settled(compile_resource(change.type_url, body, version))
                if name and name != resource.name:
                    raise Rejected(name, "name", f"is {resource.name!r} in the resource itself")
            except Rejected as fault:
                faults.append(str(fault))
                self.errors[change.type_url, fault.name or name] = (str(fault), time.time(), body)
                continue
            compiled.append(resource)
            self.errors.pop((change.type_url, resource.name), None)
        return compiled, faults

    def _on_resolved(self, name: str, assignment: bytes) -> None:
        try:
            self.store.put([compile_resource(ENDPOINTS, assignment, "")], self.clock())
        except Rejected as fault:
            log.error("dns_assignment_refused", reason=fault)
            self.store.conclude(ENDPOINTS, name)
        self.advance_soon()

    def _on_file_failure(self, type_url: str, reason: str) -> None:
        self.stats[type_url].failure += 1
        log.error("file_refused", reason=reason)

    def _versions(self, type_url: str) -> Mapping[str, str]:
        accepted = self.store.accepted[type_url]
        return {n: e.resource.version for n, e in accepted.items() if not e.static and e.resource.version}

    def _static_cluster(self, name: str) -> Compiled | None:
        entry = self.store.accepted[CLUSTER].get(name)
        return entry.resource if entry else None

    def _secret(self, name: str) -> Compiled | None:
        entry = self.store.accepted[SECRET].get(name)
        return entry.resource if entry else None

    def _worker_settings(self) -> dict[str, Any]:
        node = self.bootstrap.node
        metadata = json_format.MessageToDict(node.metadata)
        return {
            "node": {"id": node.id, "cluster": node.cluster, "metadata": metadata},
            "log_level": self.options.log_level,
            "overload": settings_of(self.bootstrap.message),
        }


def _kept_until_restart(bootstrap: Bootstrap) -> tuple[object, ...]:
    return bootstrap.ads, bootstrap.admin, asking_of(bootstrap.message)
