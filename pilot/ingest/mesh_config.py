"""Reads Istio's MeshConfig: fields that we act on, fields that we know, and the rest, which are mistakes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from meshloom.pilot.ingest.diagnostic import Fault
from meshloom.pilot.ingest.schema import Mismatch, convert, nearest
from meshloom.pilot.ingest.unimplemented import unimplemented
from meshloom.pilot.model.mesh_config import MeshConfig

MESH_CONFIG_KIND = "MeshConfig"
CONFIG_MAP_NAME = "istio"
CONFIG_MAP_KEY = "mesh"

_KNOWN = frozenset(
    {
        "ca",
        "caCertificates",
        "certificates",
        "configSources",
        "defaultConfig",
        "defaultInboundHttpRetryPolicy",
        "defaultProviders",
        "defaultTrafficPolicy",
        "disableEnvoyListenerLog",
        "disableMixerHttpReports",
        "disablePolicyChecks",
        "disableReportBatch",
        "discoverySelectors",
        "enableClientSidePolicyCheck",
        "enableEnvoyAccessLogService",
        "enablePrometheusMerge",
        "enableTracing",
        "extensionProviders",
        "hboneIdleTimeout",
        "inboundClusterStatName",
        "inboundTrafficPolicy",
        "ingressClass",
        "ingressControllerMode",
        "ingressSelector",
        "ingressService",
        "meshMTLS",
        "mixerCheckServer",
        "mixerReportServer",
        "outboundClusterStatName",
        "policyCheckFailOpen",
        "proxyHttpPort",
        "proxyInboundListenPort",
        "proxyListenPort",
        "reportBatchMaxEntries",
        "reportBatchMaxTime",
        "serviceEntryVisibility",
        "serviceScopeConfigs",
        "serviceSettings",
        "sidecarToTelemetrySessionAffinity",
        "tlsDefaults",
        "verifyCertificateAtClient",
        "zoneAwareLbSetting",
    }
)
_OURS = tuple(field.encode_name for field in msgspec.structs.fields(MeshConfig))


def parse_mesh_config(value: Any) -> tuple[MeshConfig | None, list[Fault], list[Fault]]:
    """The configuration (None when it has errors), its errors, and its warnings."""
    if not isinstance(value, Mapping):
        return None, [Fault((), "MeshConfig must be an object")], []
    warnings = [
        Fault((name,), f"{name} is not implemented yet and has no effect") for name in value if name in _KNOWN
    ]
    warnings += unimplemented(MESH_CONFIG_KIND, value)
    ours = {name: inner for name, inner in value.items() if name in _OURS}
    errors = list(_unknown(value))
    try:
        config = convert(ours, MeshConfig)
    except Mismatch as error:
        return None, [*errors, *error.faults], warnings
    return (None if errors else config), errors, warnings


def _unknown(value: Mapping[str, Any]) -> Iterator[Fault]:
    for name in value:
        if name not in _KNOWN and name not in _OURS:
            text = str(name)
            hint = nearest(text, [*_OURS, *_KNOWN])
            yield Fault((text,), f'unknown field "{text}"', hint if hint.startswith("did") else "")
