"""Upstreams of the differential tests."""

from __future__ import annotations

from dataclasses import replace

from tests.support.origin import Answer, Received, Script, answer

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def interim(status: int) -> bytes:
    return f"HTTP/1.1 {status} Interim\r\nX-Interim: 1\r\n\r\n".encode()


def scripted(name: str) -> Script:
    """An origin that says its name, and plays the answers that some cases ask for by path."""
    special = {
        "/set-cookies": answer(200, b"c", ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")),
        "/own-server": answer(200, b"s", ("Server", "origin/1")),
        "/own-date": answer(200, b"d", ("Date", "Thu, 01 Jan 1970 00:00:00 GMT")),
        "/own-via": answer(200, b"v", ("Via", "1.1 origin")),
        "/slow": Answer(answer(200, b"late").data, wait=0.5),
        "/quick/slow": Answer(answer(200, b"late").data, wait=0.5),
        "/drip": Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\ndrip", rest=b"drop", pause=0.5),
        "/hurried/drip": Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\ndrip", rest=b"drop", pause=0.5),
        "/large": answer(200, b"d" * 1_500_000),
        "/chunked": Answer(CHUNKED + b"3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-T: 1\r\n\r\n"),
        "/untilclose": Answer(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", then="close"),
        "/cutshort": Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", then="close"),
        "/cutchunks": Answer(CHUNKED + b"3\r\nabc\r\n4\r\nde", then="close"),
        "/cutlate": Answer(CHUNKED + b"3\r\nabc\r\n", then="reset"),
        "/headlength": Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n"),
        "/hop-headers": answer(
            200, b"h", ("Connection", "x-hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5")
        ),
    }

    def reply(received: Received) -> Answer:
        if received.target in special:
            return special[received.target]
        if received.target == "/length":
            return answer(200, str(len(received.body)).encode())
        if received.target.startswith("/interim/"):
            return Answer(interim(int(received.target.rpartition("/")[2])) + answer(200, b"final").data)
        status = int(received.target.rpartition("/")[2]) if received.target.startswith("/status/") else 200
        bodiless = received.method == "HEAD" or status in (204, 304)
        if bodiless:
            return Answer(f"HTTP/1.1 {status} Scripted\r\nX-Origin: {name}\r\n\r\n".encode())
        return answer(status, name.encode(), ("X-Origin", name))

    return reply


def hasty(head: Received) -> Answer | None:
    """Refuses what goes to /early as soon as it sees its head."""
    return replace(answer(413, b"too large"), then="close") if head.target == "/early" else None
