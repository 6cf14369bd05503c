"""No field does nothing in silence: each is read somewhere in the model or the translation, or warned of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import meshloom.pilot
import pytest
from meshloom.pilot.ingest.kinds import KINDS
from meshloom.pilot.ingest.unimplemented import patterns
from meshloom.pilot.model.mesh_config import MeshConfig
from msgspec import inspect

PILOT = Path(meshloom.pilot.__file__).parent
READERS = [
    *(PILOT / "translate").rglob("*.py"),
    *(PILOT / "model" / "lookup").glob("*.py"),
    *(
        (PILOT / "model" / name).with_suffix(".py")
        for name in ("resolve", "services", "endpoints", "delegates")
    ),
    PILOT / "push.py",
]
ISTIO = [kind for kind in KINDS.values() if "istio" in kind.group]

ATTRIBUTE = re.compile(r"\.([a-z_]\w*)")
# Read under another name, or as a whole.
READ_OTHERWISE: dict[str, str] = {}


@cache
def read_names() -> frozenset[str]:
    """Every attribute that a reader names; by text, as CPython 3.11 at times fails to parse (gh-106905)."""
    return frozenset(name for path in READERS for name in ATTRIBUTE.findall(path.read_text()))


def fields(shape: inspect.Type, at: str = "") -> Iterator[tuple[str, str]]:
    """Path of each field in pattern notation, and its name in Python."""
    match shape:
        case inspect.UnionType(types=types):
            for member in types:
                yield from fields(member, at)
        case inspect.StructType(fields=members):
            for field in members:
                path = f"{at}.{field.encode_name}" if at else field.encode_name
                yield path, field.name
                yield from fields(field.type, path)
        case inspect.VarTupleType(item_type=item):
            yield from fields(item, f"{at}[]")
        case inspect.DictType(value_type=value):
            yield from fields(value, f"{at}{{}}")
        case _:
            return


def silent(kind: str, spec: type) -> list[str]:
    known = read_names()
    warned = [pattern.partition("=")[0] for pattern in patterns(kind)]
    return [
        path
        for path, name in fields(inspect.type_info(spec))
        if name not in known
        and path not in READ_OTHERWISE
        and not any(path == p or path.startswith((f"{p}.", f"{p}[", f"{p}{{")) for p in warned)
    ]


@pytest.mark.parametrize(("name", "spec"), [*((k.name, k.spec) for k in ISTIO), ("MeshConfig", MeshConfig)])
def test_every_field_is_read_or_warned_of(name: str, spec: type) -> None:
    assert silent(name, spec) == []
