"""Destinations and weights, which every kind of route has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshloom.pilot.ingest.checks.shared import check_host, invalid
from meshloom.pilot.ingest.diagnostic import Fault, Path
from meshloom.pilot.model.virtual_service import Destination


def check_destination(destination: Destination, at: Path) -> Iterator[Fault]:
    if destination.host == "*":
        yield invalid((*at, "host"), "*", "invalid destination host *")
    yield from check_host(destination.host, (*at, "host"), ip_allowed=True)


def check_weights(weights: Sequence[int], at: Path) -> Iterator[Fault]:
    """Relative, any sum; one destination always gets all."""
    for index, weight in enumerate(weights):
        if weight < 0:
            yield invalid((*at, index, "weight"), weight, "weight cannot be negative")
    if len(weights) > 1 and sum(weights) == 0:
        yield Fault(at, "total destination weight = 0", "give each destination its share as weight")
