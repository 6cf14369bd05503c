"""Fields that we read and keep, but that nothing acts on yet: each gives a warning where it is written.

A pattern is a path into the spec: `a[].b` goes through a list, `a{}.b` through a map, `a{x*}` names the
keys of a map that begin with x, and `=X` at the end restricts the pattern to that value. A feature that
gets implemented loses its line here in the same change; `tests/pilot/ingest/test_no_silent_field.py` finds
what is missing.
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
    "connectionPool.tcp.maxConnectionDuration",
    "outlierDetection.outlierDetectionHttpErrorCodes",
)
_WHOLE_POLICY = ("tunnel", "proxyProtocol", "retryBudget")
_POOL_HTTP2 = (
    "connectionPool.http.useClientProtocol",
    "connectionPool.http.h2UpgradePolicy=UPGRADE",
    "connectionPool.http.maxConcurrentStreams",
    "connectionPool.http.http2KeepAlive",
)


def _in_policies(blocks: tuple[str, ...], whole: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Where a DestinationRule may have them: for all, for a port, for a subset, for a subset's port."""
    per_policy = (*blocks, *(f"portLevelSettings[].{block}" for block in blocks), *whole)
    return tuple(
        f"{policy}.{pattern}"
        for policy in ("trafficPolicy", "subsets[].trafficPolicy")
        for pattern in per_policy
    )


_NOWHERE: Mapping[str, tuple[str, ...]] = {
    "VirtualService": (
        "http[].match[].headers{@request.auth.*}",
        "http[].match[].withoutHeaders{@request.auth.*}",
        "http[].retries.retryRemoteLocalities",
        "http[].fault.delay.exponentialDelay",
        "http[].fault.abort.http2Error",
        "tls[].match[].destinationSubnets",
        "tcp[].match[].destinationSubnets",
        "tcp[].match[].sourceSubnet",
    ),
    "DestinationRule": _in_policies(_POLICY_BLOCKS, _WHOLE_POLICY),
    "Gateway": (
        "servers[].defaultEndpoint",
        "servers[].port.targetPort",
        "servers[].tls.caCertCredentialName",
        "servers[].tls.caCrl",
        "servers[].tls.cipherSuites",
        "servers[].tls.insecureSkipVerify",
        "servers[].tls.mode=AUTO_PASSTHROUGH",
    ),
    "ServiceEntry": ("resolution=DYNAMIC_DNS", "endpoints[].network"),
    "WorkloadEntry": ("network",),
    "Service": ("trafficDistribution", "sessionAffinity=ClientIP", "publishNotReadyAddresses"),
    "MeshConfig": (
        "outboundTrafficPolicy",
        "defaultHttpRetryPolicy.retryRemoteLocalities",
        "protocolDetectionTimeout",
        "localityLbSetting",
        "meshId",
    ),
}
# Pilot translates these, but tells them to Envoy alone.
_NOT_IN_MESHPROXY: Mapping[str, tuple[str, ...]] = {
    "VirtualService": (
        "http[].corsPolicy",
        "http[].mirror",
        "http[].mirrors",
        "http[].mirrorPercentage",
        "http[].mirrorPercent",
        "http[].mirror_percent",
    ),
    "DestinationRule": _in_policies(_POOL_HTTP2),
    "MeshConfig": ("h2UpgradePolicy=UPGRADE",),
}
_STEP = re.compile(r"([A-Za-z0-9_]+)(\[\]|\{[^}]*\})?")


def unimplemented(kind: str, spec: Mapping[str, Any]) -> Iterator[Fault]:
    """One fault per place where a field without effect is given; paths are relative to the spec."""
    yield from _given(_NOWHERE.get(kind, ()), spec, "is not implemented yet and has no effect")
    alone = "is not implemented by meshproxy yet: it takes effect in Envoy alone"
    yield from _given(_NOT_IN_MESHPROXY.get(kind, ()), spec, alone)


def patterns(kind: str) -> tuple[str, ...]:
    """What `unimplemented` looks for in a kind."""
    return (*_NOWHERE.get(kind, ()), *_NOT_IN_MESHPROXY.get(kind, ()))


def _given(wanted: tuple[str, ...], spec: Mapping[str, Any], verdict: str) -> Iterator[Fault]:
    for pattern in wanted:
        path, _, only = pattern.partition("=")
        for at, value in _find(spec, _STEP.findall(path), ()):
            if not only or value == only:
                what = f"{at[-1]}: {only}" if only else str(at[-1])
                yield Fault(at, f"{what} {verdict}")


def _find(value: Any, steps: list[tuple[str, str]], at: Path) -> Iterator[tuple[Path, Any]]:
    """Every place in `value` that the pattern names and that says anything."""
    if not steps:
        yield at, value
        return
    (name, container), rest = steps[0], steps[1:]
    inner = value.get(name) if isinstance(value, Mapping) else None
    if inner is None or inner is False:
        return
    here: Path = (*at, name)
    if not container:
        yield from _find(inner, rest, here)
    elif isinstance(inner, list):
        for index, item in enumerate(inner):
            yield from _find(item, rest, (*here, index))
    elif isinstance(inner, Mapping):
        prefix = container.strip("{}").removesuffix("*")
        for key, item in inner.items():
            if str(key).startswith(prefix):
                yield from _find(item, rest, (*here, str(key)))
