"""The two ways to speak xDS on a stream, without the stream: state-of-the-world and delta.

A dialect knows what is subscribed, what was accepted and which nonce is due; it makes requests and reads
responses. It survives a broken stream: `start` makes the requests that open the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from envoy.service.discovery.v3 import discovery_pb2

INVALID_ARGUMENT = 3
Names: TypeAlias = frozenset[str] | None
"""None is the wildcard: everything there is."""


@dataclass(frozen=True, slots=True)
class Change:
    """One response."""

    type_url: str
    version: str
    resources: tuple[tuple[str, str, bytes], ...]
    """Name (may be empty: it is in the body), version, body."""
    removed: tuple[str, ...] = ()
    complete: bool = False
    """Whether it names everything there is of a wildcard type."""


class Dialect(Protocol):
    """What both can do. Requests are messages to be sent in order."""

    @property
    def response_type(self) -> Any:
        """The message type of a response."""
        ...

    def start(self) -> list[Any]:
        """The requests that open a new stream."""
        ...

    def want(self, type_url: str, names: Names) -> list[Any]:
        """Change what is subscribed."""
        ...

    def read(self, response: Any) -> Change: ...

    def answer(self, response: Any, error: str | None) -> Any:
        """ACK, or NACK with the reason."""
        ...


@dataclass(slots=True)
class _Sotw:
    names: Names
    version: str = ""
    nonce: str = ""


@dataclass(slots=True)
class StateOfTheWorld:
    node: Any
    node_once: bool = False
    _types: dict[str, _Sotw] = field(default_factory=dict)
    _node_sent: bool = False

    @property
    def response_type(self) -> Any:
        return discovery_pb2.DiscoveryResponse

    def start(self) -> list[Any]:
        self._node_sent = False
        for state in self._types.values():
            state.nonce = ""
        return [
            self._request(type_url) for type_url, state in self._types.items() if state.names != frozenset()
        ]

    def want(self, type_url: str, names: Names) -> list[Any]:
        state = self._types.get(type_url)
        if state is None:
            self._types[type_url] = _Sotw(names)
            return [] if names == frozenset() else [self._request(type_url)]
        if state.names == names:
            return []
        state.names = names
        return [self._request(type_url)]

    def read(self, response: Any) -> Change:
        entries = []
        for packed in response.resources:
            if packed.type_url.endswith("/envoy.service.discovery.v3.Resource"):
                wrapped = discovery_pb2.Resource.FromString(packed.value)
                entries.append(
                    (wrapped.name, wrapped.version or response.version_info, wrapped.resource.value)
                )
            else:
                entries.append(("", response.version_info, packed.value))
        state = self._types.get(response.type_url)
        wildcard = state is not None and state.names is None
        return Change(response.type_url, response.version_info, tuple(entries), complete=wildcard)

    def answer(self, response: Any, error: str | None) -> Any:
        state = self._types.setdefault(response.type_url, _Sotw(frozenset()))
        state.nonce = response.nonce
        if error is None:
            state.version = response.version_info
        return self._request(response.type_url, error)

    def _request(self, type_url: str, error: str | None = None) -> Any:
        state = self._types[type_url]
        request = discovery_pb2.DiscoveryRequest(
            type_url=type_url,
            version_info=state.version,
            response_nonce=state.nonce,
            resource_names=sorted(state.names or ()),
        )
        if not (self.node_once and self._node_sent):
            request.node.CopyFrom(self.node)
            self._node_sent = True
        if error is not None:
            request.error_detail.code = INVALID_ARGUMENT
            request.error_detail.message = error
        return request


@dataclass(slots=True)
class _Delta:
    names: Names
    subscribed: frozenset[str] = frozenset()
    """What the server knows that we want; of a wildcard nothing."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of what we have, by name: told to the next server, which then sends only the rest."""


@dataclass(slots=True)
class Delta:
    node: Any
    _types: dict[str, _Delta] = field(default_factory=dict)
    _node_sent: bool = False

    @property
    def response_type(self) -> Any:
        return discovery_pb2.DeltaDiscoveryResponse

    def start(self) -> list[Any]:
        self._node_sent = False
        requests = []
        for type_url, state in self._types.items():
            state.subscribed = frozenset()
            if state.names != frozenset():
                requests += self._subscribe(type_url, state, state.versions)
        return requests

    def want(self, type_url: str, names: Names) -> list[Any]:
        state = self._types.get(type_url)
        if state is None:
            state = self._types[type_url] = _Delta(names)
            return [] if names == frozenset() else self._subscribe(type_url, state, {})
        if state.names == names:
            return []
        first = state.names == frozenset() and not state.subscribed
        state.names = names
        return self._subscribe(type_url, state, state.versions if first else {})

    def read(self, response: Any) -> Change:
        entries = tuple((r.name, r.version, r.resource.value) for r in response.resources)
        return Change(
            response.type_url, response.system_version_info, entries, tuple(response.removed_resources)
        )

    def answer(self, response: Any, error: str | None) -> Any:
        state = self._types.setdefault(response.type_url, _Delta(frozenset()))
        if error is None:
            state.versions.update({resource.name: resource.version for resource in response.resources})
            for name in response.removed_resources:
                state.versions.pop(name, None)
        request = self._request(response.type_url)
        request.response_nonce = response.nonce
        if error is not None:
            request.error_detail.code = INVALID_ARGUMENT
            request.error_detail.message = error
        return request

    def remember(self, type_url: str, versions: Mapping[str, str]) -> None:
        """What we have from an earlier life."""
        self._types.setdefault(type_url, _Delta(frozenset())).versions.update(versions)

    def _subscribe(self, type_url: str, state: _Delta, versions: Mapping[str, str]) -> list[Any]:
        wanted = state.names or frozenset()
        request = self._request(type_url)
        request.resource_names_subscribe.extend(sorted(wanted - state.subscribed))
        request.resource_names_unsubscribe.extend(sorted(state.subscribed - wanted))
        kept = {n: v for n, v in versions.items() if state.names is None or n in wanted}
        request.initial_resource_versions.update(kept)
        for name in state.subscribed - wanted:
            state.versions.pop(name, None)
        state.subscribed = wanted
        return [request]

    def _request(self, type_url: str) -> Any:
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url)
        if not self._node_sent:
            request.node.CopyFrom(self.node)
            self._node_sent = True
        return request
