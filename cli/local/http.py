"""One GET to a service of ours: metrics, admin pages."""

import asyncio

from meshloom.cli.errors import CliError, Exit

_DEADLINE_S = 10.0


async def get(address: str, path: str) -> tuple[int, bytes]:
    """Status and body; raises CliError when nobody answers."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_DEADLINE_S):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(f"GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n".encode())
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            finally:
                writer.close()
        return int(head.split(b" ", 2)[1]), body
    except (OSError, TimeoutError, ValueError, IndexError) as error:
        raise CliError(f"http://{address}{path}: {error or 'no answer'}", Exit.UNREACHABLE) from error
