"""Inlines delegate VirtualServices into the rules that point at them (feature TM-20, semantics 16).

A root route with `delegate` is replaced by the delegate's routes, each narrowed by the root's match. A
delegate block that contradicts every root block drops its route. What a delegate's route leaves unset it
takes from the root.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from meshloom.pilot.model.base import MeshObject, ObjectKey
from meshloom.pilot.model.lookup.visibility import is_exported
from meshloom.pilot.model.virtual_service import HttpMatch, HttpRoute, StringMatch, VirtualService

Rule = MeshObject[VirtualService]
_INHERITED = (
    "rewrite",
    "timeout",
    "retries",
    "fault",
    "mirror",
    "mirrors",
    "mirror_percentage",
    "mirror_percent",
    "mirror_percent_snake",
    "cors_policy",
    "headers",
)
_STRING_MATCHES = ("uri", "scheme", "method", "authority")
_MAPS = ("headers", "without_headers", "query_params", "source_labels")
_SCALARS = ("port", "source_namespace", "stat_prefix")


def inline_delegates(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Rules with hosts, oldest first as given; delegates (which have none) are gone."""
    delegates = {rule.key: rule for rule in rules if not rule.spec.hosts}
    return tuple(_inline(rule, delegates) for rule in rules if rule.spec.hosts)


def _inline(root: Rule, delegates: Mapping[ObjectKey, Rule]) -> Rule:
    if not any(route.delegate for route in root.spec.http):
        return root
    http = tuple(merged for route in root.spec.http for merged in _expand(root, route, delegates))
    return msgspec.structs.replace(root, spec=msgspec.structs.replace(root.spec, http=http))


def _expand(root: Rule, route: HttpRoute, delegates: Mapping[ObjectKey, Rule]) -> Iterator[HttpRoute]:
    if route.delegate is None:
        yield route
        return
    namespace = route.delegate.namespace or root.namespace
    delegate = delegates.get(ObjectKey("VirtualService", namespace, route.delegate.name or ""))
    if delegate is None or not is_exported(delegate.spec.export_to, root.namespace):
        return
    for inner in delegate.spec.http:
        if inner.delegate is None and (merged := _merge_route(route, inner)) is not None:
            yield merged


def _merge_route(root: HttpRoute, inner: HttpRoute) -> HttpRoute | None:
    """The delegate's route under the root's; None where their matches contradict each other."""
    matches = tuple(_merge_matches(root.match, inner.match))
    if not matches and (root.match or inner.match):
        return None
    inherited = {name: getattr(root, name) for name in _INHERITED if getattr(inner, name) in (None, ())}
    name = "-".join(part for part in (root.name, inner.name) if part) or None
    return msgspec.structs.replace(inner, name=name, match=matches, **inherited)


def _merge_matches(root: Sequence[HttpMatch], inner: Sequence[HttpMatch]) -> Iterable[HttpMatch]:
    if not root or not inner:
        yield from root or inner
        return
    for above in root:
        for below in inner:
            if (merged := _merge_match(above, below)) is not None:
                yield merged


def _merge_match(above: HttpMatch, below: HttpMatch) -> HttpMatch | None:
    merged: dict[str, object] = {
        "name": "-".join(part for part in (above.name, below.name) if part) or None,
        "ignore_uri_case": above.ignore_uri_case or below.ignore_uri_case,
        "gateways": below.gateways or above.gateways,
    }
    for name in _STRING_MATCHES:
        wide, narrow = getattr(above, name), getattr(below, name)
        if wide is not None and narrow is not None and not _within(narrow, wide):
            return None
        merged[name] = narrow or wide
    for name in _SCALARS:
        wide, narrow = getattr(above, name), getattr(below, name)
        if name == "port" and wide and narrow and wide != narrow:
            return None
        merged[name] = narrow or wide
    for name in _MAPS:
        merged[name] = {**getattr(above, name), **getattr(below, name)}
    return msgspec.structs.replace(below, **merged)


def _within(narrow: StringMatch, wide: StringMatch) -> bool:
    """All that `narrow` matches, `wide` matches too. Regular expressions are only within themselves."""
    if narrow.regex is not None or wide.regex is not None:
        return narrow == wide
    if wide.prefix is not None:
        return (narrow.exact if narrow.exact is not None else narrow.prefix or "").startswith(wide.prefix)
    return narrow == wide
