"""Where the agent's resources come from at this moment: streams and files, kept in line with what is wanted.

`follow` compares what the configuration points at with what is being followed, and starts and ends what
differs. A stream once opened stays: its server may well be wanted again.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from meshloom.meshproxy.agent.dialect import Change, Delta, Dialect, Names, StateOfTheWorld
from meshloom.meshproxy.agent.files import FileSource
from meshloom.meshproxy.agent.stream import Stream, Target
from meshloom.meshproxy.resources.protos import CLUSTER, ENDPOINTS, LISTENER, PUSH_ORDER, ROUTES, SECRET
from meshloom.meshproxy.resources.source import Ads, EnvoyGrpc, File, Grpc, Source
from meshloom.runtime.log import Log

log = Log("agent")

Wanted = Mapping[Source, Mapping[str, Names]]
"""Names by source and type."""

_SERVICES = {
    CLUSTER: "envoy.service.cluster.v3.ClusterDiscoveryService/{}Clusters",
    ENDPOINTS: "envoy.service.endpoint.v3.EndpointDiscoveryService/{}Endpoints",
    SECRET: "envoy.service.secret.v3.SecretDiscoveryService/{}Secrets",
    LISTENER: "envoy.service.listener.v3.ListenerDiscoveryService/{}Listeners",
    ROUTES: "envoy.service.route.v3.RouteDiscoveryService/{}Routes",
}
_AGGREGATED = "envoy.service.discovery.v3.AggregatedDiscoveryService/{}AggregatedResources"


@dataclass(frozen=True, slots=True)
class Outlets:
    """What sources need of the agent."""

    take: Callable[[Change], str | None]
    find_target: Callable[[Grpc], Target]
    failed: Callable[[str, str], None]
    """Type, and why a file could not be taken in."""
    versions: Callable[[str], Mapping[str, str]]
    """Type to the versions we have, by name: what a delta server need not send again."""


@dataclass(slots=True)
class Sources:
    tasks: asyncio.TaskGroup
    node: Any
    ads: Grpc | None
    outlets: Outlets
    streams: dict[tuple[Source, str], Stream] = field(default_factory=dict)
    _files: dict[tuple[File, str], asyncio.Task[None]] = field(default_factory=dict)

    def follow(self, wanted: Wanted) -> None:
        self._follow_files(wanted)
        # A type that is wanted no more has an empty set of names, which ends its subscription.
        for source, type_url in self.streams:
            if type_url and type_url not in wanted.get(source, {}):
                self._stream(source, type_url).want(type_url, frozenset())
        for source, types in wanted.items():
            for type_url in PUSH_ORDER:
                match source:
                    case Ads():
                        self._want_from_ads(type_url, types.get(type_url, frozenset()))
                    case Grpc() if type_url in types:
                        self._stream(source, type_url).want(type_url, types[type_url])
                    case _:
                        pass

    def _want_from_ads(self, type_url: str, names: Names) -> None:
        if self.ads is None:
            if names != frozenset():
                log.error("no_ads_config", wanted=type_url)
            return
        self._stream(Ads(), "").want(type_url, names)

    def _stream(self, source: Source, type_url: str) -> Stream:
        """The stream to this source: one for everything over ADS, else one a type."""
        key = (source, type_url)
        if key not in self.streams:
            grpc_source = self.ads if isinstance(source, Ads) else source
            assert isinstance(grpc_source, Grpc)
            self.streams[key] = stream = self._open(grpc_source, type_url)
            self.tasks.create_task(stream.run(), name=f"xds {stream.name}")
        return self.streams[key]

    def _open(self, source: Grpc, type_url: str) -> Stream:
        service = _SERVICES.get(type_url, _AGGREGATED)
        verb = "Delta" if source.delta else "Stream"
        return Stream(
            name=source.target.cluster if isinstance(source.target, EnvoyGrpc) else source.target.target,
            method="/" + service.format(verb),
            dialect=self._dialect(source),
            find_target=lambda: self.outlets.find_target(source),
            take=self.outlets.take,
        )

    def _dialect(self, source: Grpc) -> Dialect:
        if not source.delta:
            return StateOfTheWorld(self.node, source.node_once)
        delta = Delta(self.node)
        for type_url in PUSH_ORDER:
            delta.remember(type_url, self.outlets.versions(type_url))
        return delta

    def _follow_files(self, wanted: Wanted) -> None:
        current = {(source, type_url) for source, types in wanted.items() for type_url in types}
        files = {(source, type_url) for source, type_url in current if isinstance(source, File)}
        for gone in self._files.keys() - files:
            self._files.pop(gone).cancel()
        for source, type_url in files - self._files.keys():
            follower = FileSource(
                source,
                type_url,
                complete=type_url in (CLUSTER, LISTENER),
                take=self.outlets.take,
                failed=functools.partial(self.outlets.failed, type_url),
            )
            self._files[source, type_url] = self.tasks.create_task(follower.run(), name=f"file {source.path}")
