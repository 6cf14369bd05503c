"""One connected client, and how far it is: the unit that pushes go to and that proxy-status shows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from envoy.config.core.v3 import base_pb2
from meshloom.pilot.translate.proxy import Proxy
from meshloom.pilot.translate.resource import SHORT_NAMES, Version
from meshloom.pilot.translate.snapshot import Snapshot
from meshloom.pilot.xds.exchange import Awaiting, Fresh, Refused, acked_version
from meshloom.pilot.xds.stream import AdsStream
from meshloom.pilot.xds.subscription import Phase, Subscription


class Sync(StrEnum):
    """NOT_SENT: asked for, not answered yet. STALE: something newer is due or unanswered. ERROR: refused."""

    SYNCED = "SYNCED"
    NOT_SENT = "NOT_SENT"
    STALE = "STALE"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class TypeStatus:
    """One type on one connection. `reason` is the client's own text of a refusal."""

    type_url: str
    sync: Sync
    acked: Version | None
    resources: int
    reason: str = ""


class Connection:
    """Owned by its stream's task; others may publish to it, wake it and read it."""

    def __init__(self, number: int, node: base_pb2.Node, proxy: Proxy, stream: AdsStream[Any]) -> None:
        self.number = number
        self.node = node
        self.proxy = proxy
        self.stream = stream
        self.ended = False
        self._wake = asyncio.Event()
        self._changed_at: float | None = None

    def publish(self, snapshot: Snapshot, changed_at: float) -> None:
        """Replaces what the client is to be told; the oldest unconfirmed change dates its convergence."""
        if snapshot is self.stream.snapshot:
            return
        self.stream.publish(snapshot)
        if self._changed_at is None:
            self._changed_at = changed_at
        self._wake.set()

    def wake(self) -> None:
        self._wake.set()

    def end(self) -> None:
        self.ended = True
        self._wake.set()

    async def woken(self, timeout: float | None) -> None:
        """Waits for a request, a snapshot, the end, or `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    def converged(self) -> float | None:
        """When the change came in that the client has now confirmed; None if no change was under way."""
        changed_at, self._changed_at = self._changed_at, None
        return changed_at

    def statuses(self) -> list[TypeStatus]:
        known = [s for s in self.stream.subscriptions.values() if s.type_url in SHORT_NAMES]
        return [_status(subscription, self.stream.snapshot) for subscription in known]


def _status(subscription: Subscription, snapshot: Snapshot) -> TypeStatus:
    target = snapshot.of(subscription.type_url)
    count = len(subscription.wanted(target))
    acked = acked_version(subscription.exchange)
    match subscription.exchange:
        case Fresh():
            return TypeStatus(subscription.type_url, Sync.NOT_SENT, acked, count)
        case Refused(reason=reason):
            return TypeStatus(subscription.type_url, Sync.ERROR, acked, count, reason)
        case Awaiting():
            return TypeStatus(subscription.type_url, Sync.STALE, acked, count)
        case _:
            due = subscription.difference(target, Phase.MAKE)
            return TypeStatus(subscription.type_url, Sync.STALE if due else Sync.SYNCED, acked, count)
