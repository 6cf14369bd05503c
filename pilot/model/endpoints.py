"""Chooses the endpoints of every service port (semantics 48, features D-04..D-08)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from meshloom.pilot.model.base import Labels, MeshObject, Namespace, ObjectKey, labels_match
from meshloom.pilot.model.kubernetes import Deployment
from meshloom.pilot.model.mesh import (
    Endpoint,
    Service,
    ServicePort,
    ServicePortKey,
    TlsMode,
    Workload,
    WorkloadPort,
)
from meshloom.pilot.model.service_entry import Resolution, ServiceEntry, WorkloadEntry

UNIX_PREFIX = "unix://"
TLS_MODE_LABEL = "security.istio.io/tlsMode"
_DNS = (Resolution.DNS, Resolution.DNS_ROUND_ROBIN)


def declared_workloads(entries: Iterable[MeshObject[WorkloadEntry]]) -> Iterator[Workload]:
    """The workloads that WorkloadEntry objects name; one without an address cannot be reached from here."""
    for entry in entries:
        if entry.spec.address:
            yield workload_of(entry.spec, entry)


def name_ports(
    workloads: Iterable[Workload], deployments: Iterable[MeshObject[Deployment]]
) -> Iterator[Workload]:
    """Registered workloads with the port names that their Deployment gives, which a targetPort may use."""
    names = {
        (item.namespace, item.name): {
            port.container_port: port.name or ""
            for container in item.spec.template.spec.containers
            for port in container.ports
        }
        for item in deployments
    }
    for workload in workloads:
        known = names.get((workload.namespace, workload.owner))
        if not known:
            yield workload
            continue
        named = {port.number: port.name or known.get(port.number, "") for port in workload.ports}
        missing = {number: name for number, name in known.items() if number not in named}
        ports = tuple(WorkloadPort(number, name) for number, name in (named | missing).items())
        yield msgspec.structs.replace(workload, ports=ports)


def workload_of(spec: WorkloadEntry, at: MeshObject[WorkloadEntry] | MeshObject[ServiceEntry]) -> Workload:
    """The workload that an entry describes; with a service account it is taken to serve mutual TLS."""
    labels = {**at.labels, **spec.labels} if isinstance(at.spec, WorkloadEntry) else spec.labels
    tls = labels.get(TLS_MODE_LABEL, TlsMode.ISTIO if spec.service_account else TlsMode.DISABLED)
    return Workload(
        name=at.name,
        namespace=at.namespace,
        address=spec.address or "",
        labels=labels,
        entry_ports=spec.ports,
        service_account=spec.service_account or "default",
        owner=at.name,
        locality=spec.locality or "",
        weight=spec.weight or 0,
        tls_mode=TlsMode.ISTIO if tls == TlsMode.ISTIO else TlsMode.DISABLED,
        network=spec.network or "",
        origin=at.origin,
    )


def select_endpoints(
    services: Iterable[Service], entries: Sequence[MeshObject[ServiceEntry]], workloads: Iterable[Workload]
) -> Mapping[ServicePortKey, tuple[Endpoint, ...]]:
    """Every port of every service has a key, with no endpoints where nothing serves it."""
    index = _LabelIndex(workloads)
    by_key: dict[ObjectKey, MeshObject[ServiceEntry]] = {entry.key: entry for entry in entries}
    chosen: dict[ServicePortKey, tuple[Endpoint, ...]] = {}
    for service in services:
        serving = _serving(service, by_key.get(service.key), index)
        for port in service.ports:
            key = ServicePortKey(service.namespace, service.hostname, port.number)
            chosen[key] = tuple(_at_port(service, port, serving))
    return chosen


class _LabelIndex:
    """Workloads by namespace and by each of their labels: selecting looks at the fewest it can."""

    def __init__(self, workloads: Iterable[Workload]) -> None:
        self._all: dict[Namespace, list[Workload]] = defaultdict(list)
        self._by_label: dict[tuple[Namespace, str, str], list[Workload]] = defaultdict(list)
        for workload in workloads:
            self._all[workload.namespace].append(workload)
            for name, value in workload.labels.items():
                self._by_label[workload.namespace, name, value].append(workload)

    def select(self, namespace: Namespace, selector: Labels) -> list[Workload]:
        """In the order in which the workloads were given."""
        candidates = [self._by_label.get((namespace, *pair), []) for pair in selector.items()]
        fewest = min(candidates, key=len) if candidates else self._all.get(namespace, [])
        return [workload for workload in fewest if labels_match(selector, workload.labels)]


def _serving(service: Service, entry: MeshObject[ServiceEntry] | None, index: _LabelIndex) -> list[Workload]:
    """The workloads behind a service, each once."""
    if service.alias_of:
        return [_external(service, service.alias_of)]
    if service.selector is not None:
        return index.select(service.namespace, service.selector)
    if entry is None:
        return []
    if entry.spec.endpoints:
        return [workload_of(listed, entry) for listed in entry.spec.endpoints if listed.address]
    if service.resolution in _DNS and not service.hostname.startswith("*"):
        return [_external(service, service.hostname)]
    return []


def _external(service: Service, address: str) -> Workload:
    return Workload(name=service.name, namespace=service.namespace, address=address, origin=service.origin)


def _at_port(service: Service, port: ServicePort, serving: Iterable[Workload]) -> Iterator[Endpoint]:
    for found in serving:
        workload = _without_mesh_tls(found) if service.mesh_external else found
        if workload.address.startswith(UNIX_PREFIX):
            yield Endpoint(workload.address, 0, workload)
        elif (number := _target(port, workload)) is not None:
            yield Endpoint(workload.address, number, workload)


def _without_mesh_tls(workload: Workload) -> Workload:
    """No mutual TLS outside the mesh, whatever an entry's labels say."""
    if workload.tls_mode is TlsMode.DISABLED:
        return workload
    return msgspec.structs.replace(workload, tls_mode=TlsMode.DISABLED)


def _target(port: ServicePort, workload: Workload) -> int | None:
    """The number served on `workload`; None where it has no port of the target's name."""
    if (mapped := workload.entry_ports.get(port.name)) is not None:
        return mapped
    match port.target_port:
        case int(number):
            return number or port.number
        case str(name) if name.isdigit():
            return int(name)
        case str(name):
            return next((p.number for p in workload.ports if p.name == name), None)
        case None:
            return port.number
