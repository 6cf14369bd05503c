"""The fast conversion and the explaining walk agree, and what is typed can be written and read back."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from meshloom.pilot.ingest.diagnostic import Fault
from meshloom.pilot.ingest.kinds import KINDS, Kind
from meshloom.pilot.ingest.parse import parse_text
from meshloom.pilot.ingest.schema import Mismatch, convert, to_plain
from meshloom.pilot.model.build import build_model
from meshloom.pilot.store.text import dump_yaml
from msgspec import inspect

SPECS = [kind.spec for kind in KINDS.values()]
TEXT = st.text(string.ascii_letters + "-./*", max_size=6)
# Drawing a large schema on a busy machine takes its time.
CALM = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
JUNK = st.sampled_from([None, True, "text", -1, 70000, 1.5, [], {}, ["x"], {"x": 1}, "0s", "5s"])


def values(shape: inspect.Type, depth: int = 0) -> st.SearchStrategy[Any]:
    """Plain values that fit `shape`."""
    match shape:
        case inspect.UnionType(types=types):
            return st.one_of([values(t, depth) for t in types if not isinstance(t, inspect.NoneType)])
        case inspect.StructType(fields=fields):
            needed = {f.encode_name: values(f.type, depth + 1) for f in fields if f.required}
            rest = {f.encode_name: values(f.type, depth + 1) for f in fields if not f.required}
            return st.fixed_dictionaries(needed, optional={} if depth > 5 else rest)
        case inspect.VarTupleType(item_type=item, min_length=low, max_length=high):
            return st.lists(values(item, depth), min_size=low or 0, max_size=min(high or 2, 2))
        case inspect.DictType(value_type=value, min_length=low):
            return st.dictionaries(TEXT, values(value, depth), min_size=low or 0, max_size=2)
        case inspect.EnumType(cls=choices):
            return st.sampled_from([member.value for member in choices])
        case inspect.CustomType():
            return st.sampled_from(["1s", "1m30s", "250ms", "2h"])
        case inspect.IntType(ge=low, le=high):
            return st.integers(low if low is not None else -(2**31), high if high is not None else 2**31)
        case inspect.FloatType(ge=low, le=high):
            return st.floats(low if low is not None else 0, high if high is not None else 1000, width=32)
        case inspect.BoolType():
            return st.booleans()
        case inspect.StrType(max_length=limit):
            return TEXT.filter(lambda text: limit is None or len(text) <= limit)
        case _:
            return TEXT


def broken(draw: Callable[[st.SearchStrategy[Any]], Any], value: Any) -> Any:
    """`value` with one place of it replaced, removed or added."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(value)))
        return {**value, name: broken(draw, value[name])}
    if isinstance(value, list) and value and draw(st.booleans()):
        return [broken(draw, value[0]), *value[1:]]
    if isinstance(value, dict):
        return {**value, draw(TEXT): draw(JUNK)}
    return draw(JUNK)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.__name__)
@CALM
@given(data=st.data())
def test_what_fits_is_typed_and_can_be_written_and_read_back(spec: type, data: st.DataObject) -> None:
    plain = data.draw(values(inspect.type_info(spec)))
    typed: Any = convert(plain, spec)
    assert convert(to_plain(typed), spec) == typed


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.__name__)
@CALM
@given(data=st.data())
def test_what_does_not_fit_is_explained_field_by_field(spec: type, data: st.DataObject) -> None:
    plain = broken(data.draw, data.draw(values(inspect.type_info(spec))))
    # msgspec's own words, with `$`, would mean that the walk found nothing wrong.
    assert not any(" - at `$" in fault.message for fault in faults_of(plain, spec))


def faults_of(plain: Any, spec: type) -> tuple[Fault, ...]:
    try:
        convert(plain, spec)
    except Mismatch as mismatch:
        return mismatch.faults or (Fault((), "no fault named - at `$`"),)
    return ()


def test_every_spec_is_frozen() -> None:
    for spec in SPECS:
        assert issubclass(spec, msgspec.Struct)
        assert spec.__struct_config__.frozen


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
@CALM
@given(data=st.data())
def test_no_document_makes_the_reader_fail(kind: Kind, data: st.DataObject) -> None:
    spec = data.draw(values(inspect.type_info(kind.spec)))
    spec = broken(data.draw, spec) if data.draw(st.booleans()) else spec
    version = f"{kind.group}/{kind.versions[0]}" if kind.group else kind.versions[0]
    header = {"apiVersion": version, "kind": kind.name, "metadata": {"name": "generated"}}
    content = spec if kind.flat and isinstance(spec, dict) else {"spec": spec}
    text = dump_yaml({**content, **header})

    parsed = parse_text(text, "generated.yaml")

    assert parsed.has_errors or len(parsed.accepted) >= 1
    for diagnostic in parsed.diagnostics:
        assert 1 <= diagnostic.line <= text.count("\n")
        assert diagnostic.path or diagnostic.message.startswith("invalid YAML")
    build_model(accepted.object for accepted in parsed.accepted)
