"""Splitting, positions, and YAML as Kubernetes reads it."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from meshloom.pilot.ingest.documents import Document, InvalidYaml, normalised, split_documents
from meshloom.pilot.store.text import dump_yaml

FILE = """\
# A comment before anything.
---
apiVersion: v1
kind: Service
metadata:
  name: a
---

# Only a comment.
---
spec:
  http:
  - match:
    - uri: {prefix: /a}
    route:
    - destination:
        host: a
    - destination:
        host: b
...
---
"""


def test_documents_that_hold_nothing_are_left_out_and_lines_count_in_the_file() -> None:
    first, second = split_documents(FILE)
    assert (first.first_line, second.first_line) == (3, 11)
    assert first.load()["kind"] == "Service"


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("spec", "http", 0, "match", 0, "uri", "prefix"), 14),
        (("spec", "http", 0, "route", 1), 18),
        (("spec", "http", 0, "route", 1, "destination", "host"), 19),
        (("spec", "http", 0, "route", 1, "destination", "missing"), 18),
        (("spec", "http", 7), 12),
        (("nothing",), 11),
    ],
)
def test_the_line_of_a_field_or_of_what_is_nearest_to_it(path: tuple[str | int, ...], line: int) -> None:
    _, second = split_documents(FILE)
    assert second.line_of(path) == line


def test_a_syntax_error_names_its_line_and_costs_one_document() -> None:
    good, bad, last = split_documents("a: 1\n---\nb: [1, 2\nc: 3\n---\nd: 4\n")
    with pytest.raises(InvalidYaml) as caught:
        bad.load()
    assert caught.value.line in (3, 4)
    assert (good.load(), last.load()) == ({"a": 1}, {"d": 4})


def test_a_repeated_key_is_an_error() -> None:
    with pytest.raises(InvalidYaml, match="duplicate"):
        Document("a: 1\na: 2\n").load()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (
            "base: &b {x: 1, y: 2}\nmade: {<<: *b, y: 3}\n",
            {"base": {"x": 1, "y": 2}, "made": {"x": 1, "y": 3}},
        ),
        ("a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}\n", {"x": 1, "y": 2}),
        ("addresses: [1.2.3.4, 2001:db8::, ::1]\n", {"addresses": ["1.2.3.4", "2001:db8::", "::1"]}),
        ("\ufeff{}\n", {}),
        ('%YAML 1.2\n---\n{"json": true}\n', {"json": True}),
    ],
)
def test_what_kubernetes_understands(text: str, value: dict[str, Any]) -> None:
    (document,) = split_documents(text)
    loaded = document.load()
    assert loaded == value or loaded["c"] == value


@pytest.mark.parametrize("text", ["a: " + "[" * 100_000, "{a: " * 100_000, "- " * 100_000, '"' + "[" * 9])
def test_hostile_nesting_is_refused_in_no_time(text: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidYaml):
        Document(text).load()
    assert time.process_time() - started < 2


def test_brackets_in_text_nest_nothing() -> None:
    brackets = "[{" * 200
    text = f"double: \"{brackets}\"\nsingle: '{brackets}'\n# {brackets}\nlist: [{'[], ' * 200}]\n"
    assert len(Document(text).load()["list"]) == 200


def test_an_alias_bomb_is_refused() -> None:
    levels = "".join(f"l{i + 1}: &l{i + 1} [{', '.join([f'*l{i}'] * 10)}]\n" for i in range(9))
    with pytest.raises(InvalidYaml):
        Document("l0: &l0 [x, x, x]\n" + levels).load()


def test_null_is_absence_and_keys_are_strings() -> None:
    assert normalised({80: {"a": None, "b": [{"c": None}]}}) == {"80": {"b": [{}]}}


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20),
    st.sampled_from(
        ["yes", "on", "012", "0o14", "1e3", "1_000", "~", "null", "2020-01-01", "10:30", ".5", "=", "<<"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abcxyz.-/", min_size=1), inner, max_size=3)
    ),
)


@settings(deadline=None)
@given(st.dictionaries(st.text("abcdefXYZ", min_size=1), VALUES, max_size=4))
def test_what_is_written_is_read_back(value: dict[str, Any]) -> None:
    documents = list(split_documents(dump_yaml(value)))
    assert (documents[0].load() if documents else {}) == value


@settings(deadline=None)
@given(st.text(max_size=200))
@example("\r0")
def test_no_text_makes_the_reader_fail_otherwise(text: str) -> None:
    lines = len(text.splitlines()) + 1  # YAML knows more line breaks than \n
    for document in split_documents(text):
        with contextlib.suppress(InvalidYaml):
            document.load()
        assert 1 <= document.line_of(("spec", 0, "x")) <= lines
