"""The two dialects of xDS: state of the world and delta. Each reads requests into subscriptions and words
responses.

State of the world: a listener or cluster response is the whole set (what it leaves out is deleted), a
response of any other type may hold only what changed. Delta: every response is a difference, removals are
named.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.service.discovery.v3 import discovery_pb2
from meshloom.pilot.translate.resource import Nonce, Resource, ResourceSet, TypeUrl, Version
from meshloom.pilot.xds import exchange
from meshloom.pilot.xds.encode import delta_response, sotw_response
from meshloom.pilot.xds.interest import Interest
from meshloom.pilot.xds.subscription import Difference, Phase, Subscription, is_fresh

Subscriptions = MutableMapping[str, Subscription]
Request = TypeVar("Request", contravariant=True)

_WHOLE_SET_TYPES = frozenset({TypeUrl.CLUSTER, TypeUrl.LISTENER})
MAX_TYPES = 32  # per stream: each costs memory, and Envoy knows fewer


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request said about an earlier response."""

    type_url: str
    stale: bool = False
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A response that is due, but for its nonce."""

    difference: Difference
    version: Version
    resources: tuple[Resource, ...]
    removed: tuple[str, ...] = ()


class TooManyTypes(Exception):
    """A stream asked for more types than any proxy has."""


class Dialect(Protocol, Generic[Request]):
    def receive(self, request: Request, subscriptions: Subscriptions, now: float) -> Reply | None: ...

    def draft(self, subscription: Subscription, target: ResourceSet, phase: Phase) -> Draft | None: ...

    def encode(self, type_url: str, draft: Draft, nonce: Nonce, identifier: str) -> bytes: ...


class StateOfTheWorld:
    """envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"""

    def receive(
        self, request: discovery_pb2.DiscoveryRequest, subscriptions: Subscriptions, now: float
    ) -> Reply | None:
        subscription = subscriptions.get(request.type_url)
        if subscription is None:
            # A nonce here belongs to an earlier stream: whatever it acknowledged, this proxy starts anew.
            interest = Interest.first(request.type_url, request.resource_names)
            _open(subscriptions, Subscription(request.type_url, interest))
            return None
        reply = _on_answer(subscription, request.response_nonce, _refusal(request), now)
        if reply is None or not reply.stale:
            subscription.resubscribe(subscription.interest.replaced(request.resource_names))
        return reply

    def draft(self, subscription: Subscription, target: ResourceSet, phase: Phase) -> Draft | None:
        difference = subscription.difference(target, phase)
        if subscription.type_url in _WHOLE_SET_TYPES:
            return self._whole_set(subscription, target, difference, phase)
        if phase is Phase.BREAK:
            subscription.settle(difference)  # these types have no words for "removed"
            return None
        absent = _no_endpoints(difference.absent) if subscription.type_url == TypeUrl.ENDPOINT else ()
        resources = difference.changed + absent
        if not resources and not is_fresh(subscription):
            subscription.settle(difference)
            return None
        return Draft(difference, target.version, resources)

    def encode(self, type_url: str, draft: Draft, nonce: Nonce, identifier: str) -> bytes:
        return sotw_response(type_url, draft.version, nonce, draft.resources, identifier)

    def _whole_set(
        self, subscription: Subscription, target: ResourceSet, difference: Difference, phase: Phase
    ) -> Draft | None:
        if not difference and not (is_fresh(subscription) and phase is Phase.MAKE):
            return None
        whole = tuple(subscription.wanted(target).values())
        if phase is Phase.BREAK or subscription.type_url == TypeUrl.LISTENER:
            return Draft(difference, target.version, whole)
        retained = subscription.retained(target)
        version = Version(f"{target.version}+{len(retained)}") if retained else target.version
        return Draft(difference, version, whole + retained)


class Delta:
    """envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"""

    def receive(
        self, request: discovery_pb2.DeltaDiscoveryRequest, subscriptions: Subscriptions, now: float
    ) -> Reply | None:
        subscription = subscriptions.get(request.type_url)
        if subscription is None:
            interest = Interest.first(request.type_url, request.resource_names_subscribe)
            held = _held_by_version(request.type_url, request.initial_resource_versions)
            _open(subscriptions, Subscription(request.type_url, interest, held))
            return None
        subscribe, unsubscribe = request.resource_names_subscribe, request.resource_names_unsubscribe
        if subscribe or unsubscribe:
            subscription.resubscribe(subscription.interest.changed(subscribe, unsubscribe), subscribe)
        return _on_answer(subscription, request.response_nonce, _refusal(request), now)

    def draft(self, subscription: Subscription, target: ResourceSet, phase: Phase) -> Draft | None:
        difference = subscription.difference(target, phase)
        if not difference and not (is_fresh(subscription) and phase is Phase.MAKE):
            return None
        removed = difference.removed + difference.absent
        return Draft(difference, target.version, difference.changed, removed)

    def encode(self, type_url: str, draft: Draft, nonce: Nonce, identifier: str) -> bytes:
        return delta_response(type_url, nonce, draft.resources, draft.removed, identifier)


def _open(subscriptions: Subscriptions, subscription: Subscription) -> None:
    if len(subscriptions) >= MAX_TYPES:
        raise TooManyTypes(f"more than {MAX_TYPES} resource types on one stream")
    subscriptions[subscription.type_url] = subscription


def _refusal(request: discovery_pb2.DiscoveryRequest | discovery_pb2.DeltaDiscoveryRequest) -> str | None:
    return request.error_detail.message if request.HasField("error_detail") else None


def _on_answer(subscription: Subscription, raw: str, refusal: str | None, now: float) -> Reply | None:
    """Applies an ACK or a NACK; None when the request answers nothing."""
    if not raw:
        return None
    nonce = Nonce(raw)
    if nonce != exchange.newest_nonce(subscription.exchange):
        return Reply(subscription.type_url, stale=True)
    if refusal is None:
        subscription.exchange = exchange.on_ack(subscription.exchange, nonce, now)
    else:
        subscription.exchange = exchange.on_nack(subscription.exchange, nonce, refusal)
    return Reply(subscription.type_url, refusal=refusal)


def _held_by_version(type_url: str, versions: MutableMapping[str, str]) -> dict[str, Resource]:
    """What a reconnecting proxy brings along, known by version alone: all that a difference needs."""
    return {name: Resource(name, type_url, Version(version), b"") for name, version in versions.items()}


def _no_endpoints(names: Iterable[str]) -> tuple[Resource, ...]:
    """State of the world cannot say that a cluster has no endpoint list; an empty one spares the proxy a
    wait.
    """
    return tuple(
        Resource.of(name, TypeUrl.ENDPOINT, endpoint_pb2.ClusterLoadAssignment(cluster_name=name))
        for name in names
    )
