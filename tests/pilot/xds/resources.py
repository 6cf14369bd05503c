"""Small snapshots for protocol tests: a cluster, its endpoints, a listener and the route that leads there."""

from __future__ import annotations

from collections.abc import Iterable

from meshloom.pilot.translate.resource import NO_RESOURCES, Resource, ResourceSet, TypeUrl
from meshloom.pilot.translate.snapshot import Snapshot


def made(type_url: TypeUrl, name: str, content: str = "", refers: Iterable[str] = ()) -> Resource:
    """`content` stands for what the resource says; two with the same are equal."""
    return Resource.of_bytes(name, type_url, f"{name}={content}".encode(), tuple(refers))


def snapshot(
    clusters: Iterable[str] = ("a",),
    route: str = "to a",
    endpoints: str = "1",
    listeners: Iterable[str] = ("l",),
) -> Snapshot:
    """A cluster `name@content` has that content; each has endpoints. Listeners share the route `r`."""
    named = {name: content for name, _, content in (each.partition("@") for each in clusters)}
    return Snapshot.build(
        {
            TypeUrl.CLUSTER: ResourceSet.of(made(TypeUrl.CLUSTER, n, c, [n]) for n, c in named.items()),
            TypeUrl.ENDPOINT: ResourceSet.of(made(TypeUrl.ENDPOINT, n, endpoints) for n in named),
            TypeUrl.SECRET: NO_RESOURCES,
            TypeUrl.LISTENER: ResourceSet.of(made(TypeUrl.LISTENER, n, "", ["r"]) for n in listeners),
            TypeUrl.ROUTE: ResourceSet.of([made(TypeUrl.ROUTE, "r", route)]),
        }
    )
