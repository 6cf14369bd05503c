"""Fields that we read and keep, but that nothing acts on yet: each gives a warning where it is written.

A pattern is a path into the spec: `a[].b` goes through a list, `a{}.b` through a map, `a{x*}` names the
keys of a map that begin with x, and `=X` at the end restricts the pattern to that value. A feature that
gets implemented loses its line here in the same change; `tests/pilot/ingest/test_no_silent_field.py` finds
what is missing.
"""

from __future__ import annotations

import functools
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
}
_NO_EFFECT = "is not implemented yet and has no effect"
_ENVOY_ALONE = "is not implemented by meshproxy yet: it takes effect in Envoy alone"
_STEP = re.compile(r"([A-Za-z0-9_]+)(\[\]|\{[^}]*\})?")


def unimplemented(kind: str, spec: Mapping[str, Any]) -> Iterator[Fault]:
    """One fault per place where a field without effect is given; paths are relative to the spec."""
    return _find(spec, _tree(kind), ())


def patterns(kind: str) -> tuple[str, ...]:
    """What `unimplemented` looks for in a kind."""
    return (*_NOWHERE.get(kind, ()), *_NOT_IN_MESHPROXY.get(kind, ()))


class _Node:
    """Patterns with a common beginning. `verdicts` hold what to say of a value, and of which one only."""

    def __init__(self) -> None:
        self.children: dict[str, dict[str, _Node]] = {}
        self.verdicts: list[tuple[str, str]] = []

    def add(self, pattern: str, verdict: str) -> None:
        path, _, only = pattern.partition("=")
        node = self
        for name, container in _STEP.findall(path):
            node = node.children.setdefault(name, {}).setdefault(container, _Node())
        node.verdicts.append((only, verdict))


@functools.cache
def _tree(kind: str) -> _Node:
    root = _Node()
    for pattern in _NOWHERE.get(kind, ()):
        root.add(pattern, _NO_EFFECT)
    for pattern in _NOT_IN_MESHPROXY.get(kind, ()):
        root.add(pattern, _ENVOY_ALONE)
    return root


def _find(value: Any, node: _Node, at: Path) -> Iterator[Fault]:
    """Every place in `value` that a pattern names and that says anything."""
    for only, verdict in node.verdicts:
        if not only or value == only:
            what = f"{at[-1]}: {only}" if only else str(at[-1])
            yield Fault(at, f"{what} {verdict}")
    if not node.children or not isinstance(value, Mapping):
        return
    for name, inner in value.items():
        if name in node.children and inner is not None and inner is not False:
            for container, child in node.children[name].items():
                for step, item in _items(inner, container):
                    yield from _find(item, child, (*at, name, *step))


def _items(value: Any, container: str) -> Iterator[tuple[Path, Any]]:
    """What a step leads to: the value itself, a list's items, or those of a map whose keys fit."""
    if not container:
        yield (), value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield (index,), item
    elif isinstance(value, Mapping):
        prefix = container.strip("{}").removesuffix("*")
        for key, item in value.items():
            if str(key).startswith(prefix):
                yield (str(key),), item
