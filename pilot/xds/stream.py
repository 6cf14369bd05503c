"""One proxy's ADS stream as a machine without sockets: requests and snapshots in, the next response out.

The order of a push: clusters, endpoints, secrets, listeners, routes. Listeners and routes wait until
clusters and endpoints are answered, so that no route ever names a cluster the proxy does not have: Envoy
acknowledges clusters when they are warm, which is why endpoints must not wait for that. Then, once
everything is answered, what is no longer referred to is taken away. A newer snapshot at any point replaces
the one under way (latest wins), so a slow proxy holds one snapshot, never a queue.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeAlias

from meshloom.pilot.translate.resource import PUSH_ORDER, Nonce, TypeUrl
from meshloom.pilot.translate.snapshot import EMPTY, Snapshot
from meshloom.pilot.xds.dialect import Dialect, Draft, Reply, Request
from meshloom.pilot.xds.subscription import Phase, Sent, Subscription, accepted_at, answer_deadline

# Seconds until an unanswered response no longer holds up others. Envoy answers for clusters when all of
# them are warm, and one whose name cannot be resolved must not keep every new rule waiting.
ACK_PATIENCE = 2.0
# Seconds that routes wait, after new clusters were accepted, for the proxy to ask for their endpoints.
WARMING_PATIENCE = 1.0

_DEPENDANTS: dict[str, TypeUrl] = {TypeUrl.CLUSTER: TypeUrl.ENDPOINT, TypeUrl.LISTENER: TypeUrl.ROUTE}
_AFTER_ANSWERS: dict[str, tuple[TypeUrl, ...]] = {
    TypeUrl.LISTENER: (TypeUrl.CLUSTER, TypeUrl.ENDPOINT),
    TypeUrl.ROUTE: (TypeUrl.CLUSTER, TypeUrl.ENDPOINT),
}


@dataclass(frozen=True, slots=True)
class Respond:
    """Write this to the proxy."""

    type_url: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Something is due, but not before the proxy answers or `deadline` (seconds, monotonic) passes."""

    deadline: float


@dataclass(frozen=True, slots=True)
class Converged:
    """The proxy has accepted, or refused, everything there is for it."""


Action: TypeAlias = Respond | WaitUntil | Converged


class AdsStream(Generic[Request]):
    def __init__(self, dialect: Dialect[Request], identifier: str) -> None:
        self.subscriptions: dict[str, Subscription] = {}
        self.snapshot: Snapshot = EMPTY
        self._dialect = dialect
        self._identifier = identifier
        self._nonces = 0

    def publish(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def receive(self, request: Request, now: float) -> Reply | None:
        return self._dialect.receive(request, self.subscriptions, now)

    def act(self, now: float) -> Action:
        """The next thing to do; to be called again after each response, request and snapshot."""
        for phase in Phase:
            waits: list[float] = []
            for subscription in self._in_push_order():
                held_up = self._held_up_until(subscription, now)
                if held_up is not None:
                    waits.append(held_up)
                    continue
                target = self.snapshot.of(subscription.type_url)
                draft = self._dialect.draft(subscription, target, phase)
                if draft is None:
                    continue
                if (warm_by := self._warming_deadline(subscription, now)) is None:
                    return self._respond(subscription, draft, now)
                waits.append(warm_by)
            if waits:
                return WaitUntil(min(waits))
        return Converged()

    def _held_up_until(self, subscription: Subscription, now: float) -> float | None:
        """How long answers that must come first are waited for, or None when there are none."""
        first = (subscription.type_url, *_AFTER_ANSWERS.get(subscription.type_url, ()))
        deadlines = [answer_deadline(s, ACK_PATIENCE) for t in first if (s := self.subscriptions.get(t))]
        due = [deadline for deadline in deadlines if deadline > now]
        return max(due) if due else None

    def _respond(self, subscription: Subscription, draft: Draft, now: float) -> Respond:
        self._nonces += 1
        nonce = Nonce(f"{self._nonces:x}")
        subscription.record(draft.difference, Sent(draft.version, nonce, now))
        dependants = self.subscriptions.get(_DEPENDANTS.get(subscription.type_url, ""))
        if dependants is not None:
            dependants.forget(name for made in draft.difference.changed for name in made.refers)
        payload = self._dialect.encode(subscription.type_url, draft, nonce, self._identifier)
        return Respond(subscription.type_url, payload)

    def _warming_deadline(self, subscription: Subscription, now: float) -> float | None:
        """How long routes to brand-new clusters have to wait, or None when they need not."""
        if subscription.type_url not in _AFTER_ANSWERS:
            return None
        clusters = self.subscriptions.get(TypeUrl.CLUSTER)
        endpoints = self.subscriptions.get(TypeUrl.ENDPOINT)
        if clusters is None or endpoints is None or not clusters.interest.wildcard:
            return None
        accepted = accepted_at(clusters)
        if accepted is None or now >= accepted + WARMING_PATIENCE:
            return None
        asked = endpoints.interest
        warming = any(
            not asked.wants(name)
            for made in self.snapshot.of(TypeUrl.CLUSTER).resources.values()
            for name in made.refers
        )
        return accepted + WARMING_PATIENCE if warming else None

    def _in_push_order(self) -> Iterator[Subscription]:
        for type_url in PUSH_ORDER:
            if (subscription := self.subscriptions.get(type_url)) is not None:
                yield subscription
        for name, subscription in self.subscriptions.items():
            if name not in _ORDERED:
                yield subscription


_ORDERED = frozenset[str](PUSH_ORDER)
