"""Envoy's message types by name, imported only when something of that type turns up.

A generated module registers its types when it is imported, and a proxy needs few of the six hundred. A type's
package is a folder of modules, so the folder is all that has to be imported to know the type.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import pkgutil
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

PREFIX = "type.googleapis.com/"
LISTENER = PREFIX + "envoy.config.listener.v3.Listener"
CLUSTER = PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
ROUTES = PREFIX + "envoy.config.route.v3.RouteConfiguration"
SECRET = PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"

PUSH_ORDER = (CLUSTER, ENDPOINTS, SECRET, LISTENER, ROUTES)
"""Make before break: what is pointed at comes before what points at it."""
SHORT = {CLUSTER: "cds", ENDPOINTS: "eds", SECRET: "sds", LISTENER: "lds", ROUTES: "rds"}


class UnknownType(LookupError):
    """No message type of this name is known to this proxy."""


@functools.cache
def descriptor_of(full_name: str) -> Descriptor:
    """Raises UnknownType."""
    pool = descriptor_pool.Default()
    try:
        return pool.FindMessageTypeByName(full_name)
    except KeyError:
        pass
    for module in _modules(full_name):
        importlib.import_module(module)
    try:
        return pool.FindMessageTypeByName(full_name)
    except KeyError:
        raise UnknownType(full_name) from None


def message_type(type_url: str) -> Any:
    """The class of a type URL. Raises UnknownType."""
    return message_factory.GetMessageClass(descriptor_of(type_url.rpartition("/")[2]))


def parse(type_url: str, body: bytes) -> Message:
    """Raises UnknownType, and DecodeError for bytes that are no such message."""
    message: Message = message_type(type_url).FromString(body)
    return message


def load_types_in(value: Any) -> None:
    """Import every type that a decoded JSON value names with `@type`, as far as it is known."""
    if isinstance(value, dict):
        name = value.get("@type")
        if isinstance(name, str):
            with contextlib.suppress(UnknownType):  # whoever parses the value reports it, with its place
                descriptor_of(name.rpartition("/")[2])
        for child in value.values():
            load_types_in(child)
    elif isinstance(value, list):
        for child in value:
            load_types_in(child)


def load_types_of(message: Message) -> None:
    """Import every type that is packed into a message, at any depth: JSON is printed from them."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        children = value.values() if _is_map(field) else value if field.is_repeated else (value,)
        for child in children:
            if not isinstance(child, Message):
                continue
            if (
                field.message_type.full_name == "google.protobuf.Any"
                or child.DESCRIPTOR.full_name == "google.protobuf.Any"
            ):
                _load_packed(child)
            else:
                load_types_of(child)


def _load_packed(packed: Any) -> None:
    with contextlib.suppress(UnknownType):  # printed as bytes
        load_types_of(parse(packed.type_url, packed.value))


def _is_map(field: Any) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


def _modules(full_name: str) -> list[str]:
    """The generated modules that may define a type: those in the folder of its package."""
    package = full_name.rpartition(".")[0]
    if not package.startswith(("envoy.", "xds.", "udpa.", "google.")):
        return []
    while package:
        try:
            found = importlib.import_module(package)
        except ImportError:
            package = package.rpartition(".")[0]  # a nested type: its parent is no package
            continue
        folder = getattr(found, "__path__", ())  # a module has none, and no types of this name
        return [m.name for m in pkgutil.iter_modules(folder, package + ".") if m.name.endswith("_pb2")]
    return []
