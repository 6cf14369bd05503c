"""meshloom.config.v1.ConfigService: apply, list, delete and watch rules. Converts and delegates."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
from meshloom.api.config.v1 import config_pb2, config_pb2_grpc
from meshloom.pilot.api.refusal import refuse
from meshloom.pilot.ingest.configuration import (
    Change,
    ChangeKind,
    Configuration,
    Held,
    HistoryLost,
    Outcome,
)
from meshloom.pilot.ingest.diagnostic import Diagnostic, Severity
from meshloom.pilot.ingest.kinds import KINDS, kind_named
from meshloom.pilot.ingest.mesh_config import MESH_CONFIG_KIND
from meshloom.pilot.ingest.parse import DEFAULT_NAMESPACE
from meshloom.pilot.model.base import Namespace, ObjectKey
from meshloom.pilot.model.kubernetes import Secret
from meshloom.pilot.store.base import StoreError

Context = grpc.aio.ServicerContext[object, object]

_SEVERITIES: Mapping[Severity, config_pb2.Diagnostic.Severity] = {
    Severity.WARNING: config_pb2.Diagnostic.WARNING,
    Severity.ERROR: config_pb2.Diagnostic.ERROR,
}
_OUTCOMES: Mapping[Outcome, config_pb2.ApplyResult.Change] = {
    Outcome.CREATED: config_pb2.ApplyResult.CREATED,
    Outcome.CONFIGURED: config_pb2.ApplyResult.CONFIGURED,
    Outcome.UNCHANGED: config_pb2.ApplyResult.UNCHANGED,
    Outcome.REJECTED: config_pb2.ApplyResult.REJECTED,
}
_CHANGES: Mapping[ChangeKind, config_pb2.WatchEvent.Type] = {
    ChangeKind.ADDED: config_pb2.WatchEvent.ADDED,
    ChangeKind.MODIFIED: config_pb2.WatchEvent.MODIFIED,
    ChangeKind.DELETED: config_pb2.WatchEvent.DELETED,
}
# No base64: applying it back by mistake is refused.
REDACTED = "(not shown)"
_API_VERSIONS = {
    kind.name: f"{kind.group}/{kind.versions[0]}" if kind.group else kind.versions[0]
    for kind in KINDS.values()
}


class ConfigService(config_pb2_grpc.ConfigServiceServicer):
    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    async def Apply(self, request: config_pb2.ApplyRequest, context: Context) -> config_pb2.ApplyResponse:
        namespace = Namespace(request.default_namespace or DEFAULT_NAMESPACE)
        try:
            applied = await self._configuration.apply(
                request.documents, request.source or "api", namespace, request.dry_run
            )
        except StoreError as error:
            await refuse(context, grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", str(error))
        revisions = {held.object.key: held.revision for held in self._configuration.list()}
        results = [
            config_pb2.ApplyResult(
                key=_key(key),
                change=_OUTCOMES[outcome],
                resource_version=str(revisions[key]) if key in revisions else "",
            )
            for key, outcome in applied.outcomes.items()
        ]
        return config_pb2.ApplyResponse(results=results, diagnostics=map(_diagnostic, applied.diagnostics))

    async def List(self, request: config_pb2.ListRequest, context: Context) -> config_pb2.ListResponse:
        kind = await _kind(request.kind, context)
        found = self._configuration.list(kind, request.namespace, request.name)
        version = str(self._configuration.revision)
        return config_pb2.ListResponse(objects=map(_object, found), resource_version=version)

    async def Delete(self, request: config_pb2.DeleteRequest, context: Context) -> config_pb2.DeleteResponse:
        keys = [ObjectKey(await _kind(key.kind, context), key.namespace, key.name) for key in request.keys]
        try:
            done = await self._configuration.delete(keys)
        except StoreError as error:
            await refuse(context, grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", str(error))
        return config_pb2.DeleteResponse(
            deleted=map(_key, sorted(done.deleted)),
            not_found=map(_key, sorted(done.not_found)),
            diagnostics=[_diagnostic(_declared(key, held)) for key, held in sorted(done.in_files.items())],
        )

    async def Watch(
        self, request: config_pb2.WatchRequest, context: Context
    ) -> AsyncIterator[config_pb2.WatchEvent]:
        kind = await _kind(request.kind, context)
        since = self._configuration.revision
        if not request.resource_version:
            for held in self._configuration.list(kind, request.namespace):
                yield _event(ChangeKind.ADDED, held)
        elif request.resource_version.isdigit():
            since = int(request.resource_version)
        else:
            reason = f'"{request.resource_version}" is not a resource version of this Pilot'
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_RESOURCE_VERSION", reason)
        try:
            async for change in self._configuration.changes(since):
                if _wanted(change, kind, request.namespace):
                    yield _event(change.kind, change.held)
        except HistoryLost as error:
            oldest = str(error.oldest)
            code = grpc.StatusCode.OUT_OF_RANGE
            await refuse(context, code, "RESOURCE_VERSION_TOO_OLD", str(error), oldest=oldest)


async def _kind(name: str, context: Context) -> str:
    """The kind's own spelling; empty for all kinds. An unknown one ends the call."""
    if not name or name == MESH_CONFIG_KIND:
        return name
    if (known := kind_named(name)) is None:
        known_names = ", ".join(sorted(kind.name for kind in KINDS.values()))
        message = f'unknown kind "{name}": known are {known_names}'
        await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_KIND", message, kind=name)
    return known.name


def _wanted(change: Change, kind: str, namespace: str) -> bool:
    key = change.held.object.key
    return (not kind or key.kind == kind) and (not namespace or key.namespace == namespace)


def _key(key: ObjectKey) -> config_pb2.ObjectKey:
    return config_pb2.ObjectKey(
        api_version=_API_VERSIONS.get(key.kind, ""), kind=key.kind, namespace=key.namespace, name=key.name
    )


def _object(held: Held) -> config_pb2.Object:
    key = _key(held.object.key)
    key.api_version = str(held.document.get("apiVersion", key.api_version))
    return config_pb2.Object(
        key=key,
        document=json.dumps(_shown(held)),
        resource_version=str(held.revision),
        origin=str(held.object.origin),
    )


def _shown(held: Held) -> Mapping[str, Any]:
    """The document as it may be told: of a Secret, which values there are but not what they say."""
    if not isinstance(held.object.spec, Secret):
        return held.document
    shown = dict(held.document)
    for field in ("data", "stringData"):
        if isinstance(values := shown.get(field), Mapping):
            shown[field] = dict.fromkeys(values, REDACTED)
    return shown


def _event(kind: ChangeKind, held: Held) -> config_pb2.WatchEvent:
    return config_pb2.WatchEvent(type=_CHANGES[kind], object=_object(held))


def _declared(key: ObjectKey, held: Held) -> Diagnostic:
    origin = held.object.origin
    return Diagnostic(
        severity=Severity.WARNING,
        source=origin.source,
        line=origin.line,
        message="declared in a file, and in force as it says there",
        hint=f"to delete it, remove it from {origin}",
        object=key,
    )


def _diagnostic(diagnostic: Diagnostic) -> config_pb2.Diagnostic:
    return config_pb2.Diagnostic(
        severity=_SEVERITIES[diagnostic.severity],
        source=diagnostic.source,
        line=diagnostic.line,
        path=diagnostic.path,
        message=diagnostic.message,
        hint=diagnostic.hint,
        object=_key(diagnostic.object) if diagnostic.object else None,
    )
