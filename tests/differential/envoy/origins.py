"""Upstreams of the differential tests."""

from __future__ import annotations

from tests.support.origin import Answer, Received, Script, answer


def scripted(name: str) -> Script:
    """An origin that says its name, and plays the answers that some cases ask for by path."""
    special = {
        "/set-cookies": answer(200, b"c", ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")),
        "/own-server": answer(200, b"s", ("Server", "origin/1")),
        "/own-date": answer(200, b"d", ("Date", "Thu, 01 Jan 1970 00:00:00 GMT")),
        "/own-via": answer(200, b"v", ("Via", "1.1 origin")),
        "/slow": Answer(answer(200, b"late").data, wait=0.5),
        "/hop-headers": answer(
            200, b"h", ("Connection", "x-hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5")
        ),
    }

    def reply(received: Received) -> Answer:
        if received.target in special:
            return special[received.target]
        status = int(received.target.rpartition("/")[2]) if received.target.startswith("/status/") else 200
        bodiless = received.method == "HEAD" or status in (204, 304)
        if bodiless:
            return Answer(f"HTTP/1.1 {status} Scripted\r\nX-Origin: {name}\r\n\r\n".encode())
        return answer(status, name.encode(), ("X-Origin", name))

    return reply
