"""One proxy's ADS stream as a machine without sockets: requests and snapshots in, the next response out.

The order of a push: clusters, endpoints, secrets, listeners, routes; a type is only sent once the types
before it are answered, so that no route ever names a cluster the proxy does not have. Then, once all of
that is answered, what is no longer referred to is taken away. A newer snapshot at any point replaces the
one under way (latest wins), so a slow proxy holds one snapshot, never a queue.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeAlias

from meshloom.pilot.translate.resource import PUSH_ORDER, Nonce, TypeUrl
from meshloom.pilot.translate.snapshot import EMPTY, Snapshot
from meshloom.pilot.xds.dialect import Dialect, Draft, Reply, Request
from meshloom.pilot.xds.subscription import Phase, Sent, Subscription, accepted_at, answer_deadline

ACK_PATIENCE = 10.0  # seconds until an unanswered response no longer holds up others
# Seconds that routes wait, after new clusters were accepted, for the proxy to ask for their endpoints.
WARMING_PATIENCE = 1.0

_AFTER: dict[str, TypeUrl] = {TypeUrl.CLUSTER: TypeUrl.ENDPOINT, TypeUrl.LISTENER: TypeUrl.ROUTE}
_WAIT_FOR_ENDPOINTS = frozenset({TypeUrl.LISTENER, TypeUrl.ROUTE})


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
        """The next thing to do. Call again after each response written, request received or snapshot
        published.
        """
        for phase in Phase:
            for subscription in self._in_push_order():
                if (answer_by := answer_deadline(subscription, ACK_PATIENCE)) > now:
                    return WaitUntil(answer_by)
                target = self.snapshot.of(subscription.type_url)
                draft = self._dialect.draft(subscription, target, phase)
                if draft is None:
                    continue
                if (deadline := self._warming_deadline(subscription, now)) is not None:
                    return WaitUntil(deadline)
                return self._respond(subscription, draft, now)
        return Converged()

    def _respond(self, subscription: Subscription, draft: Draft, now: float) -> Respond:
        self._nonces += 1
        nonce = Nonce(f"{self._nonces:x}")
        subscription.record(draft.difference, Sent(draft.version, nonce, now))
        dependants = self.subscriptions.get(_AFTER.get(subscription.type_url, ""))
        if dependants is not None:
            dependants.forget(name for made in draft.difference.changed for name in made.refers)
        payload = self._dialect.encode(subscription.type_url, draft, nonce, self._identifier)
        return Respond(subscription.type_url, payload)

    def _warming_deadline(self, subscription: Subscription, now: float) -> float | None:
        """How long routes to brand-new clusters have to wait, or None when they need not."""
        if subscription.type_url not in _WAIT_FOR_ENDPOINTS:
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
