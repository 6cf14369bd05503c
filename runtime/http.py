"""The small HTTP/1.1 server of every service: metrics, readiness, admin pages. Not for mesh traffic.

    async with serve_http(Address("127.0.0.1", 0), answer) as bound:
        ...

`answer` takes a Request and returns a Response; what it raises is logged and answered with 500. h11 parses,
so framing is strict; heads, bodies, idle time and the number of connections are limited.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import h11
from meshloom.runtime.address import Address
from meshloom.runtime.log import Log

TEXT: Final = "text/plain; charset=utf-8"
MAX_BODY: Final = 1 << 20
MAX_HEAD: Final = 64 * 1024
MAX_CONNECTIONS: Final = 256
IDLE_S: Final = 60.0
"""How long a peer may take for its next request, and for reading an answer's next part."""

log = Log("http")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, whole. Header names are lower case; of a repeated query parameter the last counts."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; a body of several parts is sent chunked, as the parts come."""

    body: bytes | AsyncIterator[bytes] = b""
    status: int = 200
    content_type: str = TEXT
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Callable[[Request], Awaitable[Response]]


@contextlib.asynccontextmanager
async def serve_http(listen: Address, answer: Answer) -> AsyncIterator[Address]:
    """Serve until the block ends; connections are cut then. Yields the bound address. Raises OSError."""
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        task = asyncio.create_task(_serve(reader, writer, answer), name="http-connection")
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(accept, listen.host, listen.port)
    try:
        host, port = server.sockets[0].getsockname()[:2]
        yield Address(host, port)
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    try:
        await _Connection(reader, writer, answer).run()
    except (OSError, TimeoutError, h11.LocalProtocolError):
        return  # the peer is gone or too slow; there is nobody to tell
    finally:
        writer.close()


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
        self._reader, self._writer, self._answer = reader, writer, answer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)

    async def run(self) -> None:
        while True:
            try:
                request = await self._receive()
            except h11.RemoteProtocolError as fault:
                if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                    await self._send(Response(f"{fault}\n".encode(), fault.error_status_hint), head=False)
                return
            if request is None:
                return
            await self._send(await self._ask(request), head=request.method == "HEAD")
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _receive(self) -> Request | None:
        """The next request, or None when the peer has no more. Raises h11.RemoteProtocolError."""
        head: h11.Request | None = None
        body = bytearray()
        while True:
            match await self._event():
                case h11.Request() as head:
                    if self._http.they_are_waiting_for_100_continue:
                        await self._write(h11.InformationalResponse(status_code=100, headers=[]))
                case h11.Data(data=data):
                    body += data
                    if len(body) > MAX_BODY:
                        raise h11.RemoteProtocolError(f"body over {MAX_BODY} bytes", error_status_hint=413)
                case h11.EndOfMessage() if head is not None:
                    return _request(head, bytes(body))
                case _:
                    return None

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(IDLE_S):
                self._http.receive_data(await self._reader.read(64 * 1024))
        return event

    async def _ask(self, request: Request) -> Response:
        try:
            return await self._answer(request)
        except Exception as fault:  # noqa: BLE001 - the top of a request: one bad page must not end the server
            log.error("http_answer_failed", path=request.path, error=repr(fault))
            return Response(b"internal error, see the log\n", 500)

    async def _send(self, response: Response, *, head: bool) -> None:
        body = response.body
        framing = (
            ("content-length", str(len(body)))
            if isinstance(body, bytes)
            else ("transfer-encoding", "chunked")
        )
        headers = [("content-type", response.content_type), framing, *response.headers.items()]
        reason = HTTPStatus(response.status).phrase
        await self._write(h11.Response(status_code=response.status, headers=headers, reason=reason))
        if not head and isinstance(body, bytes):
            await self._write(h11.Data(data=body))
        elif not head and not isinstance(body, bytes):
            async for part in body:
                await self._write(h11.Data(data=part))
        await self._write(h11.EndOfMessage())

    async def _write(self, event: h11.Event) -> None:
        self._writer.write(self._http.send(event) or b"")
        async with asyncio.timeout(IDLE_S):
            await self._writer.drain()


def _request(head: h11.Request, body: bytes) -> Request:
    target = urlsplit(head.target.decode("ascii", "replace"))
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
    query = dict(parse_qsl(target.query, keep_blank_values=True))
    return Request(head.method.decode("ascii"), unquote(target.path), query, headers, body)
