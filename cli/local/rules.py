"""Watches the Deployments that Pilot knows, so that applying one starts or stops local copies."""

import asyncio
from collections.abc import Callable, Mapping

import grpc
from meshloom.api.config.v1 import config_pb2, config_pb2_grpc
from meshloom.cli.local.deployments import Deployment, Key, Wanted, wanted
from meshloom.cli.local.settings import LocalSettings
from meshloom.runtime.log import Log

log = Log("cli.deployments")


async def follow_deployments(
    channel: grpc.aio.Channel, settings: LocalSettings, want: Callable[[Mapping[Key, Wanted]], None]
) -> None:
    """Tells `want` what Pilot says, for ever. While Pilot is away what was wanted last stays wanted."""
    stub = config_pb2_grpc.ConfigServiceStub(channel)  # type: ignore[no-untyped-call]
    while True:
        try:
            listed = await stub.List(config_pb2.ListRequest(kind=_KIND))
            known = {_key(found): _wanted(found, settings) for found in listed.objects}
            want(dict(known))
            since = config_pb2.WatchRequest(kind=_KIND, resource_version=listed.resource_version)
            async for event in stub.Watch(since):
                _note(known, event, settings)
                want(dict(known))
        except grpc.aio.AioRpcError as error:
            log.warning("deployments_not_watched", reason=error.details())
        await asyncio.sleep(_RETRY_S)


def _note(known: dict[Key, Wanted], event: config_pb2.WatchEvent, settings: LocalSettings) -> None:
    if event.type == config_pb2.WatchEvent.DELETED:
        known.pop(_key(event.object), None)
    else:
        known[_key(event.object)] = _wanted(event.object, settings)


def _key(found: config_pb2.Object) -> Key:
    return found.key.namespace, found.key.name


def _wanted(found: config_pb2.Object, settings: LocalSettings) -> Wanted:
    asked = wanted(Deployment.parse(found.document), settings)
    if asked.missing:
        log.warning("no_program", deployment="/".join(_key(found)), image=asked.missing)
    return asked


_KIND = "Deployment"
_RETRY_S = 0.5
