"""One xDS stream to one management server, kept up for as long as the agent lives.

What is said on it is the dialect's; this file connects, reads, writes, and comes back after a failure. gRPC
is imported here and nowhere before: a proxy with a static configuration never pays for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from meshloom.meshproxy.agent.backoff import Backoff
from meshloom.meshproxy.agent.dialect import Change, Dialect, Names
from meshloom.runtime.log import Log

log = Log("xds")

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    # A server that is gone without a word is noticed; gRPC servers take more frequent pings for an attack.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Back-off is ours: each attempt is a fresh connection.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)
CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """PEM. Empty roots are the system's."""

    root_certs: bytes = b""
    private_key: bytes = b""
    cert_chain: bytes = b""
    server_name: str = ""
    """The name that the server's certificate must bear, if not that of the target."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server is, in gRPC's words."""

    name: str
    credentials: Credentials | None = None
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class StreamStats:
    """What `/stats` and the log say of a stream."""

    connected: bool = False
    connects: int = 0
    failures: int = 0


class NoTarget(Exception):
    """There is no way to reach the server yet."""


@dataclass(slots=True)
class Stream:
    """Follows a management server. `run` ends only when cancelled."""

    name: str
    """For people: the cluster or target."""
    method: str
    dialect: Dialect
    find_target: Callable[[], Target]
    """Asked anew for each connection, so changed certificates are taken up. Raises NoTarget."""
    take: Callable[[Change], str | None]
    """Takes in a response whole, or returns why not: the text of the NACK."""
    stats: StreamStats = field(default_factory=StreamStats)
    _outbox: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)

    def want(self, type_url: str, names: Names) -> None:
        """Subscribe. On a broken stream the next one starts with it."""
        requests = self.dialect.want(type_url, names)
        if self.stats.connected:
            for request in requests:
                self._outbox.put_nowait(request)

    async def run(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._connect_once(backoff)
                reason = "the server ended the stream"
            except NoTarget as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001 - whatever ends a connection, the next one is the answer
                reason = _describe(error)
            self.stats.connected = False
            self.stats.failures += 1
            delay = backoff.next_delay()
            log.warning("xds_stream_ended", server=self.name, reason=reason, retry_in_s=round(delay, 2))
            await asyncio.sleep(delay)

    async def _connect_once(self, backoff: Backoff) -> None:
        target = self.find_target()
        async with _channel(target) as channel:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await _connected(channel)
            call = channel.stream_stream(
                self.method,
                request_serializer=lambda request: request.SerializeToString(),
                response_deserializer=self.dialect.response_type.FromString,
            )(metadata=target.metadata or None)
            self._outbox = asyncio.Queue()  # what was meant for the last stream is in the dialect
            self.stats.connected = True
            self.stats.connects += 1
            log.info("xds_stream_open", server=self.name, target=target.name)
            for request in self.dialect.start():
                self._outbox.put_nowait(request)
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(self._write(call), name="xds-write")
                await self._read(call, backoff)
                writing.cancel()

    async def _write(self, call: Any) -> None:
        while True:
            await call.write(await self._outbox.get())

    async def _read(self, call: Any, backoff: Backoff) -> None:
        async for response in call:
            backoff.succeed()
            change = self.dialect.read(response)
            error = self.take(change)
            if error is not None:
                log.warning("xds_nack", server=self.name, type=change.type_url, reason=error)
            self._outbox.put_nowait(self.dialect.answer(response, error))


def _channel(target: Target) -> Any:
    import grpc.aio

    options: list[tuple[str, Any]] = list(CHANNEL_OPTIONS)
    if target.credentials is None:
        return grpc.aio.insecure_channel(target.name, options=options)
    given = target.credentials
    if given.server_name:
        options.append(("grpc.ssl_target_name_override", given.server_name))
    credentials = grpc.ssl_channel_credentials(
        given.root_certs or None, given.private_key or None, given.cert_chain or None
    )
    return grpc.aio.secure_channel(target.name, credentials, options=options)


async def _connected(channel: Any) -> None:
    """Wait for the first outcome. gRPC would go on trying at a pace of its own. Raises NoTarget."""
    import grpc

    state = channel.get_state(try_to_connect=True)
    while state is not grpc.ChannelConnectivity.READY:
        if state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN):
            raise NoTarget("cannot connect")
        await channel.wait_for_state_change(state)
        state = channel.get_state()


def _describe(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    code, details = getattr(error, "code", None), getattr(error, "details", None)
    if callable(code) and callable(details):
        return f"{code()}: {details()}"
    if isinstance(error, TimeoutError):
        return f"not reachable within {CONNECT_TIMEOUT_S} s"
    return f"{type(error).__name__}: {error}"
