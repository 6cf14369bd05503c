"""SecretDiscoveryService for one workload: state of the world, delta, and a single fetch.

The socket is the credential: whoever can open the workload's Unix socket is its proxy. So one service serves
exactly one workload, and the socket is private to the user that runs it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import grpc
from envoy.service.discovery.v3 import discovery_pb2
from envoy.service.secret.v3 import sds_pb2_grpc
from meshloom.auth.identity.workload import WorkloadIdentity
from meshloom.auth.sds.secrets import NamedSecret, secrets_of
from meshloom.auth.sds.session import Delta, Session, StateOfTheWorld, world

Request = TypeVar("Request")
Response = TypeVar("Response")


class SecretService(sds_pb2_grpc.SecretDiscoveryServiceServicer):  # type: ignore[misc]
    """The gRPC face of one WorkloadIdentity."""

    def __init__(self, workload: WorkloadIdentity) -> None:
        self._workload = workload

    async def StreamSecrets(
        self, requests: AsyncIterator[discovery_pb2.DiscoveryRequest], context: "_Context"
    ) -> None:
        await self._converse(StateOfTheWorld(), requests, context)

    async def DeltaSecrets(
        self, requests: AsyncIterator[discovery_pb2.DeltaDiscoveryRequest], context: "_Context"
    ) -> None:
        await self._converse(Delta(), requests, context)

    async def FetchSecrets(
        self, request: discovery_pb2.DiscoveryRequest, context: "_Context"
    ) -> discovery_pb2.DiscoveryResponse:
        secrets = self._secrets()
        asked = [secrets[name] for name in sorted(set(request.resource_names)) if name in secrets]
        if not asked:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no certificate yet, or no such secret")
        return world(asked, "")

    async def _converse(
        self, session: Session[Request, Response], requests: AsyncIterator[Request], context: "_Context"
    ) -> None:
        due = asyncio.Event()

        async def push() -> None:
            while True:
                await due.wait()
                due.clear()
                if (response := session.response(self._secrets())) is not None:
                    await context.write(response)

        async def follow() -> None:
            async for _ in self._workload.watch():
                due.set()

        async with asyncio.TaskGroup() as tasks:
            others = [
                tasks.create_task(push(), name="sds-push"),
                tasks.create_task(follow(), name="sds-follow"),
            ]
            async for request in requests:
                session.on_request(request)
                due.set()
            for task in others:
                task.cancel()

    def _secrets(self) -> Mapping[str, NamedSecret]:
        svid = self._workload.current
        return {} if svid is None else secrets_of(svid)


class SecretServer:
    """A SecretService on its own Unix socket."""

    def __init__(self, workload: WorkloadIdentity, path: Path) -> None:
        self.path = path
        self._server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 * 1024)])
        sds_pb2_grpc.add_SecretDiscoveryServiceServicer_to_server(SecretService(workload), self._server)

    async def start(self) -> None:
        """Serves from now on. Raises OSError for a path that a Unix socket cannot have (over 107 bytes)."""
        if len(bytes(self.path)) > _LONGEST_PATH:
            raise OSError(f"{self.path}: a Unix socket's path has at most {_LONGEST_PATH} bytes")
        self.path.unlink(missing_ok=True)
        self._server.add_insecure_port(f"unix:{self.path}")
        await self._server.start()
        self.path.chmod(0o600)

    async def stop(self) -> None:
        """Ends every stream; the proxy keeps the secrets it has."""
        await self._server.stop(None)
        self.path.unlink(missing_ok=True)


_Context = grpc.aio.ServicerContext[Any, Any]
_LONGEST_PATH = 107
