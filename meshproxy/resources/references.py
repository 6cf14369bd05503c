"""What a resource points at outside itself: secrets, routes and endpoints to subscribe to, files to read.

One walk over the message, through whatever is packed in `Any`, finds the few field types that matter. Which
types can hold them at all is worked out once per type, so that a route table is left alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from meshloom.meshproxy.resources.protos import (
    CLUSTER,
    ENDPOINTS,
    LISTENER,
    ROUTES,
    SECRET,
    UnknownType,
    parse,
)
from meshloom.meshproxy.resources.source import Source, fetch_timeout, parse_config_source

DATA_SOURCE = "envoy.config.core.v3.DataSource"
SDS_SECRET = "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig"
RDS = "envoy.extensions.filters.network.http_connection_manager.v3.Rds"
EDS = "envoy.config.cluster.v3.Cluster.EdsClusterConfig"
ANY = "google.protobuf.Any"


@dataclass(frozen=True, slots=True)
class Reference:
    """A resource that another one needs, and who has it."""

    type_url: str
    name: str
    source: Source
    timeout: float
    """Seconds that the referrer waits for the first answer."""


def references(type_url: str, body: bytes) -> tuple[Reference, ...]:
    """Everything that this resource takes from elsewhere. Raises InvalidSource."""
    if type_url not in (LISTENER, CLUSTER):
        return ()
    message = parse(type_url, body)
    found = dict.fromkeys(_references(message))
    return tuple(found)


def inline_files(type_url: str, body: bytes, read: Callable[[Any], bytes]) -> bytes:
    """The resource with the content of every file and environment variable it names in its place.

    `read` gets the DataSource. Returns `body` itself if there is nothing to do.
    """
    if type_url not in (LISTENER, CLUSTER, SECRET, ROUTES):
        return body
    message = parse(type_url, body)
    changed = edit_parts(message, _LEADS_TO_FILES, lambda source: _inline_one(source, read))
    return message.SerializeToString(deterministic=True) if changed else body


def parts(type_url: str, body: bytes, kind: str) -> Iterator[Any]:
    """Every message of the type `kind` (its full name) in a resource, at any depth."""
    yield from _parts(parse(type_url, body), frozenset({kind}))


def _parts(message: Message, kinds: frozenset[str]) -> Iterator[Message]:
    for _, child in _children(message, kinds):
        if child.DESCRIPTOR.full_name in kinds:
            yield child
        else:
            yield from _parts(child, kinds)


def _references(message: Message) -> Iterator[Reference]:
    match message.DESCRIPTOR.full_name:
        case "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig":
            yield from _secret(message)
        case "envoy.extensions.filters.network.http_connection_manager.v3.Rds":
            yield _reference(ROUTES, message.route_config_name, message.config_source)  # type: ignore[attr-defined]
        case "envoy.config.cluster.v3.Cluster":
            yield from _endpoints(message)
        case _:
            pass
    for _, child in _children(message, _LEADS_TO_REFERENCES):
        yield from _references(child)


def _secret(raw: Any) -> Iterator[Reference]:
    # Without a source, the name is that of a static secret.
    if raw.HasField("sds_config"):
        yield _reference(SECRET, raw.name, raw.sds_config)


def _endpoints(raw: Any) -> Iterator[Reference]:
    if raw.type == raw.EDS:
        name = raw.eds_cluster_config.service_name or raw.name
        yield _reference(ENDPOINTS, name, raw.eds_cluster_config.eds_config)


def _reference(type_url: str, name: str, config_source: Any) -> Reference:
    return Reference(type_url, name, parse_config_source(config_source), fetch_timeout(config_source))


def edit_parts(message: Message, kinds: frozenset[str], edit: Callable[[Any], bool]) -> bool:
    """Apply `edit`, which tells if it changed anything, to all messages of these types, at any depth."""
    changed = False
    for packed, child in _children(message, kinds):
        done = edit(child) if child.DESCRIPTOR.full_name in kinds else edit_parts(child, kinds, edit)
        if done and packed is not None:
            packed.value = child.SerializeToString(deterministic=True)
        changed |= done
    return changed


def _inline_one(source: Any, read: Callable[[Any], bytes]) -> bool:
    if source.WhichOneof("specifier") not in ("filename", "environment_variable"):
        return False
    content = read(source)
    source.Clear()
    source.inline_bytes = content
    return True


def _children(message: Message, kinds: frozenset[str]) -> Iterator[tuple[Any, Message]]:
    """The messages directly in this one that can lead to `kinds`: unpacked, with the `Any` it was in."""
    for field, value in message.ListFields():
        if not _leads_to(field, kinds):
            continue
        entries = value.values() if _is_map(field) else value if field.is_repeated else (value,)
        for child in entries:
            if child.DESCRIPTOR.full_name != ANY:
                yield None, child
                continue
            try:
                yield child, parse(child.type_url, child.value)
            except UnknownType:
                continue  # the compiler refuses it, with its path


def _leads_to(field: FieldDescriptor, kinds: frozenset[str]) -> bool:
    return field.message_type is not None and _reaches(field.message_type, kinds)


@functools.cache
def _reaches(start: Descriptor, kinds: frozenset[str]) -> bool:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        descriptor = waiting.pop()
        if descriptor.full_name in kinds or descriptor.full_name == ANY:
            return True
        if descriptor.full_name not in seen:
            seen.add(descriptor.full_name)
            waiting += [field.message_type for field in descriptor.fields if field.message_type is not None]
    return False


def _is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


_LEADS_TO_REFERENCES = frozenset({SDS_SECRET, RDS, EDS})
_LEADS_TO_FILES = frozenset({DATA_SOURCE})
