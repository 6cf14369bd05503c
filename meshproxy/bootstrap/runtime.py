"""Envoy's runtime: values of the bootstrap's static layers, in the place of the defaults they override.

Nothing here changes at run time, so a `runtime_key` that a layer sets is settled once, when the bootstrap is
read. Keys that no field names are defaults of Envoy's own making, and change nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from meshloom.meshproxy.bootstrap.document import FieldPath
from meshloom.meshproxy.bootstrap.faults import Fault
from meshloom.meshproxy.resources.references import edit_parts

Values = Mapping[str, Any]
"""By key, dots and all: numbers, booleans, texts, or objects such as a FractionalPercent."""

MAX_CONNECTIONS = "overload.global_downstream_max_connections"
_CORE = "envoy.config.core.v3.Runtime"
_FILTER = "envoy.config.accesslog.v3.RuntimeFilter"
_NUMBERS = frozenset(
    _CORE + kind for kind in ("UInt32", "Double", "Percent", "FeatureFlag", "FractionalPercent")
)
_KEYED = _NUMBERS | {_FILTER}
_FRACTION = {"numerator", "denominator"}


def runtime_values(bootstrap: Any) -> Values:
    """Every key that a static layer sets; later layers win."""
    values: dict[str, Any] = {}
    for _, layer in layer_values(bootstrap):
        values.update(layer)
    return values


def layer_values(bootstrap: Any) -> list[tuple[str, Values]]:
    """Each layer's name and keys; layers that are not static have none."""
    return [
        (layer.name, dict(_flat(json_format.MessageToDict(layer.static_layer), "")))
        for layer in bootstrap.layered_runtime.layers
    ]


def runtime_faults(values: Values) -> Iterator[Fault]:
    """Values that are no such thing as their key needs."""
    limit = values.get(MAX_CONNECTIONS)
    if limit is not None and not (isinstance(limit, float) and limit.is_integer() and limit > 0):
        at: FieldPath = ("layered_runtime", "layers")
        yield Fault(at, f"{MAX_CONNECTIONS}: {limit!r} is no whole number above 0")


def settle(message: Message, values: Values) -> None:
    """Give every default with a `runtime_key` the value of that key, where there is one."""
    if values:
        edit_parts(message, _KEYED, lambda part: _settle_one(part, values))


def _flat(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, child in value.items():
        name = f"{prefix}{key}"
        if isinstance(child, dict) and not child.keys() <= _FRACTION:
            yield from _flat(child, f"{name}.")
        else:
            yield name, child


def _settle_one(part: Any, values: Values) -> bool:
    value = values.get(part.runtime_key)
    if value is None:
        return False
    field = "percent_sampled" if part.DESCRIPTOR.full_name == _FILTER else "default_value"
    target = part.DESCRIPTOR.fields_by_name[field].message_type
    try:
        json_format.ParseDict({field: _shaped(value, target.name if target else "")}, part)
    except json_format.ParseError:
        return False  # Envoy, too, uses the default where the value is of another kind
    return True


def _shaped(value: Any, kind: str) -> Any:
    """A number where a fraction is wanted is so many of a hundred."""
    is_number = isinstance(value, float)
    if kind == "FractionalPercent" and is_number:
        return {"numerator": max(0, min(100, int(value)))}
    if kind == "Percent" and is_number:
        return {"value": value}
    return value
