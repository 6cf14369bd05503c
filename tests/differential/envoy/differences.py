"""Where meshproxy and Envoy differ on purpose, each with its reason. Whatever is not here must be equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.differential.envoy.observe import Headers, Seen


@dataclass(frozen=True)
class Difference:
    """A request of a case by its number, and what Envoy has that meshproxy leaves out."""

    case: str
    ask: int
    reason: str
    response_headers: Headers = ()

    def applied_to(self, envoys: Seen) -> Seen:
        """What meshproxy is to do, from what Envoy did."""
        left_out = set(self.response_headers)
        assert left_out <= set(envoys.headers), f"{self.case}: Envoy now does as meshproxy: drop this entry"
        headers = tuple(header for header in envoys.headers if header not in left_out)
        return Seen(envoys.status, headers, envoys.body, envoys.upstream)


OUTCOMES = [
    Difference(
        "upstreamheaders",
        3,
        "RFC 9110 7.6.1: what Connection nominates ends at the next hop",
        response_headers=(("x-hop", "1"),),
    ),
]

# Lines of the access log that are left out of the comparison, by a part of them.
LOG_LINES = {
    "path_normalization_failed": (
        "the path is logged as it was asked for, so that an attack can be seen; Envoy logs it half unescaped"
    ),
    "http1.unexpected_underscore": "the method, path and host were read and are logged; Envoy logs `-`",
}


def wanted(case: str, ask: int, envoys: Seen) -> Seen:
    """What meshproxy is to do where Envoy did this."""
    for difference in OUTCOMES:
        if (difference.case, difference.ask) == (case, ask):
            envoys = difference.applied_to(envoys)
    return envoys


def comparable(lines: Sequence[str]) -> list[str]:
    """The lines in an order of their own, without those that are meant to differ."""
    return sorted(line for line in lines if not any(part in line for part in LOG_LINES))
