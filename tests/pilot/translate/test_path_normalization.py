"""Istio's four ways to normalise paths, as fields of every HTTP connection manager (features S-17)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from meshloom.pilot.translate.resource import TypeUrl

from tests.pilot.translate.mesh import resource, sidecar, translated


def mesh_config(normalization: str) -> str:
    return f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: istio, namespace: istio-system}}
data:
  mesh: |
    pathNormalization: {{normalization: {normalization}}}
"""


def managers(tree: Any) -> Iterator[dict[str, Any]]:
    """Every connection manager in a resource as JSON."""
    if isinstance(tree, dict):
        if str(tree.get("@type", "")).endswith(".HttpConnectionManager"):
            yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for branch in tree:
            yield from managers(branch)


@pytest.mark.parametrize(
    ("normalization", "fields"),
    [
        ("NONE", (False, False, "KEEP_UNCHANGED")),
        ("BASE", (True, False, "KEEP_UNCHANGED")),
        ("DEFAULT", (True, False, "KEEP_UNCHANGED")),
        ("MERGE_SLASHES", (True, True, "KEEP_UNCHANGED")),
        ("DECODE_AND_MERGE_SLASHES", (True, True, "UNESCAPE_AND_FORWARD")),
    ],
)
def test_paths_are_normalised_as_the_mesh_says(normalization: str, fields: tuple[bool, bool, str]) -> None:
    snapshot = translated(sidecar(), mesh_config(normalization))
    names = snapshot.of(TypeUrl.LISTENER).resources
    listeners = [resource(snapshot, TypeUrl.LISTENER, name) for name in names]
    found = {
        (
            manager["normalize_path"],
            manager.get("merge_slashes", False),
            manager["path_with_escaped_slashes_action"],
        )
        for manager in managers(listeners)
    }
    assert found == {fields}
