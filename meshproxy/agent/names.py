"""What an answer to the question for a name is, and the system's resolver, which gives most of them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

SYSTEM_TIMEOUT_S = 5.0
SYSTEM_TTL_S = 60
"""Envoy's stand-in where the system's resolver, which tells no time to live, is asked for by its name."""


class Found(NamedTuple):
    """An answer. There may be no such name, or none with addresses of the family."""

    addresses: tuple[str, ...]
    ttl: int
    """For how many seconds it holds; 0 where nobody says."""


class Unanswered(Exception):
    """Nobody could say; the text says why."""


Ask = Callable[[str, str], Awaitable[Found]]
"""Host name and name of a DnsLookupFamily. Raises Unanswered."""


def chosen(v4: Sequence[str], v6: Sequence[str], family: str) -> tuple[str, ...]:
    """The addresses that a DnsLookupFamily is for, each once."""
    by_family = {
        "V4_ONLY": v4,
        "V6_ONLY": v6,
        "ALL": [*v4, *v6],
        "V4_PREFERRED": v4 or v6,
    }
    return tuple(dict.fromkeys(by_family.get(family, v6 or v4)))


async def ask_system(host: str, family: str) -> Found:
    """By `getaddrinfo`, as every other program on this machine. Raises Unanswered."""
    loop = asyncio.get_running_loop()
    kinds = {"V4_ONLY": socket.AF_INET, "V6_ONLY": socket.AF_INET6}
    kind = kinds.get(family, socket.AF_UNSPEC)
    try:
        async with asyncio.timeout(SYSTEM_TIMEOUT_S):
            found = await loop.getaddrinfo(host, None, family=kind, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            return Found((), 0)
        raise Unanswered(str(error)) from error
    except (OSError, TimeoutError, UnicodeError) as error:
        raise Unanswered(str(error) or type(error).__name__) from error
    v4 = [str(entry[4][0]) for entry in found if entry[0] == socket.AF_INET]
    v6 = [str(entry[4][0]) for entry in found if entry[0] == socket.AF_INET6]
    return Found(chosen(v4, v6, family), SYSTEM_TTL_S)
