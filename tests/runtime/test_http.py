"""The services' own HTTP endpoint, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from meshloom.runtime.address import Address
from meshloom.runtime.http import MAX_BODY, Request, Response, serve_http


async def answer(request: Request) -> Response:
    match request.path:
        case "/echo":
            return Response(f"{request.method} {dict(request.query)}".encode() + request.body)
        case "/parts":
            return Response(parts())
        case "/broken":
            raise RuntimeError("broken page")
    return Response(b"no such page\n", 404)


async def parts() -> AsyncIterator[bytes]:
    yield b"one,"
    yield b"two"


async def exchange(*requests: bytes) -> bytes:
    """Everything a server answers on one connection to these bytes."""
    async with serve_http(Address("127.0.0.1", 0), answer) as bound:
        reader, writer = await asyncio.open_connection(bound.host, bound.port)
        for request in requests:
            writer.write(request)
        reply = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        return reply


def get(path: str, *, close: bool = True) -> bytes:
    connection = "close" if close else "keep-alive"
    return f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: {connection}\r\n\r\n".encode()


async def test_a_connection_serves_several_requests() -> None:
    reply = await exchange(get("/echo?a=1", close=False), get("/nowhere"))
    assert b"GET {'a': '1'}" in reply
    assert b"HTTP/1.1 404 Not Found" in reply


async def test_a_body_in_parts_is_sent_as_it_comes() -> None:
    assert b"4\r\none,\r\n3\r\ntwo\r\n0\r\n\r\n" in await exchange(get("/parts"))


async def test_head_has_the_length_and_no_body() -> None:
    reply = await exchange(b"HEAD /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    assert b"content-length: 7" in reply.lower()
    assert reply.endswith(b"\r\n\r\n")


async def test_a_broken_page_is_500_and_the_connection_lives() -> None:
    reply = await exchange(get("/broken", close=False), get("/echo"))
    assert b"HTTP/1.1 500" in reply
    assert b"GET {}" in reply


async def test_bad_framing_is_400() -> None:
    assert (await exchange(b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n")).startswith(
        b"HTTP/1.1 400"
    )


async def test_a_body_over_the_limit_is_413() -> None:
    head = f"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {MAX_BODY + 1}\r\n\r\n".encode()
    assert b"HTTP/1.1 413" in await exchange(head, b"x" * (MAX_BODY + 1))


async def test_the_server_ends_while_a_peer_idles() -> None:
    async with serve_http(Address("127.0.0.1", 0), answer) as bound:
        reader, writer = await asyncio.open_connection(bound.host, bound.port)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
