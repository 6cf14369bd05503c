"""What a proxy wants of one type, and what it holds of it: the difference is what there is to send.

Owned by one stream's task; nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from meshloom.pilot.translate.resource import Nonce, Resource, ResourceSet, TypeUrl, Version
from meshloom.pilot.xds import exchange
from meshloom.pilot.xds.exchange import Accepted, Awaiting, Exchange, Fresh, Refused
from meshloom.pilot.xds.interest import Interest


class Phase(Enum):
    """A push first makes what is new, in the order of references; only then breaks what nothing refers to."""

    MAKE = "make"
    BREAK = "break"


@dataclass(frozen=True, slots=True)
class Difference:
    """`removed` was sent before and is gone; `absent` was asked for by name and never was there."""

    changed: tuple[Resource, ...] = ()
    removed: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed or self.absent)


class Subscription:
    """One type on one stream."""

    def __init__(self, type_url: str, interest: Interest, held: Mapping[str, Resource] | None = None) -> None:
        self.type_url = type_url
        self.interest = interest
        self.exchange: Exchange = Fresh()
        self._held: dict[str, Resource] = dict(held or {})
        self._told_absent: set[str] = set()
        self._settled: ResourceSet | None = None

    def resubscribe(self, interest: Interest, anew: Iterable[str] = ()) -> None:
        """Follows a request. A name in `anew` is sent again even if it was: the proxy has dropped it."""
        self.interest = interest
        self._held = {name: held for name, held in self._held.items() if interest.wants(name)}
        self._told_absent &= interest.names
        self.forget(anew)

    def forget(self, names: Iterable[str]) -> None:
        """Has `names` sent again with the next push."""
        self._settled = None
        for name in names:
            self._held.pop(name, None)
            self._told_absent.discard(name)

    def wanted(self, target: ResourceSet) -> Mapping[str, Resource]:
        if self.interest.wildcard:
            return target.resources
        present = target.resources
        return {name: present[name] for name in self.interest.names if name in present}

    def difference(self, target: ResourceSet, phase: Phase) -> Difference:
        if target is self._settled:
            return Difference()
        wanted = self.wanted(target)
        removed = tuple(name for name in self._held if name not in wanted)
        if phase is Phase.BREAK:
            return Difference(removed=removed)
        changed = tuple(made for name, made in wanted.items() if not self._holds(name, made.version))
        absent = tuple(
            name
            for name in self.interest.names
            if name not in wanted and name not in self._held and name not in self._told_absent
        )
        if self.type_url != TypeUrl.LISTENER:
            removed = ()  # something may still refer to them until the break phase
        difference = Difference(changed, removed, absent)
        if not difference and not self._held.keys() - wanted.keys():
            self._settled = target
        return self._with_refused(difference, wanted) if difference else difference

    def retained(self, target: ResourceSet) -> tuple[Resource, ...]:
        """What is gone from `target` but stays with the proxy until the break phase."""
        wanted = self.wanted(target)
        return tuple(held for name, held in self._held.items() if name not in wanted)

    def record(self, difference: Difference, sent: Sent) -> None:
        """Notes that `difference` is on its way to the proxy."""
        names = frozenset(resource.name for resource in difference.changed)
        self.exchange = exchange.on_send(self.exchange, sent.version, sent.nonce, sent.at, names)
        self.settle(difference)

    def settle(self, difference: Difference) -> None:
        for resource in difference.changed:
            self._held[resource.name] = resource
        for name in difference.removed:
            self._held.pop(name, None)
        self._told_absent.update(difference.absent, self.interest.names.intersection(difference.removed))
        self._told_absent.difference_update(resource.name for resource in difference.changed)

    def _holds(self, name: str, version: Version) -> bool:
        held = self._held.get(name)
        return held is not None and held.version == version

    def _with_refused(self, difference: Difference, wanted: Mapping[str, Resource]) -> Difference:
        """A refused response may have been dropped whole, so its innocent resources are due again."""
        if not isinstance(self.exchange, Refused):
            return difference
        again = self.exchange.names - {resource.name for resource in difference.changed}
        due = tuple(wanted[name] for name in again if name in wanted)
        return Difference(difference.changed + due, difference.removed, difference.absent)


@dataclass(frozen=True, slots=True)
class Sent:
    """One response as it left: `at` in seconds, monotonic."""

    version: Version
    nonce: Nonce
    at: float


def answer_deadline(subscription: Subscription, patience: float) -> float:
    """Until when the proxy's answer is waited for: `patience` s from the response; long past if none is
    due.
    """
    state = subscription.exchange
    return state.since + patience if isinstance(state, Awaiting) else float("-inf")


def is_fresh(subscription: Subscription) -> bool:
    return isinstance(subscription.exchange, Fresh)


def accepted_at(subscription: Subscription) -> float | None:
    state = subscription.exchange
    return state.at if isinstance(state, Accepted) else None
