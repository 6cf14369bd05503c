"""Our types have exactly the fields of Istio's schemas: none invented, none forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
import yaml
from meshloom.pilot.ingest.kinds import KINDS
from msgspec import inspect

from tests.support.shared import shared_data

ISTIO_KINDS = sorted(kind.name for kind in KINDS.values() if kind.group.endswith("istio.io"))


@pytest.fixture(scope="module")
def schemas() -> Mapping[str, Any]:
    path = shared_data() / "istio/crd/customresourcedefinitions.yaml"
    found = {}
    for crd in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader):
        if crd and crd["spec"]["names"]["kind"] in ISTIO_KINDS:
            stored = next(v for v in crd["spec"]["versions"] if v["storage"])
            found[crd["spec"]["names"]["kind"]] = stored["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return found


def published(schema: Mapping[str, Any], at: str = "") -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        yield f"{at}.{name}{' required' if name in schema.get('required', ()) else ''}"
        yield from published(field, f"{at}.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from published(schema[name], f"{at}[]")
    if "enum" in schema:
        yield f"{at} one of {sorted(schema['enum'])}"


def ours(shape: inspect.Type, at: str = "") -> Iterator[str]:
    match shape:
        case inspect.UnionType(types=types):
            for member in types:
                yield from ours(member, at)
        case inspect.StructType(fields=fields):
            for field in fields:
                yield f"{at}.{field.encode_name}{' required' if field.required else ''}"
                yield from ours(field.type, f"{at}.{field.encode_name}")
        case inspect.VarTupleType(item_type=item):
            yield from ours(item, f"{at}[]")
        case inspect.DictType(value_type=value):
            yield from ours(value, f"{at}[]")
        case inspect.EnumType(cls=choices):
            yield f"{at} one of {sorted(member.value for member in choices)}"
        case _:
            return


# A Go struct without omitempty needs no value, but a port without a number means nothing.
STRICTER = {
    "VirtualService": {".port.number required": ".port.number"},
}


@pytest.mark.parametrize("kind", ISTIO_KINDS)
def test_fields_are_those_of_the_schema(schemas: Mapping[str, Any], kind: str) -> None:
    spec = next(known.spec for known in KINDS.values() if known.name == kind and "istio" in known.group)
    mine = set(ours(msgspec.inspect.type_info(spec)))
    for strict, published_as in STRICTER.get(kind, {}).items():
        mine = {line.replace(strict, published_as) for line in mine}
    assert mine == set(published(schemas[kind]))
