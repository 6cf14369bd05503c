"""The demo's users: real HTTP/1.1 clients that keep their connections, and count what became of every
request.

A request is *lost* when it does not come back with 200, for whatever reason; nothing is tried again here,
so what the mesh loses shows.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h11

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0 Safari/537.36"
HOST = "shop.example.com"
_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One finished request."""

    at: float
    """Monotonic second at which it was sent."""
    seconds: float
    status: int
    """0: no answer."""
    answer: dict[str, object]
    failure: str = ""
    rule: str = ""
    """The rule that a proxy routed it by, which the shop's rules say in the header `x-rule`."""

    @property
    def lost(self) -> bool:
        return self.status != 200

    @property
    def version(self) -> str:
        return str(self.answer.get("version", ""))


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go. Through a proxy, `url` is absolute and `host` is the service."""

    address: str
    url: str = "/"
    host: str = HOST


class Client:
    """One user's browser: one connection, one request at a time."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._machine = h11.Connection(h11.CLIENT)

    async def get(self, user_agent: str) -> Outcome:
        started = time.monotonic()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                status, rule, body = await self._exchange(user_agent)
        except (OSError, TimeoutError, h11.RemoteProtocolError) as error:
            self.close()
            reason = f"{type(error).__name__}: {error}"
            return Outcome(started, time.monotonic() - started, 0, {}, reason)
        seconds = time.monotonic() - started
        if self._machine.our_state is h11.DONE and self._machine.their_state is h11.DONE:
            self._machine.start_next_cycle()
        else:
            self.close()
        failure = "" if status == 200 else body[:200].decode("utf-8", "replace")
        return Outcome(started, seconds, status, _object(body), failure, rule)

    def close(self) -> None:
        if self._stream is not None:
            self._stream[1].close()
        self._stream = None

    async def _exchange(self, user_agent: str) -> tuple[int, str, bytes]:
        reader, writer = await self._connected()
        headers = [("host", self._target.host), ("user-agent", user_agent), ("accept", "application/json")]
        head = self._machine.send(h11.Request(method="GET", target=self._target.url, headers=headers))
        writer.write((head or b"") + (self._machine.send(h11.EndOfMessage()) or b""))
        status, rule, body = 0, "", b""
        while True:
            event = self._machine.next_event()
            match event:
                case h11.NEED_DATA:
                    self._machine.receive_data(await reader.read(65536))
                case h11.Response():
                    status = event.status_code
                    rule = dict(event.headers).get(b"x-rule", b"").decode("ascii", "replace")
                case h11.Data():
                    body += event.data
                case h11.EndOfMessage():
                    return status, rule, body
                case h11.ConnectionClosed() | h11.PAUSED:
                    raise ConnectionResetError("closed before the answer was complete")

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._stream is None:
            host, _, port = self._target.address.rpartition(":")
            self._stream = await asyncio.open_connection(host, int(port))
            self._machine = h11.Connection(h11.CLIENT)
        return self._stream


def _object(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(slots=True)
class Tally:
    """Everything that was sent to one target, for as long as the demo runs."""

    outcomes: list[Outcome] = field(default_factory=list)

    def since(self, moment: float, until: float = float("inf")) -> list[Outcome]:
        return [o for o in self.outcomes if moment <= o.at < until]


def versions(outcomes: list[Outcome]) -> dict[str, int]:
    """Version -> how many answers it gave."""
    counts: dict[str, int] = {}
    for outcome in outcomes:
        if not outcome.lost:
            counts[outcome.version] = counts.get(outcome.version, 0) + 1
    return dict(sorted(counts.items()))


class Users:
    """All clients of one target; their outcomes end up in one tally."""

    def __init__(self, target: Target, tally: Tally) -> None:
        self._target, self._tally = target, tally

    async def ask(self, user_agent: str, count: int, connections: int = 8) -> list[Outcome]:
        """Closed loop: `count` requests over some connections, each sending its next when the last is
        answered."""
        left = iter(range(count))
        results: list[Outcome] = []

        async def user() -> None:
            client = Client(self._target)
            for _ in left:
                results.append(await client.get(user_agent))
            client.close()

        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(connections, count)):
                tasks.create_task(user())
        self._tally.outcomes += results
        return results

    @asynccontextmanager
    async def load(self, user_agent: str, rate: float) -> AsyncIterator[None]:
        """Open loop while the block runs: a request every 1/rate seconds, whatever became of the last.

        An open loop does not go easy on a mesh that stalls. On the way out, every request is waited for.
        """
        idle: list[Client] = []
        stop = asyncio.Event()

        async def one() -> None:
            client = idle.pop() if idle else Client(self._target)
            self._tally.outcomes.append(await client.get(user_agent))
            idle.append(client)

        async def pace() -> None:
            next_at = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                while not stop.is_set():
                    tasks.create_task(one())
                    next_at += 1 / rate
                    await asyncio.sleep(max(0.0, next_at - time.monotonic()))

        async with asyncio.TaskGroup() as group:
            group.create_task(pace(), name="load")
            try:
                yield
            finally:
                stop.set()
        for client in idle:
            client.close()
