"""Endpoints of a service's port, and of a subset of it."""

from __future__ import annotations

from collections.abc import Mapping

from meshloom.pilot.model.base import labels_match
from meshloom.pilot.model.mesh import Endpoint, MeshModel, Service, ServicePortKey


def endpoints_of(
    model: MeshModel, service: Service, port: int, subset: Mapping[str, str] | None = None
) -> tuple[Endpoint, ...]:
    """Every endpoint whose workload carries the subset's labels, whatever its health."""
    key = ServicePortKey(service.namespace, service.hostname, port)
    found = model.endpoints.get(key, ())
    if not subset:
        return found
    return tuple(endpoint for endpoint in found if labels_match(subset, endpoint.workload.labels))


def service_accounts_of(model: MeshModel, service: Service, port: int) -> tuple[str, ...]:
    """SPIFFE IDs that a client must expect behind this port, sorted, and the service entry's own names."""
    trust_domain = model.config.trust_domain
    found = {e.workload.spiffe_id(trust_domain) for e in endpoints_of(model, service, port)}
    return tuple(sorted(found | set(service.subject_alt_names)))
