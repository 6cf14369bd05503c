"""A well-behaved proxy without sockets, in either dialect: subscribes, acknowledges, refuses when told to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from envoy.service.discovery.v3 import discovery_pb2
from google.rpc import status_pb2
from meshloom.pilot.translate.resource import SHORT_NAMES, TypeUrl
from meshloom.pilot.translate.snapshot import Snapshot
from meshloom.pilot.xds.dialect import Delta, Reply, StateOfTheWorld
from meshloom.pilot.xds.stream import AdsStream, Respond, WaitUntil


@dataclass(frozen=True)
class Got:
    """One response: short name of its type, names it holds, names it removes."""

    type: str
    names: frozenset[str]
    removed: frozenset[str] = frozenset()


def got(type_name: str, names: Iterable[str] = (), removed: Iterable[str] = ()) -> Got:
    return Got(type_name, frozenset(names), frozenset(removed))


@dataclass
class Proxy:
    """`now` is its clock; `refuses` decides by type whether a response is refused, and why."""

    delta: bool
    refuses: Callable[[str], str | None] = lambda _type: None
    now: float = 100.0
    log: list[Got] = field(default_factory=list)
    held: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        dialect: Any = Delta() if self.delta else StateOfTheWorld()
        self.stream: AdsStream[Any] = AdsStream(dialect, "test")
        self._names: dict[str, list[str]] = {}

    def publish(self, snapshot: Snapshot) -> list[Got]:
        """What Pilot sends for it, in order, with everything answered at once."""
        self.stream.publish(snapshot)
        return self.drain()

    def subscribe(self, type_url: TypeUrl, *names: str, **extra: Any) -> None:
        self._names[type_url] = list(names)
        if self.delta:
            request = discovery_pb2.DeltaDiscoveryRequest(
                type_url=type_url, resource_names_subscribe=names, **extra
            )
        else:
            request = discovery_pb2.DiscoveryRequest(type_url=type_url, resource_names=names, **extra)
        self.stream.receive(request, self.now)

    def subscribe_all(self, *endpoints: str) -> None:
        """As Envoy does for clusters `endpoints`, a listener and its route `r`."""
        self.subscribe(TypeUrl.CLUSTER)
        self.subscribe(TypeUrl.ENDPOINT, *endpoints)
        self.subscribe(TypeUrl.LISTENER)
        self.subscribe(TypeUrl.ROUTE, "r")

    def drain(self) -> list[Got]:
        start = len(self.log)
        while (response := self.step()) is not None:
            self.answer(response)
        return self.log[start:]

    def step(self) -> Any | None:
        """The next response, unanswered; None when there is none now."""
        match self.stream.act(self.now):
            case Respond(_type, payload):
                response: Any = self._response_class.FromString(payload)
                self.log.append(self._read(response))
                return response
            case WaitUntil() | _:
                return None

    def answer(self, response: Any, nonce: str | None = None) -> Reply | None:
        refusal = self.refuses(SHORT_NAMES[response.type_url])
        answered: dict[str, Any] = {"type_url": response.type_url, "response_nonce": nonce or response.nonce}
        if refusal is not None:
            answered["error_detail"] = status_pb2.Status(code=3, message=refusal)
        if self.delta:
            return self.stream.receive(discovery_pb2.DeltaDiscoveryRequest(**answered), self.now)
        names = self._names[response.type_url]
        return self.stream.receive(discovery_pb2.DiscoveryRequest(resource_names=names, **answered), self.now)

    @property
    def _response_class(self) -> Any:
        return discovery_pb2.DeltaDiscoveryResponse if self.delta else discovery_pb2.DiscoveryResponse

    def _read(self, response: Any) -> Got:
        short = SHORT_NAMES[response.type_url]
        if self.delta:
            return got(short, [each.name for each in response.resources], response.removed_resources)
        return got(short, [_name(each.value) for each in response.resources])


def _name(body: bytes) -> str:
    """Of a test's resource, `name=content`; of an empty endpoint list, its cluster's name."""
    name, found, _ = body.partition(b"=")
    return name.decode() if found else body[2:].decode()
