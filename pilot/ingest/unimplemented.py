"""Fields that we read and keep, but that nothing acts on yet: each gives a warning where it is written.

A pattern is a path into the spec: `a[].b` goes through a list, `a{}.b` through a map, and `=X` at the end
restricts it to that value. A feature that gets implemented loses its line here in the same change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from meshloom.pilot.ingest.diagnostic import Fault, Path

_POLICY_BLOCKS = (
    "loadBalancer.consistentHash",
    "loadBalancer.localityLbSetting",
    "loadBalancer.zoneAwareLbSetting",
    "loadBalancer.warmup",
    "loadBalancer.warmupDurationSecs",
    "loadBalancer.simple=PASSTHROUGH",
    "connectionPool.http.useClientProtocol",
    "connectionPool.http.h2UpgradePolicy",
    "outlierDetection",
)
_POLICY = (*_POLICY_BLOCKS, *(f"portLevelSettings[].{block}" for block in _POLICY_BLOCKS))
_WHOLE_POLICY = (*_POLICY, "tunnel", "proxyProtocol", "retryBudget")

_PATTERNS: Mapping[str, tuple[str, ...]] = {
    "VirtualService": (
        "http[].corsPolicy",
        "http[].mirror",
        "http[].mirrors",
        "http[].mirrorPercentage",
        "http[].mirrorPercent",
        "http[].mirror_percent",
        "http[].match[].statPrefix",
        "http[].retries.retryRemoteLocalities",
        "http[].fault.delay.exponentialDelay",
        "http[].fault.abort.http2Error",
    ),
    "DestinationRule": (
        *(f"trafficPolicy.{pattern}" for pattern in _WHOLE_POLICY),
        *(f"subsets[].trafficPolicy.{pattern}" for pattern in _WHOLE_POLICY),
    ),
    "Gateway": (
        "servers[].defaultEndpoint",
        "servers[].port.targetPort",
        "servers[].tls.caCrl",
        "servers[].tls.verifyCertificateSpki",
        "servers[].tls.verifyCertificateHash",
        "servers[].tls.insecureSkipVerify",
        "servers[].tls.mode=AUTO_PASSTHROUGH",
        "servers[].tls.mode=OPTIONAL_MUTUAL",
    ),
    "ServiceEntry": ("resolution=DYNAMIC_DNS", "endpoints[].network"),
    "WorkloadEntry": ("network",),
    "Service": ("trafficDistribution", "sessionAffinity=ClientIP"),
}
_STEP = re.compile(r"([A-Za-z0-9_]+)(\[\]|\{\})?")


def unimplemented(kind: str, spec: Mapping[str, Any]) -> Iterator[Fault]:
    """One fault per place where a field without effect is given; paths are relative to the spec."""
    for pattern in _PATTERNS.get(kind, ()):
        path, _, only = pattern.partition("=")
        steps = [(name, container) for name, container in _STEP.findall(path)]
        for at, value in _find(spec, steps, ()):
            if only and value != only:
                continue
            what = f"{at[-1]}: {only}" if only else str(at[-1])
            yield Fault(at, f"{what} is not implemented yet and has no effect")


def _find(value: Any, steps: list[tuple[str, str]], at: Path) -> Iterator[tuple[Path, Any]]:
    """Every place in `value` that the pattern names."""
    if not steps:
        yield at, value
        return
    (name, container), rest = steps[0], steps[1:]
    inner = value.get(name) if isinstance(value, Mapping) else None
    if inner is None:
        return
    here: Path = (*at, name)
    if container == "[]" and isinstance(inner, list):
        for index, item in enumerate(inner):
            yield from _find(item, rest, (*here, index))
    elif container == "{}" and isinstance(inner, Mapping):
        for key, item in inner.items():
            yield from _find(item, rest, (*here, str(key)))
    elif not container:
        yield from _find(inner, rest, here)
