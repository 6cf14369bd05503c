"""Clusters whose endpoints are names: resolved here, so that a worker never waits for a name server.

The answer is an assignment called `dns|<cluster>` that looks as if a server had sent it: localities, weights
and metadata of the cluster's own assignment, with addresses in the place of names.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from meshloom.meshproxy.agent.store import DNS_PREFIX
from meshloom.meshproxy.resources.compiled import Compiled
from meshloom.meshproxy.resources.protos import parse
from meshloom.runtime.log import Log

DEFAULT_REFRESH_S = 5.0
FASTEST_REFRESH_S = 0.1
RESOLVE_TIMEOUT_S = 5.0

log = Log("dns")


class Resolver:
    """Keeps one task a cluster. `publish` gets the serialized assignment, whenever it differs."""

    def __init__(self, tasks: asyncio.TaskGroup, publish: Callable[[str, bytes], None]) -> None:
        self._tasks = tasks
        self._publish = publish
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
        pace = Pace.of(message)
        answers: dict[str, list[str]] = {}
        last: bytes | None = None
        failures = 0
        while True:
            answered = await asyncio.gather(
                *(self._resolve(host, message, answers) for host in cluster.dns_hosts)
            )
            failures = 0 if all(answered) else failures + 1
            assignment = _assignment(message, answers)
            if assignment != last:
                self._publish(DNS_PREFIX + cluster.name, assignment)
                last = assignment
            await asyncio.sleep(pace.next(failures))

    async def _resolve(self, host: str, cluster: Any, answers: dict[str, list[str]]) -> bool:
        """Puts the addresses of `host` into `answers`; what was known stays when nobody answers."""
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                found = await _lookup(host, cluster.DnsLookupFamily.Name(cluster.dns_lookup_family))
        except (OSError, TimeoutError) as error:
            self.failures += 1
            log.warning("dns_failed", cluster=cluster.name, host=host, reason=error)
            return False
        # A logical name is wherever the first address is. Otherwise the order says nothing: in one of our
        # own, a rotating answer is no change.
        answers[host] = found[:1] if cluster.type == cluster.LOGICAL_DNS else sorted(found)
        return True


class Pace(NamedTuple):
    """When names are resolved again, in seconds."""

    refresh: float
    failure_base: float
    failure_most: float
    jitter: float

    @classmethod
    def of(cls, cluster: Any) -> Pace:
        refresh = _seconds(cluster, "dns_refresh_rate", DEFAULT_REFRESH_S)
        failures = cluster.dns_failure_refresh_rate
        base = _seconds(failures, "base_interval", refresh)
        # Envoy's: ten times the base, unless it is said.
        most = _seconds(failures, "max_interval", base * 10 if failures.HasField("base_interval") else base)
        return cls(refresh, base, max(base, most), _seconds(cluster, "dns_jitter", 0.0, least=0.0))

    def next(self, failures: int) -> float:
        """The pause after so many failures in a row."""
        if not failures:
            return self.refresh + random.uniform(0, self.jitter)
        # Any time up to twice the last one's bound, so that many proxies do not come back at once.
        bound = min(self.failure_base * 2.0 ** min(failures - 1, 30), self.failure_most)
        return random.uniform(min(self.failure_base, bound), bound)


def _seconds(message: Any, field: str, default: float, *, least: float = FASTEST_REFRESH_S) -> float:
    if not message.HasField(field):
        return default
    return max(float(getattr(message, field).ToTimedelta().total_seconds()), least)


async def _lookup(host: str, family: str) -> list[str]:
    loop = asyncio.get_running_loop()
    kinds = {"V4_ONLY": socket.AF_INET, "V6_ONLY": socket.AF_INET6}
    found = await loop.getaddrinfo(
        host, None, family=kinds.get(family, socket.AF_UNSPEC), type=socket.SOCK_STREAM
    )
    v4 = [entry[4][0] for entry in found if entry[0] == socket.AF_INET]
    v6 = [entry[4][0] for entry in found if entry[0] == socket.AF_INET6]
    chosen = {"ALL": v4 + v6, "V4_PREFERRED": v4 or v6}.get(family, v6 or v4)
    return list(dict.fromkeys(str(address) for address in chosen))


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
