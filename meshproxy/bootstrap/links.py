"""What static resources say of each other: named clusters and secrets, shared addresses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from meshloom.meshproxy.bootstrap.document import FieldPath
from meshloom.meshproxy.bootstrap.faults import Fault, nearest
from meshloom.meshproxy.resources.compiled import Compiled
from meshloom.meshproxy.resources.protos import CLUSTER, LISTENER, parse
from meshloom.meshproxy.resources.references import SDS_SECRET, parts

_MANAGER = "HttpConnectionManager"


def unknown_clusters(static: Any) -> Iterator[Fault]:
    """Routes to clusters that are not in the file, as far as the route table does not allow it."""
    known = {cluster.name for cluster in static.clusters}
    for at, manager in _managers(static):
        table = manager.route_config
        if table.HasField("validate_clusters") and not table.validate_clusters.value:
            continue
        for path, name in _named(table):
            if name not in known:
                yield Fault(
                    (*at, "route_config", *path), f"there is no cluster {name!r}{nearest(name, known)}"
                )


def shared_addresses(static: Any, compiled: Sequence[Compiled]) -> Iterator[Fault]:
    """Listeners that would bind what another one binds; port 0 is a new port each time."""
    owners: dict[tuple[str, int], str] = {}
    indexes = {raw.name: index for index, raw in enumerate(static.listeners)}
    for one in compiled:
        if one.type_url != LISTENER:
            continue
        for listen in one.listen:
            place = (listen["address"], listen["port"])
            owner = owners.setdefault(place, one.name)
            if owner != one.name and (listen["port"] or not listen["address"][:1].isalnum()):
                where = f"{place[0]}:{place[1]}" if place[1] else place[0]
                at: FieldPath = ("static_resources", "listeners", indexes.get(one.name, 0), "address")
                yield Fault(at, f"{where} is also the address of listener {owner!r}")


def unknown_secrets(static: Any, compiled: Sequence[Compiled]) -> Iterator[Fault]:
    """Secrets that are named without a source, so they would have to be in the file."""
    known = {secret.name for secret in static.secrets}
    places = {LISTENER: ("listeners", static.listeners), CLUSTER: ("clusters", static.clusters)}
    for one in compiled:
        if one.type_url not in places:
            continue
        field, resources = places[one.type_url]
        index = next((n for n, raw in enumerate(resources) if raw.name == one.name), 0)
        for wanted in parts(one.type_url, one.body, SDS_SECRET):
            if not wanted.HasField("sds_config") and wanted.name not in known:
                reason = f"there is no secret {wanted.name!r} in static_resources.secrets"
                yield Fault(("static_resources", field, index), reason + nearest(wanted.name, known))


def _managers(static: Any) -> Iterator[tuple[FieldPath, Any]]:
    for number, listener in enumerate(static.listeners):
        at: FieldPath = ("static_resources", "listeners", number)
        chains = [((*at, "filter_chains", i), chain) for i, chain in enumerate(listener.filter_chains)]
        for where, chain in [*chains, ((*at, "default_filter_chain"), listener.default_filter_chain)]:
            for index, network_filter in enumerate(chain.filters):
                packed = network_filter.typed_config
                if packed.type_url.endswith(f".{_MANAGER}"):
                    yield (
                        (*where, "filters", index, "typed_config"),
                        parse(packed.type_url, packed.value),
                    )


def _named(table: Any) -> Iterator[tuple[FieldPath, str]]:
    for number, host in enumerate(table.virtual_hosts):
        for index, entry in enumerate(host.routes):
            at: FieldPath = ("virtual_hosts", number, "routes", index, "route")
            kind = entry.route.WhichOneof("cluster_specifier")
            if kind == "cluster":
                yield (*at, "cluster"), entry.route.cluster
            elif kind == "weighted_clusters":
                for i, part in enumerate(entry.route.weighted_clusters.clusters):
                    if part.name:
                        yield (*at, "weighted_clusters", "clusters", i, "name"), part.name
