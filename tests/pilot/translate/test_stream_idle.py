"""Streams may idle for ever, as with Istio, but for those that strangers open at our own edge."""

from __future__ import annotations

from typing import Any

import pytest
from meshloom.pilot.translate.resource import TypeUrl

from tests.pilot.translate.mesh import gateway, resource, sidecar, translated
from tests.pilot.translate.test_golden import rules
from tests.pilot.translate.test_path_normalization import managers


def limits(snapshot: Any) -> set[str | None]:
    names = snapshot.of(TypeUrl.LISTENER).resources
    found = [resource(snapshot, TypeUrl.LISTENER, name) for name in names]
    return {manager.get("stream_idle_timeout") for manager in managers(found)}


@pytest.mark.parametrize(("own", "limit"), [(True, None), (False, "0s")], ids=["ours", "envoy"])
def test_an_edge_of_ours_keeps_its_limit(own: bool, limit: str | None) -> None:
    edge = gateway(port_map={443: 8443}, own_filters=own)
    assert limits(translated(edge, rules("gateway"))) == {limit}


@pytest.mark.parametrize("own", [True, False], ids=["ours", "envoy"])
def test_sidecars_have_none(own: bool) -> None:
    assert limits(translated(sidecar(own_filters=own))) == {"0s"}
