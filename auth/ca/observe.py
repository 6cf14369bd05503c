"""The CA's own metrics and its readiness, over HTTP for Prometheus and for supervisors."""

import asyncio
from collections.abc import Callable

from meshloom.runtime.address import Address
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

_HEAD_LIMIT = 8 * 1024
_HEAD_TIMEOUT_S = 5.0


class Counters:
    """Every metric of the CA: name, unit, help and labels in one place."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._issued = Counter(
            "meshloom_auth_certificates_issued_total", "Certificates signed.", registry=self.registry
        )
        self._refused = Counter(
            "meshloom_auth_certificates_refused_total",
            "Requests refused, by the kind of reason.",
            ["reason"],
            registry=self.registry,
        )
        self._ca_expiry = Gauge(
            "meshloom_auth_ca_expiry_seconds",
            "Unix time at which the signing CA expires.",
            registry=self.registry,
        )

    def issued(self) -> None:
        self._issued.inc()

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def ca_expires(self, unix_seconds: float) -> None:
        self._ca_expiry.set(unix_seconds)


class StatusServer:
    """GET /metrics and /ready. One answer per connection: its callers are scrapers and probes."""

    def __init__(self, counters: Counters, ready: Callable[[], bool]) -> None:
        self._counters, self._ready = counters, ready

    async def start(self, listen: Address) -> tuple[asyncio.Server, Address]:
        server = await asyncio.start_server(self._answer, listen.host, listen.port, limit=_HEAD_LIMIT)
        host, port = server.sockets[0].getsockname()[:2]
        return server, Address(host, port)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HEAD_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._response(head))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            return  # not a scraper, or one that went away
        finally:
            writer.close()

    def _response(self, head: bytes) -> bytes:
        match head.split(b" ", 2)[:2]:
            case [b"GET", b"/metrics"]:
                return _reply("200 OK", generate_latest(self._counters.registry))
            case [b"GET", b"/ready"] if self._ready():
                return _reply("200 OK", b"ready\n")
            case [b"GET", b"/ready"]:
                return _reply("503 Service Unavailable", b"no usable signing certificate\n")
        return _reply("404 Not Found", b"GET /metrics or /ready\n")


def _reply(status: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
