"""Which Gateways a gateway workload serves."""

from __future__ import annotations

from collections.abc import Mapping

from meshloom.pilot.model.base import MeshObject, labels_match
from meshloom.pilot.model.gateway import Gateway
from meshloom.pilot.model.mesh import MeshModel


def gateways_for(model: MeshModel, labels: Mapping[str, str]) -> tuple[MeshObject[Gateway], ...]:
    """Gateways of every namespace whose selector picks a workload with `labels`, oldest first."""
    return tuple(gateway for gateway in model.gateways if labels_match(gateway.spec.selector, labels))
