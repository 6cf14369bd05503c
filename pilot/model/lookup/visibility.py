"""Who sees which service (semantics 46, 47). Without Sidecar objects every proxy imports all it may see."""

from __future__ import annotations

from collections.abc import Collection

from meshloom.pilot.model.base import Hostname, Namespace
from meshloom.pilot.model.mesh import EXPORT_ALL, MeshModel, Registry, Service


def is_exported(export_to: Collection[str], viewer: Namespace) -> bool:
    """Whether something with this (resolved) export list may be seen from `viewer`."""
    return EXPORT_ALL in export_to or viewer in export_to


def visible_services(model: MeshModel, viewer: Namespace) -> tuple[Service, ...]:
    """One service per host name, as a proxy in `viewer` sees the mesh; in the order of host names."""
    found = (find_service(model, hostname, viewer) for hostname in sorted(model.services_by_host))
    return tuple(service for service in found if service is not None)


def find_service(model: MeshModel, hostname: Hostname, viewer: Namespace) -> Service | None:
    """The declaration of `hostname` that counts in `viewer`: its own, the platform's, or the oldest."""
    visible = [s for s in model.services_by_host.get(hostname, ()) if is_exported(s.export_to, viewer)]
    return min(
        visible,
        key=lambda s: (s.namespace != viewer, s.registry is not Registry.KUBERNETES, s.age_order),
        default=None,
    )
