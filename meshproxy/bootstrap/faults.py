"""Every fault of a JSON value that should be a protobuf message, each with its path.

protobuf's own parser stops at the first fault and often does not say where it is. So it is asked first, and
only when it refuses, the value is walked beside the message's descriptor to find everything.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from meshloom.meshproxy.bootstrap.document import FieldPath
from meshloom.meshproxy.resources.protos import UnknownType, descriptor_of

REFUSED = (json_format.ParseError, TypeError, AttributeError, KeyError, ValueError, OverflowError)
"""What protobuf's parser raises for values of the wrong kind."""
_DEEPEST = 200
"""Steps of a path; protobuf itself takes a hundred messages in each other."""


class Fault(NamedTuple):
    path: FieldPath
    reason: str


def faults(value: Any, descriptor: Descriptor, at: FieldPath = ()) -> Iterator[Fault]:
    """What is wrong with `value` as a message of this type; nothing if protobuf would take it."""
    if len(at) > _DEEPEST:
        yield Fault(at, "nested too deeply")
        return
    if descriptor.full_name == "google.protobuf.Any":
        yield from _any_faults(value, at)
        return
    if descriptor.full_name in _OWN_JSON_FORM:
        yield from _leaf_faults(value, descriptor, at)
        return
    if not isinstance(value, dict):
        yield Fault(at, f"want an object ({descriptor.name}), found {_kind(value)}")
        return
    fields = _fields(descriptor)
    for key, child in value.items():
        field = fields.get(key)
        if field is None:
            names = [field.name for field in descriptor.fields]
            hint = nearest(str(key), names) or f"; it has {', '.join(names)}"
            yield Fault((*at, str(key)), f"{descriptor.name} has no field {key!r}{hint}")
        elif child is not None:
            yield from _field_faults(child, field, (*at, key))
    yield from _oneof_faults(value, descriptor, at)


def _field_faults(value: Any, field: FieldDescriptor, at: FieldPath) -> Iterator[Fault]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        if not isinstance(value, dict):
            yield Fault(at, f"want an object, found {_kind(value)}")
            return
        for key, child in value.items():
            yield from _single_faults(child, field.message_type.fields_by_name["value"], (*at, str(key)))
    elif field.is_repeated:
        if not isinstance(value, list):
            yield Fault(at, f"want a list, found {_kind(value)}")
            return
        for index, child in enumerate(value):
            yield from _single_faults(child, field, (*at, index))
    else:
        yield from _single_faults(value, field, at)


def _single_faults(value: Any, field: FieldDescriptor, at: FieldPath) -> Iterator[Fault]:
    if field.message_type is not None:
        yield from faults(value, field.message_type, at)
        return
    if field.enum_type is not None and isinstance(value, str) and value not in field.enum_type.values_by_name:
        names = list(field.enum_type.values_by_name)
        near = difflib.get_close_matches(value.upper(), names, 1)
        yield Fault(
            at, f"{value!r} is none of {', '.join(names)}" + (f"; did you mean {near[0]}?" if near else "")
        )
        return
    assert field.containing_type is not None  # only extensions have none
    owner = message_factory.GetMessageClass(field.containing_type)()
    content = {field.name: [value] if field.is_repeated else value}
    try:
        json_format.ParseDict(content, owner)
    except REFUSED as error:
        yield Fault(at, f"want {_TYPES.get(field.type, 'a value')}, found {value!r} ({_last_cause(error)})")


def _leaf_faults(value: Any, descriptor: Descriptor, at: FieldPath) -> Iterator[Fault]:
    try:
        json_format.ParseDict(value, message_factory.GetMessageClass(descriptor)())
    except REFUSED as error:
        hint = ' (for example "5s" or "0.25s")' if descriptor.name == "Duration" else ""
        yield Fault(at, f"{value!r} is no {descriptor.name}{hint}: {_last_cause(error)}")


def _any_faults(value: Any, at: FieldPath) -> Iterator[Fault]:
    if not isinstance(value, dict) or not isinstance(value.get("@type"), str):
        yield Fault(at, 'want an object with "@type", the URL of its message type')
        return
    try:
        descriptor = descriptor_of(value["@type"].rpartition("/")[2])
    except UnknownType:
        yield Fault((*at, "@type"), f"unknown type {value['@type']!r}")
        return
    rest = {key: child for key, child in value.items() if key != "@type"}
    if descriptor.full_name in _OWN_JSON_FORM:
        if "value" not in rest:
            yield Fault(at, f'want "value" beside "@type", what {descriptor.name} is')
            return
        yield from faults(rest["value"], descriptor, (*at, "value"))
    else:
        yield from faults(rest, descriptor, at)


def _oneof_faults(value: dict[str, Any], descriptor: Descriptor, at: FieldPath) -> Iterator[Fault]:
    fields = _fields(descriptor)
    for oneof in descriptor.oneofs:
        given = [key for key in value if key in fields and fields[key].containing_oneof is oneof]
        if len(given) > 1:
            yield Fault(at, f"only one of {' and '.join(given)} may be given")


def _fields(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    named = {field.json_name: field for field in descriptor.fields}
    return named | {field.name: field for field in descriptor.fields}


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the name that may have been meant; empty where none is near."""
    near = difflib.get_close_matches(name, list(known), 1, 0.5)
    return f", did you mean {near[0]}?" if near else ""


def _last_cause(error: Exception) -> str:
    """protobuf wraps an error once a level; the innermost says what is wrong."""
    text = str(error)
    while text.startswith("Failed to parse ") and ": " in text:
        text = text.partition(": ")[2]
    return text.rstrip(".").split(" at ", 1)[0]


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "nothing"}.get(
        type(value), "a number"
    )


_OWN_JSON_FORM = {
    f"google.protobuf.{name}"
    for name in (
        *("Duration", "Timestamp", "FieldMask", "Struct", "Value", "ListValue", "BoolValue", "StringValue"),
        *(
            "BytesValue",
            "Int32Value",
            "Int64Value",
            "UInt32Value",
            "UInt64Value",
            "FloatValue",
            "DoubleValue",
        ),
    )
}
_TYPES = {
    FieldDescriptor.TYPE_STRING: "a text",
    FieldDescriptor.TYPE_BYTES: "base64 text",
    FieldDescriptor.TYPE_BOOL: "true or false",
    FieldDescriptor.TYPE_ENUM: "one of its names",
    **dict.fromkeys((FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT), "a number"),
    **dict.fromkeys(
        (
            FieldDescriptor.TYPE_INT32,
            FieldDescriptor.TYPE_INT64,
            FieldDescriptor.TYPE_UINT32,
            FieldDescriptor.TYPE_UINT64,
        ),
        "a whole number",
    ),
}
