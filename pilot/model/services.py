"""Services from what declares them: Kubernetes Services and ServiceEntries."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from meshloom.pilot.model.base import Hostname, MeshObject, Namespace
from meshloom.pilot.model.kubernetes import KubernetesService, KubernetesServicePort
from meshloom.pilot.model.mesh import Registry, Service, ServicePort
from meshloom.pilot.model.mesh_config import MeshConfig
from meshloom.pilot.model.protocol import choose_protocol, named_protocol
from meshloom.pilot.model.resolve import resolve_export_to
from meshloom.pilot.model.service_entry import Location, Resolution, ServiceEntry, ServiceEntryPort

EXPORT_TO_ANNOTATION = "networking.istio.io/exportTo"


def declare_services(
    platform: Sequence[MeshObject[KubernetesService]],
    entries: Sequence[MeshObject[ServiceEntry]],
    config: MeshConfig,
    domain: str,
) -> tuple[Service, ...]:
    """Every declared service. An entry for a platform service's host only adds its subjectAltNames to it."""
    services = {s.hostname: s for s in (_platform_service(item, config, domain) for item in platform)}
    declared: list[Service] = []
    for entry in entries:
        for host in entry.spec.hosts:
            known = services.get(Hostname(host))
            if known is None:
                declared.append(_entry_service(entry, Hostname(host), config))
                continue
            names = dict.fromkeys((*known.subject_alt_names, *entry.spec.subject_alt_names))
            services[known.hostname] = msgspec.structs.replace(known, subject_alt_names=tuple(names))
    return (*services.values(), *declared)


def service_hostname(name: str, namespace: Namespace, domain: str) -> Hostname:
    return Hostname(f"{name}.{namespace}.svc.{domain}")


def _platform_service(item: MeshObject[KubernetesService], config: MeshConfig, domain: str) -> Service:
    spec = item.spec
    external = spec.type == "ExternalName"
    headless = spec.cluster_ip == "None"
    listed = item.annotations.get(EXPORT_TO_ANNOTATION, "")
    export_to = [entry.strip() for entry in listed.split(",") if entry.strip()]
    return Service(
        hostname=service_hostname(item.name, item.namespace, domain),
        name=item.name,
        namespace=item.namespace,
        ports=tuple(_platform_port(port) for port in spec.ports),
        key=item.key,
        origin=item.origin,
        registry=Registry.KUBERNETES,
        resolution=Resolution.DNS if external else Resolution.NONE if headless else Resolution.STATIC,
        location=Location.MESH_EXTERNAL if external else Location.MESH_INTERNAL,
        export_to=frozenset(resolve_export_to(export_to, item.namespace, config.default_service_export_to)),
        selector=spec.selector or None,
        addresses=_virtual_addresses(spec),
        headless=headless,
        alias_of=Hostname(spec.external_name) if external and spec.external_name else None,
        labels=item.labels,
        annotations=item.annotations,
        created=item.created,
    )


def _virtual_addresses(spec: KubernetesService) -> tuple[str, ...]:
    given = dict.fromkeys((spec.cluster_ip, *spec.cluster_ips))
    return tuple(address for address in given if address and address != "None")


def _platform_port(port: KubernetesServicePort) -> ServicePort:
    return ServicePort(
        number=port.port,
        name=port.name or "",
        protocol=choose_protocol(port.port, port.name, port.app_protocol, port.protocol),
        target_port=port.target_port,
    )


def _entry_service(entry: MeshObject[ServiceEntry], host: Hostname, config: MeshConfig) -> Service:
    spec = entry.spec
    default = config.default_service_export_to
    return Service(
        hostname=host,
        name=entry.name,
        namespace=entry.namespace,
        ports=tuple(_entry_port(port) for port in spec.ports),
        key=entry.key,
        origin=entry.origin,
        registry=Registry.SERVICE_ENTRY,
        resolution=spec.resolution,
        location=spec.location,
        export_to=frozenset(resolve_export_to(spec.export_to, entry.namespace, default)),
        selector=spec.workload_selector.labels if spec.workload_selector else None,
        addresses=spec.addresses,
        subject_alt_names=spec.subject_alt_names,
        labels=entry.labels,
        annotations=entry.annotations,
        created=entry.created,
    )


def _entry_port(port: ServiceEntryPort) -> ServicePort:
    named = named_protocol(port.protocol) if port.protocol else None
    return ServicePort(
        number=port.number,
        name=port.name,
        protocol=named or choose_protocol(port.number, port.name),
        target_port=port.target_port,
    )
