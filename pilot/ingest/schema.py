"""Turns plain values into typed objects, or into every fault they have.

The fast way is msgspec's own conversion (a few µs), which stops at the first error and knows nothing of
near misses. Only when it refuses a value do we walk the type ourselves to say all that is wrong, where, and
what would be right, in the words of Kubernetes' API server.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec
from meshloom.pilot.ingest.diagnostic import Fault, Path
from meshloom.pilot.ingest.documents import normalised
from meshloom.pilot.model.duration import Duration
from meshloom.pilot.model.kubernetes import Kubernetes
from msgspec import inspect

T = TypeVar("T")


class Mismatch(Exception):
    """A value that does not fit its type, with at least one fault."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = faults


def convert(value: Any, to: type[T]) -> T:
    """Raises Mismatch with every fault found; paths are relative to `value`."""
    try:
        return msgspec.convert(value, to, dec_hook=_custom)
    except msgspec.ValidationError:
        plain = normalised(value)
    try:
        return msgspec.convert(plain, to, dec_hook=_custom)
    except msgspec.ValidationError as error:
        faults = tuple(_walk(plain, _shape(to), ()))  # type: ignore[arg-type]
        raise Mismatch(faults or (Fault((), str(error)),)) from error


def unknown_names(value: Any, to: type) -> tuple[Fault, ...]:
    """Fields of a value that fits which a partial schema neither reads nor lists as unread."""
    return tuple(_unknown_names(value, _shape(to), ()))


def to_plain(value: Any) -> Any:
    """The inverse of `convert`: plain values in the schema's own names, defaults left out."""
    return msgspec.to_builtins(value, enc_hook=str)


def nearest(name: str, allowed: list[str]) -> str:
    """A hint: the likeliest meant name, or all of them where few; empty where neither helps."""
    lowered = {candidate.lower(): candidate for candidate in allowed}
    if close := difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6):
        return f'did you mean "{lowered[close[0]]}"?'
    return f"known: {', '.join(sorted(allowed))}" if allowed else ""


def quoted(value: Any) -> str:
    """A value as Kubernetes shows it: JSON, kept short."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _custom(kind: type, value: Any) -> Any:
    if issubclass(kind, Duration):
        if not isinstance(value, str):
            raise ValueError("must be a duration in quotes")
        return kind.parse(value)
    raise NotImplementedError(kind)


@functools.cache
def _shape(to: type) -> inspect.Type:
    return inspect.type_info(to)


def _walk(value: Any, shape: inspect.Type, at: Path) -> Iterator[Fault]:
    """Every way in which `value` differs from `shape`."""
    match shape:
        case inspect.UnionType(types=types):
            yield from _union(value, [t for t in types if not isinstance(t, inspect.NoneType)], at)
        case inspect.StructType():
            yield from _struct(value, shape, at)
        case inspect.DictType():
            yield from _mapping(value, shape, at)
        case inspect.VarTupleType() | inspect.ListType():
            yield from _sequence(value, shape, at)
        case inspect.EnumType(cls=choices):
            yield from _choice(value, [member.value for member in choices], at)
        case inspect.CustomType(cls=kind):
            yield from _custom_fault(value, kind, at)
        case _:
            yield from _scalar(value, shape, at)


def _unknown_names(value: Any, shape: inspect.Type, at: Path) -> Iterator[Fault]:
    match shape:
        case inspect.UnionType(types=types) if value is not None:
            for member in types:
                yield from _unknown_names(value, member, at)
        case inspect.StructType(cls=kind, fields=fields) if isinstance(value, Mapping):
            known = {field.encode_name: field.type for field in fields}
            unread = kind.UNREAD if issubclass(kind, Kubernetes) else known.keys()
            for name, inner in value.items():
                if name in known:
                    yield from _unknown_names(inner, known[name], (*at, name))
                elif name not in unread:
                    hint = nearest(str(name), [*known, *unread])
                    hint = hint if hint.startswith("did") else ""
                    yield Fault((*at, str(name)), f'unknown field "{name}" has no effect', hint)
        case inspect.VarTupleType(item_type=item) if isinstance(value, list):
            for index, inner in enumerate(value):
                yield from _unknown_names(inner, item, (*at, index))
        case _:
            return


def _union(value: Any, shapes: list[inspect.Type], at: Path) -> Iterator[Fault]:
    """A value fits if it fits any member; else its faults are those of the member it fits best."""
    if value is None:
        return
    found = [list(_walk(value, shape, at)) for shape in shapes]
    yield from min(found, key=len, default=[])


def _struct(value: Any, shape: inspect.StructType, at: Path) -> Iterator[Fault]:
    if not isinstance(value, Mapping):
        yield _invalid(value, "must be an object", at)
        return
    fields = {field.encode_name: field for field in shape.fields}
    for name, inner in value.items():
        if (field := fields.get(name)) is not None:
            yield from _walk(inner, field.type, (*at, name))
        elif shape.forbid_unknown_fields:
            yield Fault((*at, name), f'unknown field "{name}"', nearest(name, list(fields)))
    for name, field in fields.items():
        if field.required and name not in value:
            yield Fault((*at, name), "Required value", _example(field.type))


def _mapping(value: Any, shape: inspect.DictType, at: Path) -> Iterator[Fault]:
    if not isinstance(value, Mapping):
        yield _invalid(value, "must be an object", at)
        return
    yield from _length(len(value), shape, at, "properties")
    for name, inner in value.items():
        yield from _walk(inner, shape.value_type, (*at, str(name)))


def _sequence(value: Any, shape: inspect.VarTupleType | inspect.ListType, at: Path) -> Iterator[Fault]:
    if not isinstance(value, list):
        yield _invalid(value, "must be a list", at)
        return
    yield from _length(len(value), shape, at, "items")
    for index, inner in enumerate(value):
        yield from _walk(inner, shape.item_type, (*at, index))


def _length(
    size: int, shape: inspect.DictType | inspect.VarTupleType | inspect.ListType, at: Path, unit: str
) -> Iterator[Fault]:
    name = ".".join(str(step) for step in at)
    if shape.min_length is not None and size < shape.min_length:
        text = f"Invalid value: {size}: spec.{name} in body should have at least {shape.min_length} {unit}"
        yield Fault(at, text)
    if shape.max_length is not None and size > shape.max_length:
        yield Fault(at, f"Too many: {size}: must have at most {shape.max_length} {unit}")


def _choice(value: Any, allowed: list[str], at: Path) -> Iterator[Fault]:
    if value in allowed:
        return
    supported = ", ".join(f'"{choice}"' for choice in allowed)
    hint = nearest(value, allowed) if isinstance(value, str) else ""
    hint = hint if hint.startswith("did") else ""
    yield Fault(at, f"Unsupported value: {quoted(value)}: supported values: {supported}", hint)


def _custom_fault(value: Any, kind: type, at: Path) -> Iterator[Fault]:
    try:
        _custom(kind, value)
    except ValueError as error:
        yield _invalid(value, str(error), at, "for example 5s, 100ms or 1h30m")


def _scalar(value: Any, shape: inspect.Type, at: Path) -> Iterator[Fault]:
    match shape:
        case inspect.StrType():
            if not isinstance(value, str):
                hint = f'in quotes: "{value}"' if isinstance(value, (int, float)) else ""
                yield _invalid(value, "must be a string", at, hint)
            elif shape.max_length is not None and len(value) > shape.max_length:
                yield Fault(at, f"Too long: may not be more than {shape.max_length} characters")
        case inspect.IntType():
            if isinstance(value, bool) or not isinstance(value, int):
                yield _invalid(value, "must be an integer", at)
            else:
                yield from _range(value, shape, at)
        case inspect.FloatType():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                yield _invalid(value, "must be a number", at)
            else:
                yield from _range(value, shape, at)
        case inspect.BoolType():
            if not isinstance(value, bool):
                yield _invalid(value, "must be a boolean", at, "true or false, not in quotes")
        case _:
            return


def _range(value: float, shape: inspect.IntType | inspect.FloatType, at: Path) -> Iterator[Fault]:
    low, high = shape.ge, shape.le
    if (low is None or value >= low) and (high is None or value <= high):
        return
    if (low, high) == (1, 65535):
        yield _invalid(value, "port must be between 1-65535", at)
    elif high is not None and value > high:
        yield _invalid(value, f"should be less than or equal to {high:g}", at)
    else:
        yield _invalid(value, f"should be greater than or equal to {low:g}", at)


def _invalid(value: Any, reason: str, at: Path, hint: str = "") -> Fault:
    return Fault(at, f"Invalid value: {quoted(value)}: {reason}", hint)


def _example(shape: inspect.Type) -> str:
    """What a missing required field holds."""
    match shape:
        case inspect.StructType(fields=fields):
            needed = [field.encode_name for field in fields if field.required]
            return f"an object with {', '.join(needed)}" if needed else "an object"
        case inspect.VarTupleType() | inspect.ListType():
            return "a list"
        case inspect.StrType():
            return "a string"
        case inspect.IntType():
            return "an integer"
        case _:
            return ""
