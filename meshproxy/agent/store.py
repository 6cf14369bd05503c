"""Every resource that was accepted, and which of them the workers have.

The two differ while something warms: a listener whose routes have not come yet is accepted but not
published, and the version before it serves on. Nothing here waits or sends; time is an argument.

    accept ──▶ accepted ──(everything it points at is here, or waited for long enough)──▶ published ──▶ diff

Names are unique per type. A static resource is never displaced by one from a server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from meshloom.meshproxy.resources.compiled import Compiled
from meshloom.meshproxy.resources.protos import CLUSTER, ENDPOINTS, LISTENER, PUSH_ORDER, ROUTES, SECRET
from meshloom.meshproxy.resources.references import Reference
from meshloom.meshproxy.resources.source import Source

DNS_PREFIX = "dns|"
"""An assignment that we make ourselves, by resolving a cluster's names."""


@dataclass(frozen=True, slots=True)
class Accepted:
    resource: Compiled
    since: float
    static: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """What the workers are told: for each type what is new or changed, and what is gone."""

    changed: Mapping[str, tuple[Compiled, ...]]
    removed: Mapping[str, tuple[str, ...]]
    listen: tuple[Mapping[str, Any], ...]

    @property
    def size(self) -> int:
        return sum(map(len, self.changed.values())) + sum(map(len, self.removed.values()))


Table = dict[str, dict[str, Compiled]]


def _by_type() -> dict[str, dict[str, Any]]:
    return {type_url: {} for type_url in PUSH_ORDER}


@dataclass(slots=True)
class Store:
    accepted: dict[str, dict[str, Accepted]] = field(default_factory=_by_type)
    published: Table = field(default_factory=_by_type)
    clusters_until: float = 0.0
    """At the start listeners wait for the first clusters, at most until then."""
    _concluded: set[tuple[str, str]] = field(default_factory=set)
    """What is known not to come: nobody waits for it."""

    # What comes in

    def put_static(self, resources: Iterable[Compiled], now: float) -> None:
        """The bootstrap's resources: all of them, every time it is read."""
        fresh = {(resource.type_url, resource.name): resource for resource in resources}
        for type_url, entries in self.accepted.items():
            for name in [name for name, entry in entries.items() if entry.static]:
                if (type_url, name) not in fresh:
                    del entries[name]
        for resource in fresh.values():
            self._accept(resource, now, static=True)

    def put(self, resources: Iterable[Compiled], now: float) -> None:
        for resource in resources:
            existing = self.accepted[resource.type_url].get(resource.name)
            if existing is None or not existing.static:
                self._accept(resource, now, static=False)

    def remove(self, type_url: str, names: Iterable[str]) -> None:
        entries = self.accepted[type_url]
        for name in names:
            if name in entries and not entries[name].static:
                del entries[name]

    def retain(self, type_url: str, names: Iterable[str]) -> None:
        """A server has told everything it has of a type: what it did not name is gone."""
        kept = set(names)
        self.remove(type_url, [name for name in self.accepted[type_url] if name not in kept])

    def conclude(self, type_url: str, name: str) -> None:
        """Nobody need wait for this resource any more: it does not exist."""
        self._concluded.add((type_url, name))

    def seed(self, table: Iterable[Compiled], now: float) -> None:
        """Take up what the workers have already: after the agent's own restart it is the last good."""
        for resource in table:
            self._accept(resource, now, static=False)
            self.published[resource.type_url][resource.name] = resource

    # What follows from it

    def wanted(self) -> dict[Source, dict[str, set[str]]]:
        """Names to subscribe to, by source and type: what is accepted needs, and what still serves."""
        wanted: dict[Source, dict[str, set[str]]] = {}
        for reference in self._all_references():
            wanted.setdefault(reference.source, {}).setdefault(reference.type_url, set()).add(reference.name)
        return wanted

    def forget_unwanted(self) -> None:
        """Endpoints, routes and secrets that nothing points at any more."""
        needed = {(reference.type_url, reference.name) for reference in self._all_references()}
        needed |= {(ENDPOINTS, DNS_PREFIX + cluster.name) for cluster in self.dns_clusters()}
        for type_url in (ENDPOINTS, ROUTES, SECRET):
            for name, entry in list(self.accepted[type_url].items()):
                if not entry.static and (type_url, name) not in needed:
                    del self.accepted[type_url][name]

    def dns_clusters(self) -> Iterator[Compiled]:
        """Clusters whose endpoints are names to resolve."""
        for entry in self.accepted[CLUSTER].values():
            if entry.resource.dns_hosts:
                yield entry.resource

    def warming(self, now: float) -> dict[str, float]:
        """Accepted, but waiting for something: name to the time when it waits no more."""
        waiting = {}
        for type_url in (CLUSTER, LISTENER):
            for name, entry in self.accepted[type_url].items():
                if (until := self._waits_until(entry)) > now:
                    waiting[f"{type_url}/{name}"] = until
        if self._clusters_pending(now) and self.accepted[LISTENER]:
            waiting["clusters"] = self.clusters_until
        return waiting

    def advance(self, now: float) -> Update | None:
        """Publish what has become ready: what changes for the workers, or None."""
        target = self._target(now)
        changed: dict[str, tuple[Compiled, ...]] = {}
        removed: dict[str, tuple[str, ...]] = {}
        for type_url in PUSH_ORDER:
            old, new = self.published[type_url], target[type_url]
            differing = tuple(r for n, r in new.items() if n not in old or old[n].body != r.body)
            gone = tuple(name for name in old if name not in new)
            if differing:
                changed[type_url] = differing
            if gone:
                removed[type_url] = gone
        self.published = target
        return Update(changed, removed, self.listen()) if changed or removed else None

    def listen(self) -> tuple[Mapping[str, Any], ...]:
        """The addresses of every published listener."""
        return tuple(address for listener in self.published[LISTENER].values() for address in listener.listen)

    # Private parts

    def _accept(self, resource: Compiled, now: float, *, static: bool) -> None:
        entries = self.accepted[resource.type_url]
        existing = entries.get(resource.name)
        # The same again does not warm again.
        since = existing.since if existing and existing.resource.body == resource.body else now
        entries[resource.name] = Accepted(resource, since, static)
        self._concluded.discard((resource.type_url, resource.name))

    def _all_references(self) -> Iterator[Reference]:
        for type_url in (CLUSTER, LISTENER):
            for entry in self.accepted[type_url].values():
                yield from entry.resource.references
            for name, resource in self.published[type_url].items():
                # A version that serves while its successor warms.
                if name in self.accepted[type_url]:
                    yield from resource.references

    def _waits_until(self, entry: Accepted) -> float:
        """When this resource waits no more; in the past if it has everything."""
        until = 0.0
        for reference in entry.resource.references:
            if not self._is_here(reference.type_url, reference.name):
                until = max(until, entry.since + reference.timeout)
        if entry.resource.dns_hosts and not self._is_here(ENDPOINTS, DNS_PREFIX + entry.resource.name):
            until = float("inf")  # the resolver always answers
        return until

    def _is_here(self, type_url: str, name: str) -> bool:
        return name in self.accepted[type_url] or (type_url, name) in self._concluded

    def _clusters_pending(self, now: float) -> bool:
        return now < self.clusters_until

    def _target(self, now: float) -> Table:
        target = _by_type()
        for type_url in (CLUSTER, LISTENER):
            held = type_url == LISTENER and self._clusters_pending(now)
            for name, entry in self.accepted[type_url].items():
                if not held and self._waits_until(entry) <= now:
                    target[type_url][name] = entry.resource
                elif name in self.published[type_url]:
                    target[type_url][name] = self.published[type_url][name]
        self._add_dependencies(target)
        return target

    def _add_dependencies(self, target: Table) -> None:
        needed = dict.fromkeys(
            (reference.type_url, reference.name)
            for type_url in (CLUSTER, LISTENER)
            for resource in target[type_url].values()
            for reference in resource.references
        )
        needed |= {(ENDPOINTS, DNS_PREFIX + c.name): None for c in target[CLUSTER].values() if c.dns_hosts}
        for type_url, name in needed:
            if entry := self.accepted[type_url].get(name):
                target[type_url][name] = entry.resource
        for name, entry in self.accepted[SECRET].items():
            if entry.static:
                target[SECRET][name] = entry.resource
