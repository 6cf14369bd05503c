"""Which VirtualService counts for a host, in the mesh and on a gateway (semantics 1, 8)."""

from __future__ import annotations

from collections.abc import Mapping

from meshloom.pilot.model.base import Hostname, MeshObject, Namespace, Value
from meshloom.pilot.model.gateway import Gateway, Server
from meshloom.pilot.model.hosts import host_matches, intersect_hosts
from meshloom.pilot.model.lookup.visibility import is_exported
from meshloom.pilot.model.mesh import MESH_GATEWAY, MeshModel
from meshloom.pilot.model.virtual_service import VirtualService

Rule = MeshObject[VirtualService]


def mesh_virtual_services(model: MeshModel, viewer: Namespace) -> tuple[Rule, ...]:
    """Rules that sidecars in `viewer` follow, oldest first."""
    return _bound(model, MESH_GATEWAY, viewer)


class HostIndex(Value, frozen=True):
    """Rules by host, for many questions from one namespace. `wildcards` are sorted, the longest first."""

    exact: Mapping[str, Rule]
    wildcards: tuple[tuple[str, Rule], ...]

    def find(self, host: str) -> Rule | None:
        """The one rule to follow for `host`: the most specific of the rules' hosts, then the oldest rule."""
        lowered = host.lower()
        if (rule := self.exact.get(lowered)) is not None:
            return rule
        return next((rule for pattern, rule in self.wildcards if host_matches(pattern, lowered)), None)


def mesh_host_index(model: MeshModel, viewer: Namespace) -> HostIndex:
    """What sidecars in `viewer` follow, indexed by host."""
    exact: dict[str, Rule] = {}
    wildcards: dict[str, Rule] = {}
    for rule in mesh_virtual_services(model, viewer):
        for host in rule.spec.hosts:
            (wildcards if host.startswith("*") else exact).setdefault(host.lower(), rule)
    return HostIndex(exact, tuple(sorted(wildcards.items(), key=lambda item: -len(item[0]))))


def virtual_service_for(model: MeshModel, host: Hostname, viewer: Namespace) -> Rule | None:
    """The one rule that sidecars in `viewer` follow for `host`; ask the index when asking for many hosts."""
    return mesh_host_index(model, viewer).find(host)


def gateway_virtual_services(
    model: MeshModel, gateway: MeshObject[Gateway], viewer: Namespace
) -> tuple[Rule, ...]:
    """Rules bound to `gateway` that its workloads in `viewer` may see, oldest first."""
    return _bound(model, f"{gateway.namespace}/{gateway.name}", viewer)


def server_hosts(gateway: MeshObject[Gateway], server: Server, rule: Rule) -> tuple[Hostname, ...]:
    """Hosts for which `server` follows `rule`: what both name, in its narrower form, in the rule's order."""
    found: dict[Hostname, None] = {}
    for host in rule.spec.hosts:
        for entry in server.hosts:
            namespace, _, pattern = entry.rpartition("/")
            namespace = gateway.namespace if namespace == "." else namespace
            if namespace not in ("", "*", rule.namespace):
                continue
            if (common := intersect_hosts(pattern, host)) is not None:
                found[common] = None
    return tuple(found)


def _bound(model: MeshModel, gateway: str, viewer: Namespace) -> tuple[Rule, ...]:
    return tuple(
        rule
        for rule in model.virtual_services
        if gateway in rule.spec.gateways and is_exported(rule.spec.export_to, viewer)
    )
