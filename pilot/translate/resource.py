"""What Pilot serves: xDS resources as bytes that are made once, and closed sets of them.

A `Resource` is serialised when it is translated and never again: a push only joins the byte strings that
differ from what the proxy has. Its version is a hash of those bytes, so equal content is never pushed
twice, not even after Pilot restarts (protobuf maps are serialised in key order for that reason).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from google.protobuf.message import Message

Version = NewType("Version", str)
Nonce = NewType("Nonce", str)

_PREFIX = "type.googleapis.com/"


class TypeUrl(StrEnum):
    """The resource types that Pilot makes. Any other type is answered with an explicit "there is none"."""

    CLUSTER = _PREFIX + "envoy.config.cluster.v3.Cluster"
    ENDPOINT = _PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
    SECRET = _PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
    LISTENER = _PREFIX + "envoy.config.listener.v3.Listener"
    ROUTE = _PREFIX + "envoy.config.route.v3.RouteConfiguration"


# Make before break: whatever a resource refers to is sent, and taken, before the resource itself.
PUSH_ORDER = (TypeUrl.CLUSTER, TypeUrl.ENDPOINT, TypeUrl.SECRET, TypeUrl.LISTENER, TypeUrl.ROUTE)

SHORT_NAMES: Mapping[str, str] = {
    TypeUrl.CLUSTER: "cds",
    TypeUrl.ENDPOINT: "eds",
    TypeUrl.SECRET: "sds",
    TypeUrl.LISTENER: "lds",
    TypeUrl.ROUTE: "rds",
}


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Resource:
    """One serialised resource. `refers` names what the proxy must be sent again after this one changed: a
    warming cluster waits for its endpoints, a warming listener for its routes, even if those are the same.
    """

    name: str
    type_url: str
    version: Version
    body: bytes
    refers: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, type_url: TypeUrl, message: Message, refers: tuple[str, ...] = ()) -> Resource:
        return cls.of_bytes(name, type_url, message.SerializeToString(deterministic=True), refers)

    @classmethod
    def of_bytes(cls, name: str, type_url: TypeUrl, body: bytes, refers: tuple[str, ...] = ()) -> Resource:
        return cls(name, type_url, Version(_digest(body)), body, refers)


@dataclass(frozen=True, slots=True)
class ResourceSet:
    """All resources of one type for one proxy, at one version."""

    version: Version
    resources: Mapping[str, Resource]

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> ResourceSet:
        named = {resource.name: resource for resource in resources}
        versions = sorted(f"{name}\0{resource.version}" for name, resource in named.items())
        return cls(Version(_digest("\n".join(versions).encode())), named)


def joined(shared: ResourceSet, own: Iterable[Resource]) -> ResourceSet:
    """A set made of one that many proxies share and of a few resources beside it."""
    added = ResourceSet.of(own)
    version = Version(_digest(f"{shared.version}\0{added.version}".encode()))
    return ResourceSet(version, {**shared.resources, **added.resources})


NO_RESOURCES = ResourceSet.of(())
