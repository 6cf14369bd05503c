"""Discovery responses put together from the bytes of resources that are serialised already.

Protobuf fields are length-delimited and may come in any order, so a response is a plain concatenation. This
is what lets one push to many proxies cost a join of byte strings instead of a serialisation each. Field
numbers are those of envoy.service.discovery.v3; `tests/pilot/xds/test_encode.py` checks them against the
generated messages.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshloom.pilot.translate.resource import Nonce, Resource, Version
from meshloom.pilot.translate.wirebytes import field, text

# google.protobuf.Any
_ANY_TYPE_URL, _ANY_VALUE = 1, 2
# DiscoveryResponse
_SOTW_VERSION, _SOTW_RESOURCES, _SOTW_TYPE_URL, _SOTW_NONCE, _SOTW_CONTROL_PLANE = 1, 2, 4, 5, 6
# DeltaDiscoveryResponse
_DELTA_VERSION, _DELTA_RESOURCES, _DELTA_TYPE_URL, _DELTA_NONCE, _DELTA_REMOVED, _DELTA_CONTROL_PLANE = (
    1, 2, 4, 5, 6, 7,
)  # fmt: skip
# Resource (the delta envelope)
_RESOURCE_VERSION, _RESOURCE_ANY, _RESOURCE_NAME = 1, 2, 3
_CONTROL_PLANE_IDENTIFIER = 1


def sotw_response(
    type_url: str, version: Version, nonce: Nonce, resources: Iterable[Resource], identifier: str
) -> bytes:
    """An envoy.service.discovery.v3.DiscoveryResponse."""
    parts = [text(_SOTW_VERSION, version), text(_SOTW_TYPE_URL, type_url), text(_SOTW_NONCE, nonce)]
    parts += (field(_SOTW_RESOURCES, _any(resource)) for resource in resources)
    parts.append(field(_SOTW_CONTROL_PLANE, text(_CONTROL_PLANE_IDENTIFIER, identifier)))
    return b"".join(parts)


def delta_response(
    type_url: str, nonce: Nonce, resources: Iterable[Resource], removed: Iterable[str], identifier: str
) -> bytes:
    """An envoy.service.discovery.v3.DeltaDiscoveryResponse."""
    parts = [text(_DELTA_TYPE_URL, type_url), text(_DELTA_NONCE, nonce)]
    parts += (field(_DELTA_RESOURCES, _envelope(resource)) for resource in resources)
    parts += (text(_DELTA_REMOVED, name) for name in removed)
    parts.append(field(_DELTA_CONTROL_PLANE, text(_CONTROL_PLANE_IDENTIFIER, identifier)))
    return b"".join(parts)


def _any(resource: Resource) -> bytes:
    return text(_ANY_TYPE_URL, resource.type_url) + field(_ANY_VALUE, resource.body)


def _envelope(resource: Resource) -> bytes:
    return (
        text(_RESOURCE_VERSION, resource.version)
        + field(_RESOURCE_ANY, _any(resource))
        + text(_RESOURCE_NAME, resource.name)
    )
