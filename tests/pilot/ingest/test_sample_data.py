"""Istio's own samples and test data: what it accepts we accept, what it refuses we refuse with its words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from meshloom.pilot.ingest.documents import split_documents
from meshloom.pilot.ingest.parse import parse_text

from tests.pilot.ingest.documents import errors
from tests.support.shared import shared_data

OURS = ("destinationrule", "serviceentry", "workloadentry", "peerauth")


@pytest.fixture(scope="module")
def data() -> Path:
    return shared_data()


def sample_files(data: Path) -> Iterator[Path]:
    for folder in ("bookinfo/networking", "bookinfo/kube", "bookinfo/gateway-api", "samples"):
        yield from sorted((data / folder).rglob("*.yaml"))


def test_every_sample_is_accepted_unmodified(data: Path) -> None:
    faulty = {str(path): errors(parse_text(path.read_text(), path.name)) for path in sample_files(data)}
    assert {path: found for path, found in faulty.items() if found} == {}


def test_every_object_of_bookinfo_is_in_force(data: Path) -> None:
    files = [*(data / "bookinfo/networking").glob("*.yaml"), *(data / "bookinfo/kube").glob("*.yaml")]
    for path in files:
        held = {doc.load()["metadata"]["name"] for doc in split_documents(path.read_text())}
        parsed = parse_text(path.read_text(), path.name)
        foreign = {d.line for d in parsed.diagnostics if "unknown kind" in d.message}
        assert held == {a.object.name for a in parsed.accepted} or foreign, path


@pytest.mark.parametrize("kind", OURS)
def test_what_istio_accepts_is_accepted(data: Path, kind: str) -> None:
    parsed = parse_text((data / f"istio/api-testdata/{kind}-valid.yaml").read_text(), kind)
    assert errors(parsed) == []
    assert parsed.accepted


@pytest.mark.parametrize("kind", OURS)
def test_what_istio_refuses_is_refused_in_its_words(data: Path, kind: str) -> None:
    for document in split_documents((data / f"istio/api-testdata/{kind}-invalid.yaml").read_text()):
        expected = document.load()["_err"]
        text = re.sub(r"^_err:.*\n", "", document.text, flags=re.MULTILINE)
        parsed = parse_text(text, kind)
        said = [f"{d.path}: {d.message}" for d in errors(parsed)]
        assert any(expected in line for line in said), (expected, said)
        assert not parsed.accepted


def test_known_kinds_without_effect_yet_are_accepted_with_a_warning(data: Path) -> None:
    for path in sorted((data / "istio/api-testdata").glob("*-valid.yaml")):
        if path.name.split("-")[0] not in OURS:
            parsed = parse_text(path.read_text(), path.name)
            assert not parsed.has_errors
            assert all("not implemented yet" in d.message for d in parsed.diagnostics)
            assert len(parsed.diagnostics) == len(list(split_documents(path.read_text())))
