"""Builds the mesh model from accepted objects and registered workloads. Pure; called anew for each change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec
from meshloom.pilot.model.base import Hostname, MeshObject
from meshloom.pilot.model.delegates import inline_delegates
from meshloom.pilot.model.destination_rule import DestinationRule
from meshloom.pilot.model.endpoints import declared_workloads, name_ports, select_endpoints
from meshloom.pilot.model.gateway import Gateway
from meshloom.pilot.model.kubernetes import (
    ConfigMap,
    Deployment,
    KubernetesNamespace,
    KubernetesService,
    Secret,
    ServiceAccount,
)
from meshloom.pilot.model.mesh import MeshModel, Service, Workload
from meshloom.pilot.model.mesh_config import MeshConfig
from meshloom.pilot.model.peer_authentication import PeerAuthentication
from meshloom.pilot.model.resolve import resolve_destination_rule, resolve_virtual_service
from meshloom.pilot.model.service_entry import ServiceEntry, WorkloadEntry
from meshloom.pilot.model.services import declare_services
from meshloom.pilot.model.virtual_service import VirtualService

Spec = (
    KubernetesService
    | Deployment
    | ServiceAccount
    | KubernetesNamespace
    | ConfigMap
    | Secret
    | VirtualService
    | DestinationRule
    | Gateway
    | ServiceEntry
    | WorkloadEntry
    | PeerAuthentication
    | MeshConfig
)
AnyObject = MeshObject[Spec]
T = TypeVar("T")


def build_model(
    objects: Iterable[AnyObject], workloads: Sequence[Workload] = (), domain: str = "cluster.local"
) -> MeshModel:
    """`objects` have unique keys; of MeshConfigs, younger fields win; `workloads` are the registered ones."""
    by_type = _group(objects)
    config = _overlaid([item.spec for item in _of(by_type, MeshConfig)])
    services = declare_services(_of(by_type, KubernetesService), _of(by_type, ServiceEntry), config, domain)
    deployments = _of(by_type, Deployment)
    everyone = (*name_ports(workloads, deployments), *declared_workloads(_of(by_type, WorkloadEntry)))
    rules = [resolve_virtual_service(rule, config, domain) for rule in _of(by_type, VirtualService)]
    return MeshModel(
        config=config,
        domain=domain,
        services=services,
        services_by_host=_by_host(services),
        workloads=everyone,
        endpoints=select_endpoints(services, _of(by_type, ServiceEntry), everyone),
        virtual_services=inline_delegates(rules),
        destination_rules=_rules_by_host(
            resolve_destination_rule(rule, config, domain) for rule in _of(by_type, DestinationRule)
        ),
        gateways=_of(by_type, Gateway),
        peer_authentications=_of(by_type, PeerAuthentication),
        deployments=deployments,
        service_accounts=_of(by_type, ServiceAccount),
        namespaces=_of(by_type, KubernetesNamespace),
        secrets={secret.key: secret for secret in _of(by_type, Secret)},
        config_maps={config_map.key: config_map for config_map in _of(by_type, ConfigMap)},
    )


def _overlaid(configs: Iterable[MeshConfig]) -> MeshConfig:
    """A field that a later one leaves at its default keeps what an earlier one said."""
    default = MeshConfig()
    said: dict[str, object] = {}
    for config in configs:
        for name in MeshConfig.__struct_fields__:
            if (value := getattr(config, name)) != getattr(default, name):
                said[name] = value
    return msgspec.structs.replace(default, **said)


def _group(objects: Iterable[AnyObject]) -> Mapping[type, list[AnyObject]]:
    groups: dict[type, list[AnyObject]] = defaultdict(list)
    for item in objects:
        groups[type(item.spec)].append(item)
    return groups


def _of(groups: Mapping[type, list[AnyObject]], spec: type[T]) -> tuple[MeshObject[T], ...]:
    """All objects with this spec, oldest first."""
    found = [item for item in groups.get(spec, ()) if isinstance(item.spec, spec)]
    return tuple(sorted(found, key=lambda item: item.age_order))  # type: ignore[arg-type]


def _by_host(services: Iterable[Service]) -> Mapping[Hostname, tuple[Service, ...]]:
    found: dict[Hostname, list[Service]] = defaultdict(list)
    for service in services:
        found[service.hostname].append(service)
    return {host: tuple(declared) for host, declared in found.items()}


def _rules_by_host(
    rules: Iterable[MeshObject[DestinationRule]],
) -> Mapping[Hostname, tuple[MeshObject[DestinationRule], ...]]:
    found: dict[Hostname, list[MeshObject[DestinationRule]]] = defaultdict(list)
    for rule in rules:
        found[Hostname(rule.spec.host)].append(rule)
    return {host: tuple(sorted(same, key=lambda rule: rule.age_order)) for host, same in found.items()}
