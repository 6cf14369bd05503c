"""Resources as workers get them: varint-delimited `DeltaDiscoveryResponse`s, in push order.

The same format is an update (what changed) and a bundle (everything).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.internal.decoder import _DecodeVarint  # type: ignore[attr-defined]
from google.protobuf.internal.encoder import _VarintBytes  # type: ignore[attr-defined]
from meshloom.meshproxy.agent.store import Table, Update
from meshloom.meshproxy.resources.compiled import Compiled
from meshloom.meshproxy.resources.protos import PUSH_ORDER


def encode_update(update: Update) -> bytes:
    return _encode(update.changed, update.removed)


def encode_bundle(table: Table) -> bytes:
    return _encode({type_url: tuple(resources.values()) for type_url, resources in table.items()}, {})


def decode(content: bytes) -> Iterator[tuple[str, dict[str, tuple[str, bytes]], tuple[str, ...]]]:
    """Type, resources as name to version and body, and names removed, message by message."""
    at = 0
    while at < len(content):
        length, at = _DecodeVarint(content, at)
        message = discovery_pb2.DeltaDiscoveryResponse.FromString(content[at : at + length])
        at += length
        resources = {r.name: (r.version, r.resource.value) for r in message.resources}
        yield message.type_url, resources, tuple(message.removed_resources)


def replay(blobs: Iterable[bytes]) -> Iterator[tuple[str, str, bytes]]:
    """What a bundle and the updates after it add up to: type, version and body of each resource."""
    table: dict[tuple[str, str], tuple[str, bytes]] = {}
    for blob in blobs:
        for type_url, resources, removed in decode(blob):
            for name in removed:
                table.pop((type_url, name), None)
            table.update({(type_url, name): entry for name, entry in resources.items()})
    for (type_url, _), (version, body) in table.items():
        yield type_url, version, body


def _encode(changed: Mapping[str, tuple[Compiled, ...]], removed: Mapping[str, tuple[str, ...]]) -> bytes:
    parts: list[bytes] = []
    for type_url in PUSH_ORDER:
        message = discovery_pb2.DeltaDiscoveryResponse(type_url=type_url)
        for resource in changed.get(type_url, ()):
            entry = message.resources.add(name=resource.name, version=resource.version)
            entry.resource.type_url = type_url
            entry.resource.value = resource.body
        message.removed_resources.extend(removed.get(type_url, ()))
        if message.resources or message.removed_resources:
            body = message.SerializeToString()
            parts += (_VarintBytes(len(body)), body)
    return b"".join(parts)
