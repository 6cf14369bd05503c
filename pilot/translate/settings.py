"""What a translation depends on beside the model: constants of one Pilot."""

from __future__ import annotations

from dataclasses import dataclass

from meshloom.pilot.model.base import MeshObject
from meshloom.pilot.model.mesh import MeshModel
from meshloom.pilot.model.mesh_config import MeshConfig
from meshloom.pilot.model.peer_authentication import PeerAuthentication


@dataclass(frozen=True, slots=True)
class TranslateSettings:
    """`cluster_id` is what telemetry shows as the cluster of a workload."""

    cluster_id: str = "Kubernetes"


@dataclass(frozen=True, slots=True)
class MeshWide:
    """What any part of a translation may depend on: when it changes, nothing made before is reused."""

    settings: TranslateSettings
    config: MeshConfig
    peer_authentications: tuple[MeshObject[PeerAuthentication], ...]

    @classmethod
    def of(cls, model: MeshModel, settings: TranslateSettings) -> MeshWide:
        return cls(settings, model.config, model.peer_authentications)
