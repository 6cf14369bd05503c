"""What objects say of each other that cannot be: services, ports, subsets and gateways that nobody declares.

All of it is a warning, since what is missing may come a moment later; until then traffic gets 503. Without
a single service there is nothing to compare with (a file of rules alone), and nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from meshloom.pilot.ingest.diagnostic import Diagnostic, Fault, Path, Severity
from meshloom.pilot.ingest.parse import Accepted
from meshloom.pilot.ingest.schema import nearest
from meshloom.pilot.model.base import Hostname, MeshObject, ObjectKey
from meshloom.pilot.model.build import build_model
from meshloom.pilot.model.destination_rule import DestinationRule
from meshloom.pilot.model.lookup.destination_rules import Client, destination_rule_for
from meshloom.pilot.model.lookup.visibility import find_service
from meshloom.pilot.model.mesh import EXPORT_ALL, MESH_GATEWAY, MeshModel, Service
from meshloom.pilot.model.resolve import resolve_destination_rule, resolve_virtual_service
from meshloom.pilot.model.virtual_service import Destination, VirtualService

Rule = MeshObject[VirtualService]


def analyse(accepted: Mapping[ObjectKey, Accepted], domain: str = "cluster.local") -> Iterator[Diagnostic]:
    """Warnings about `accepted`, taken as the whole configuration of a mesh."""
    model = build_model((item.object for item in accepted.values()), (), domain)
    if not model.services:
        return
    taken: dict[Hostname, Rule] = {}
    for item in sorted(accepted.values(), key=lambda item: item.object.age_order):
        for fault in _faults(model, item.object, taken):
            yield item.place.diagnose(fault.under(("spec",)), Severity.WARNING, item.object.key)


def _faults(model: MeshModel, item: MeshObject[object], taken: dict[Hostname, Rule]) -> Iterator[Fault]:
    match item:
        case MeshObject(spec=VirtualService()):
            rule: Rule = resolve_virtual_service(item, model.config, model.domain)  # type: ignore[arg-type]
            yield from _gateways(model, rule)
            yield from _hosts(rule, taken)
            for at, destination in _destinations(rule.spec):
                yield from _destination(model, rule, destination, at)
        case MeshObject(spec=DestinationRule()):
            resolved = resolve_destination_rule(item, model.config, model.domain)  # type: ignore[arg-type]
            host = Hostname(resolved.spec.host)
            if not host.startswith("*") and host not in model.services_by_host:
                yield _unknown_host(model, host, ("host",))


def _gateways(model: MeshModel, rule: Rule) -> Iterator[Fault]:
    known = {f"{gateway.namespace}/{gateway.name}" for gateway in model.gateways}
    for index, name in enumerate(rule.spec.gateways):
        if name != MESH_GATEWAY and name not in known:
            hint = _likely(name, list(known))
            yield Fault(("gateways", index), f'no Gateway "{name}" is declared', hint)


def _hosts(rule: Rule, taken: dict[Hostname, Rule]) -> Iterator[Fault]:
    """Sidecars follow one rule per host, the oldest (semantics 8). Rules are visited oldest first."""
    if MESH_GATEWAY not in rule.spec.gateways or rule.spec.export_to != (EXPORT_ALL,):
        return
    for index, name in enumerate(rule.spec.hosts):
        older = taken.setdefault(Hostname(name), rule)
        if older is not rule:
            which = f"{older.key} ({older.origin})"
            yield Fault(
                ("hosts", index), f"sidecars follow {which} for {name}, which is older", "merge the two"
            )


def _destinations(spec: VirtualService) -> Iterator[tuple[Path, Destination]]:
    for index, http in enumerate(spec.http):
        at: Path = ("http", index)
        for number, weighted in enumerate(http.route):
            yield (*at, "route", number, "destination"), weighted.destination
        if http.mirror is not None:
            yield (*at, "mirror"), http.mirror
        for number, mirror in enumerate(http.mirrors):
            yield (*at, "mirrors", number, "destination"), mirror.destination
    opaque = [*((("tls", i), tls.route) for i, tls in enumerate(spec.tls))]
    opaque += [*((("tcp", i), tcp.route) for i, tcp in enumerate(spec.tcp))]
    for (layer, index), route in opaque:
        for number, share in enumerate(route):
            yield (layer, index, "route", number, "destination"), share.destination


def _destination(model: MeshModel, rule: Rule, to: Destination, at: Path) -> Iterator[Fault]:
    host = Hostname(to.host)
    service = find_service(model, host, rule.namespace)
    if service is None:
        yield _unknown_host(model, host, (*at, "host"))
        return
    yield from _port(service, to, at)
    if to.subset is None:
        return
    found = destination_rule_for(model, service, Client(rule.namespace))
    if found is None or found.subset(to.subset) is None:
        known = [subset.name for subset in found.subsets] if found else []
        reason = f'no DestinationRule defines subset "{to.subset}" of {host}: requests to it get 503'
        yield Fault((*at, "subset"), reason, nearest(to.subset, known))


def _port(service: Service, to: Destination, at: Path) -> Iterator[Fault]:
    known = ", ".join(str(port.number) for port in service.ports)
    if to.port is not None and service.port(to.port.number) is None:
        reason = f"{service.hostname} has no port {to.port.number}: requests to it get 503"
        yield Fault((*at, "port", "number"), reason, f"known: {known}" if known else "")
    elif to.port is None and len(service.ports) > 1:
        yield Fault(at, f"{service.hostname} has several ports ({known})", "say which: port: {number: ...}")


def _unknown_host(model: MeshModel, host: Hostname, at: Path) -> Fault:
    reason = f'no service "{host}" is declared where this rule can see it'
    return Fault(at, reason, _likely(host, list(model.services_by_host)))


def _likely(name: str, known: list[str]) -> str:
    hint = nearest(name, known)
    return hint if hint.startswith("did") else ""
