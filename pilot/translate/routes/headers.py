"""Header operations of rules and destinations (TM-15, TM-16, semantics 11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from envoy.config.core.v3 import base_pb2
from meshloom.pilot.model.virtual_service import HeaderOperations, Headers

_HOST = frozenset({"host", ":authority"})


class HeaderTarget(Protocol):
    """A Route or a weighted cluster: both have the four lists."""

    request_headers_to_add: list[base_pb2.HeaderValueOption]
    request_headers_to_remove: list[str]
    response_headers_to_add: list[base_pb2.HeaderValueOption]
    response_headers_to_remove: list[str]


def apply_headers(target: HeaderTarget, headers: Headers | None) -> None:
    if headers is None:
        return
    request, response = headers.request or HeaderOperations(), headers.response or HeaderOperations()
    target.request_headers_to_add.extend(_additions(request))
    target.request_headers_to_remove.extend(_removals(request))
    target.response_headers_to_add.extend(_additions(response))
    target.response_headers_to_remove.extend(_removals(response))


def authority_of(headers: Headers | None) -> str | None:
    """What `host` or `:authority` is set to; `set` counts before `add`."""
    if headers is None or headers.request is None:
        return None
    return _authority_in(headers.request.set) or _authority_in(headers.request.add)


def _authority_in(values: Mapping[str, str]) -> str | None:
    return next((value for name, value in values.items() if name.lower() in _HOST), None)


def _additions(operations: HeaderOperations) -> list[base_pb2.HeaderValueOption]:
    option = base_pb2.HeaderValueOption
    overwrite, append = option.OVERWRITE_IF_EXISTS_OR_ADD, option.APPEND_IF_EXISTS_OR_ADD
    return [
        option(header=base_pb2.HeaderValue(key=name, value=value), append_action=action)
        for values, action in ((operations.set, overwrite), (operations.add, append))
        for name, value in sorted(values.items())
        if not _is_reserved(name)
    ]


def _removals(operations: HeaderOperations) -> list[str]:
    return [name for name in operations.remove if not _is_reserved(name)]


def _is_reserved(name: str) -> bool:
    """Pseudo-headers and the host are not for header operations."""
    return name.startswith(":") or name.lower() in _HOST
