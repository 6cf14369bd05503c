"""Is it up yet: a TCP connection or a GET that answers 200, tried until it does."""

import asyncio
from dataclasses import dataclass

_INTERVAL_S = 0.05
_ATTEMPT_S = 2.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What to ask. Without a path, an accepted connection is enough."""

    host: str
    port: int
    path: str = ""


async def until_up(probe: Probe) -> None:
    """Returns when the probe succeeds; the caller sets the deadline."""
    while not await is_up(probe):
        await asyncio.sleep(_INTERVAL_S)


async def is_up(probe: Probe) -> bool:
    try:
        async with asyncio.timeout(_ATTEMPT_S):
            reader, writer = await asyncio.open_connection(probe.host, probe.port)
            try:
                return not probe.path or await _answers(probe, reader, writer)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


async def _answers(probe: Probe, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    head = f"GET {probe.path} HTTP/1.1\r\nhost: {probe.host}:{probe.port}\r\nconnection: close\r\n\r\n"
    writer.write(head.encode())
    return (await reader.readline()).split(b" ", 2)[1:2] == [b"200"]
