"""Clusters whose endpoints are names: resolved here, so that a worker never waits for a name server.

The answer is an assignment called `dns|<cluster>` that looks as if a server had sent it: localities, weights
and metadata of the cluster's own assignment, with addresses in the place of names.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from meshloom.meshproxy.agent.names import Ask, Found, Unanswered, ask_system
from meshloom.meshproxy.agent.store import DNS_PREFIX
from meshloom.meshproxy.resources.compiled import Compiled
from meshloom.meshproxy.resources.protos import parse
from meshloom.meshproxy.resources.resolvers import Asking, asking_of
from meshloom.runtime.log import Log

DEFAULT_REFRESH_S = 5.0
FASTEST_REFRESH_S = 0.1
MOST_QUESTIONS = 64
"""At one time: each may have a socket of its own."""
FIRST_ANSWERS_S = 0.5
"""A cluster begins with all of its names, or, where somebody is slow to tell, with those known by then."""
COALESCE_S = 0.005
"""Answers that come together are one assignment."""

log = Log("dns")


class Resolver:
    """Keeps one task a cluster. `publish` gets the serialized assignment, whenever it differs."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        publish: Callable[[str, bytes], None],
        asking: Asking | None = None,
    ) -> None:
        """`asking` is for the clusters that say nothing of it."""
        self._tasks = tasks
        self._publish = publish
        self._asking = asking
        self._questions = asyncio.Semaphore(MOST_QUESTIONS)
        self._following: dict[str, tuple[bytes, asyncio.Task[None]]] = {}
        self.failures = 0

    def follow(self, clusters: Iterable[Compiled]) -> None:
        """Resolve these clusters' names from now on, and no others'."""
        wanted = {cluster.name: cluster for cluster in clusters}
        for name, (body, task) in list(self._following.items()):
            if name not in wanted or wanted[name].body != body:
                task.cancel()
                del self._following[name]
        for name, cluster in wanted.items():
            if name not in self._following:
                task = self._tasks.create_task(self._run(cluster), name=f"dns {name}")
                self._following[name] = (cluster.body, task)

    async def _run(self, cluster: Compiled) -> None:
        message: Any = parse(cluster.type_url, cluster.body)
        names = _Names(message, self._ask_for(message), Pace.of(message), set(cluster.dns_hosts))
        last: bytes | None = None
        async with asyncio.TaskGroup() as tasks:
            for host in cluster.dns_hosts:
                tasks.create_task(self._keep(host, names), name=f"dns {cluster.name} {host}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_ANSWERS_S):
                    await names.complete.wait()
            while True:
                await names.changed.wait()
                await asyncio.sleep(COALESCE_S)
                names.changed.clear()
                assignment = _assignment(message, names.answers)
                if assignment != last:
                    self._publish(DNS_PREFIX + cluster.name, assignment)
                    last = assignment

    def _ask_for(self, cluster: Any) -> Ask:
        asking = asking_of(cluster) or self._asking or Asking()
        if asking.by_system or (asking == Asking() and not cluster.respect_dns_ttl):
            return ask_system
        from meshloom.meshproxy.agent.name_servers import NameServers

        return NameServers(asking).ask

    async def _keep(self, host: str, names: _Names) -> None:
        """Asks for one name, again and again."""
        failures = 0
        while True:
            found = await self._resolve(host, names)
            failures = 0 if found is not None else failures + 1
            names.take(host, found)
            await asyncio.sleep(names.pace.next(failures, found.ttl if found is not None else 0))

    async def _resolve(self, host: str, names: _Names) -> Found | None:
        """None when nobody answers: what was known stays."""
        cluster = names.cluster
        try:
            async with self._questions:
                found = await names.ask(host, cluster.DnsLookupFamily.Name(cluster.dns_lookup_family))
            if cluster.type == cluster.LOGICAL_DNS and not found.addresses:
                # Such a cluster is always somewhere, and so is Envoy's.
                raise Unanswered("no address")
        except Unanswered as error:
            self.failures += 1
            log.warning("dns_failed", cluster=cluster.name, host=host, reason=error)
            return None
        return found


@dataclass(slots=True)
class _Names:
    """The names of a cluster, and what is known of them."""

    cluster: Any
    ask: Ask
    pace: Pace
    unasked: set[str]
    answers: dict[str, list[str]] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while there is something to tell, be it that no name has an address."""
    complete: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once every name has been asked for."""

    def __post_init__(self) -> None:
        self._tick_off("")

    def take(self, host: str, found: Found | None) -> None:
        if found is not None:
            self._answer(host, found)
        self._tick_off(host)

    def _tick_off(self, host: str) -> None:
        self.unasked.discard(host)
        if not self.unasked and not self.complete.is_set():
            self.complete.set()
            self.changed.set()

    def _answer(self, host: str, found: Found) -> None:
        # A logical name is wherever the first address is. Otherwise the order says nothing: in one of our
        # own, a rotating answer is no change.
        logical = self.cluster.type == self.cluster.LOGICAL_DNS
        answer = list(found.addresses[:1]) if logical else sorted(found.addresses)
        if answer == self.answers.get(host, []):
            return
        if not answer:
            log.warning("dns_no_address", cluster=self.cluster.name, host=host)
        self.answers[host] = answer
        self.changed.set()


class Pace(NamedTuple):
    """When names are resolved again, in seconds."""

    refresh: float
    failure_base: float
    failure_most: float
    jitter: float
    by_ttl: bool = False
    """Whether the time to live of an answer counts for more than `refresh`."""

    @classmethod
    def of(cls, cluster: Any) -> Pace:
        refresh = _seconds(cluster, "dns_refresh_rate", DEFAULT_REFRESH_S)
        failures = cluster.dns_failure_refresh_rate
        base = _seconds(failures, "base_interval", refresh)
        # Envoy's: ten times the base, unless it is said.
        most = _seconds(failures, "max_interval", base * 10 if failures.HasField("base_interval") else base)
        return cls(
            refresh,
            base,
            max(base, most),
            _seconds(cluster, "dns_jitter", 0.0, least=0.0),
            cluster.respect_dns_ttl,
        )

    def next(self, failures: int, ttl: int = 0) -> float:
        """The pause after so many failures in a row, or an answer good for `ttl` seconds (0: nobody says)."""
        if not failures:
            return (ttl if self.by_ttl and ttl else self.refresh) + random.uniform(0, self.jitter)
        # Any time up to twice the last one's bound, so that many proxies do not come back at once.
        bound = min(self.failure_base * 2.0 ** min(failures - 1, 30), self.failure_most)
        return random.uniform(min(self.failure_base, bound), bound)


def _seconds(message: Any, field: str, default: float, *, least: float = FASTEST_REFRESH_S) -> float:
    if not message.HasField(field):
        return default
    return max(float(getattr(message, field).ToTimedelta().total_seconds()), least)


def _assignment(cluster: Any, answers: dict[str, list[str]]) -> bytes:
    resolved = type(cluster.load_assignment)()
    resolved.CopyFrom(cluster.load_assignment)
    resolved.cluster_name = DNS_PREFIX + cluster.name
    for locality, source in zip(resolved.endpoints, cluster.load_assignment.endpoints, strict=True):
        del locality.lb_endpoints[:]
        for endpoint in source.lb_endpoints:
            for address in answers.get(endpoint.endpoint.address.socket_address.address, []):
                copy = locality.lb_endpoints.add()
                copy.CopyFrom(endpoint)
                copy.endpoint.hostname = (
                    copy.endpoint.hostname or endpoint.endpoint.address.socket_address.address
                )
                copy.endpoint.address.socket_address.address = address
    return bytes(resolved.SerializeToString(deterministic=True))
