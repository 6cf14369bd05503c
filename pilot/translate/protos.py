"""Short spellings of protobuf's wrappers, for the messages that translation is made of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from envoy.config.core.v3 import address_pb2, base_pb2, config_source_pb2, extension_pb2
from google.protobuf import any_pb2, duration_pb2, struct_pb2, wrappers_pb2
from google.protobuf.message import Message
from xds.type.v3 import typed_struct_pb2

_PREFIX = "type.googleapis.com/"


def pack(message: Message) -> any_pb2.Any:
    """Deterministic, unlike Any.Pack: equal content must be equal bytes."""
    return any_pb2.Any(
        type_url=_PREFIX + message.DESCRIPTOR.full_name, value=message.SerializeToString(deterministic=True)
    )


def pack_struct(type_name: str, fields: Mapping[str, Any]) -> any_pb2.Any:
    """A message whose generated class we lack, as `xds.type.v3.TypedStruct`."""
    value = struct_pb2.Struct()
    value.update(dict(fields))
    return pack(typed_struct_pb2.TypedStruct(type_url=_PREFIX + type_name, value=value))


def extension(name: str, message: Message) -> extension_pb2.TypedExtensionConfig:
    return extension_pb2.TypedExtensionConfig(name=name, typed_config=pack(message))


def duration(span: timedelta) -> duration_pb2.Duration:
    made = duration_pb2.Duration()
    made.FromTimedelta(span)
    return made


def u32(value: int) -> wrappers_pb2.UInt32Value:
    return wrappers_pb2.UInt32Value(value=value)


def boolean(value: bool) -> wrappers_pb2.BoolValue:
    return wrappers_pb2.BoolValue(value=value)


def socket_address(host: str, port: int) -> address_pb2.Address:
    """An IP or DNS name, or `unix://` and a path (`unix://@name` is an abstract socket)."""
    if host.startswith("unix://"):
        return address_pb2.Address(pipe=address_pb2.Pipe(path=host.removeprefix("unix://")))
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=host, port_value=port))


def ads() -> config_source_pb2.ConfigSource:
    """Fetched over the same stream; waited for without a limit, as Istio does."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(),
        resource_api_version=config_source_pb2.ApiVersion.V3,
        initial_fetch_timeout=duration_pb2.Duration(),
    )


def istio_metadata(fields: Mapping[str, Any], **others: Mapping[str, Any]) -> base_pb2.Metadata:
    """`filter_metadata.istio`, which telemetry and explanations read."""
    metadata = base_pb2.Metadata()
    metadata.filter_metadata["istio"].update(dict(fields))
    for namespace, values in others.items():
        metadata.filter_metadata[namespace].update(dict(values))
    return metadata
