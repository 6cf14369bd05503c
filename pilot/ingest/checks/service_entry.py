"""ServiceEntry and WorkloadEntry: the rules of their schemas' CEL expressions and of Istio itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from meshloom.pilot.ingest.checks.shared import check_export_to, check_host, check_network, invalid
from meshloom.pilot.ingest.diagnostic import Fault, Path
from meshloom.pilot.model.protocol import Protocol, named_protocol
from meshloom.pilot.model.service_entry import Resolution, ServiceEntry, ServiceEntryPort, WorkloadEntry

_PORT_NAME = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?")
_UNIX = "unix://"
_NEEDS_NAMES = (Resolution.DNS, Resolution.DNS_ROUND_ROBIN)
_PROTOCOLS = "HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP or TLS"


def check_workload_entry(spec: WorkloadEntry) -> Iterator[Fault]:
    yield from _entry(spec, ())


def check_service_entry(spec: ServiceEntry) -> Iterator[Fault]:
    for index, host in enumerate(spec.hosts):
        at: Path = ("hosts", index)
        if host == "*":
            yield invalid(at, host, "hostname cannot be wildcard", "a name, or *.example.com")
        yield from check_host(host, at, ip_allowed=True)
    yield from _addresses(spec)
    yield from _ports(spec.ports)
    yield from _endpoints(spec)
    if spec.workload_selector:
        for name, value in spec.workload_selector.labels.items():
            if "*" in value:
                at = ("workloadSelector", "labels", name)
                yield invalid(at, value, "wildcard is not supported in selector")
    yield from check_export_to(spec.export_to, ("exportTo",))


def _addresses(spec: ServiceEntry) -> Iterator[Fault]:
    for index, address in enumerate(spec.addresses):
        yield from check_network(address, ("addresses", index))
    networks = any("/" in address for address in spec.addresses)
    if networks and spec.resolution not in (Resolution.NONE, Resolution.STATIC):
        reason = "CIDR addresses are allowed only for NONE/STATIC resolution types"
        yield invalid(("addresses",), list(spec.addresses), reason)


def _ports(ports: tuple[ServiceEntryPort, ...]) -> Iterator[Fault]:
    names: set[str] = set()
    numbers: set[int] = set()
    for index, port in enumerate(ports):
        at: Path = ("ports", index)
        if port.name in names:
            yield Fault(at, f'Duplicate value: {{"name":"{port.name}"}}')
        if port.number in numbers:
            yield invalid((*at, "number"), port.number, "port number cannot be duplicated")
        names.add(port.name)
        numbers.add(port.number)
        named = named_protocol(port.protocol) if port.protocol else Protocol.TCP
        if named is None or named is Protocol.UDP:
            yield Fault((*at, "protocol"), f'Unsupported value: "{port.protocol}"', f"use {_PROTOCOLS}")


def _endpoints(spec: ServiceEntry) -> Iterator[Fault]:
    at: Path = ("endpoints",)
    if spec.workload_selector is not None and spec.endpoints:
        yield Fault(at, "only one of WorkloadSelector or Endpoints can be set")
    if spec.endpoints and spec.resolution is Resolution.NONE:
        hint = "resolution: STATIC for IP addresses, DNS for names"
        yield Fault(at, "NONE mode cannot set endpoints", hint)
    if spec.resolution is Resolution.DNS_ROUND_ROBIN and len(spec.endpoints) > 1:
        yield Fault(at, "DNS_ROUND_ROBIN mode cannot have multiple endpoints", "use resolution: DNS")
    if spec.resolution in _NEEDS_NAMES and not spec.endpoints and not spec.workload_selector:
        for index, host in enumerate(spec.hosts):
            if "*" in host:
                mode = spec.resolution
                reason = f"hosts must be FQDN if no endpoints are provided for resolution mode {mode}"
                yield invalid(("hosts", index), host, reason)
    for index, endpoint in enumerate(spec.endpoints):
        yield from _entry(endpoint, (*at, index))
        yield from _port_names(spec, endpoint, (*at, index, "ports"))


def _port_names(spec: ServiceEntry, endpoint: WorkloadEntry, at: Path) -> Iterator[Fault]:
    known = [port.name for port in spec.ports]
    for name in endpoint.ports:
        if name not in known:
            reason = f"endpoint port {name} is not defined by the service entry"
            yield Fault((*at, name), reason, f"known: {', '.join(known)}" if known else "")


def _entry(entry: WorkloadEntry, at: Path) -> Iterator[Fault]:
    address = entry.address
    if address is None and entry.network is None:
        yield Fault((*at, "address"), "Address is required")
    if address is not None and address.startswith(_UNIX):
        yield from _unix(address.removeprefix(_UNIX), (*at, "address"))
        if entry.ports:
            yield Fault((*at, "ports"), "UDS may not include ports")
    for name in entry.ports:
        if len(name) >= 63 or not _PORT_NAME.fullmatch(name):
            yield invalid((*at, "ports"), name, "port name must be valid", "letters, digits and - inside")


def _unix(path: str, at: Path) -> Iterator[Fault]:
    if not path.startswith(("/", "@")):
        yield invalid(at, _UNIX + path, "UDS must be an absolute path or abstract socket")
    if path.endswith("/"):
        yield invalid(at, _UNIX + path, "UDS may not be a dir")
