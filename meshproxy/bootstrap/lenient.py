"""Spellings that Envoy's reader takes and Python's protobuf does not.

Envoy's configuration is parsed by protobuf for C++, which takes enum values in any case
(`lb_policy: round_robin`), booleans as texts, one value where a list is wanted, and durations and wrapped
numbers as objects with fields. Files written for Envoy use all of these, the first above all.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from meshloom.meshproxy.resources.protos import UnknownType, descriptor_of

_DEEPEST = 200
_BOOLEANS = {"true": True, "false": False}
_NANOSECONDS = 1_000_000_000


def respelled(value: Any, descriptor: Descriptor, depth: int = 0) -> Any:
    """`value` as Python's parser wants it. What is wrong in either parser stays as it is."""
    if depth > _DEEPEST:
        return value
    if descriptor.full_name == "google.protobuf.Any":
        return _packed(value, depth)
    if descriptor.file.package == "google.protobuf":
        return _well_known(value, descriptor)
    if not isinstance(value, dict):
        return value
    fields = {field.json_name: field for field in descriptor.fields}
    fields |= {field.name: field for field in descriptor.fields}
    return {
        key: _field(child, fields[key], depth + 1) if key in fields and child is not None else child
        for key, child in value.items()
    }


def _packed(value: Any, depth: int) -> Any:
    name = value.get("@type") if isinstance(value, dict) else None
    if not isinstance(name, str):
        return value
    try:
        descriptor = descriptor_of(name.rpartition("/")[2])
    except UnknownType:
        return value
    if descriptor.file.package == "google.protobuf":
        return value
    return respelled(value, descriptor, depth)


def _well_known(value: Any, descriptor: Descriptor) -> Any:
    if descriptor.name == "Duration" and isinstance(value, dict) and value.keys() <= {"seconds", "nanos"}:
        return _duration(value)
    if descriptor.name.endswith("Value") and [field.name for field in descriptor.fields] == ["value"]:
        field = descriptor.fields_by_name["value"]
        is_object = isinstance(value, dict) and value.keys() <= {"value"}
        return _scalar(value.get("value", field.default_value) if is_object else value, field)
    return value


def _duration(value: dict[str, Any]) -> Any:
    try:
        total = int(value.get("seconds", 0)) * _NANOSECONDS + int(value.get("nanos", 0))
    except (TypeError, ValueError):
        return value
    seconds, nanos = divmod(abs(total), _NANOSECONDS)
    return f"{'-' if total < 0 else ''}{seconds}.{nanos:09}s"


def _field(value: Any, field: FieldDescriptor, depth: int) -> Any:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        entry = kind.fields_by_name["value"]
        is_object = isinstance(value, dict)
        return {key: _single(child, entry, depth) for key, child in value.items()} if is_object else value
    if field.is_repeated:
        listed = value if isinstance(value, list) else [value]
        return [_single(child, field, depth) for child in listed]
    return _single(value, field, depth)


def _single(value: Any, field: FieldDescriptor, depth: int) -> Any:
    if field.message_type is not None:
        return respelled(value, field.message_type, depth)
    return _scalar(value, field)


def _scalar(value: Any, field: FieldDescriptor) -> Any:
    if not isinstance(value, str):
        return value
    if field.type == FieldDescriptor.TYPE_BOOL:
        return _BOOLEANS.get(value.lower(), value)
    if field.enum_type is not None and value not in field.enum_type.values_by_name:
        upper = value.upper()
        return upper if upper in field.enum_type.values_by_name else value
    return value
