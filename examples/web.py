"""The few lines of HTTP that the example services share: answer JSON, call the next service, pass the
trace on.

The services know nothing of the mesh. They listen on $PORT and find each other as any program in
Kubernetes does: by `<NAME>_SERVICE_HOST` and `<NAME>_SERVICE_PORT`, or by name through `http_proxy`.
"""

import http.client
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

# What a service passes on, so that the requests of one user can be followed through the mesh, and its rules.
PROPAGATED = (
    "x-request-id",
    "traceparent",
    "tracestate",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "user-agent",
    "end-user",
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as a service sees it."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    def propagated(self) -> dict[str, str]:
        return {name: self.headers[name] for name in PROPAGATED if name in self.headers}


@dataclass(frozen=True, slots=True)
class Response:
    """What a service answers; `content` is sent as JSON unless it is text."""

    content: object
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


class CallFailed(Exception):
    """The other service did not answer with 2xx; `status` is 0 when there was no answer at all."""

    def __init__(self, service: str, status: int, reason: str) -> None:
        super().__init__(f"{service}: {status} {reason}")
        self.status = status


def serve(answer: Callable[[Request], Response]) -> None:
    """Serves HTTP/1.1 on 127.0.0.1:$PORT until the process is ended."""

    class Service(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body leave in one packet

        def do_GET(self) -> None:
            length = int(self.headers.get("content-length", 0))
            url = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, url.path, parse_qs(url.query), headers, self.rfile.read(length))
            self._send(Response("ok") if url.path == "/healthz" else answer(request))

        do_POST = do_GET

        def _send(self, response: Response) -> None:
            text = isinstance(response.content, str)
            body = str(response.content).encode() if text else json.dumps(response.content).encode()
            self.send_response(response.status)
            self.send_header("content-type", "text/html" if text else "application/json")
            self.send_header("content-length", str(len(body)))
            for name, value in response.headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """The sidecar writes the access log."""

    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Service)
    server.daemon_threads = True
    server.serve_forever()


def call(service: str, path: str, request: Request, timeout: float = 15.0) -> object:
    """GETs JSON from another service on behalf of `request`; raises CallFailed."""
    target = _target(service)
    for _ in range(2):
        connection, reused = _connection(target.address, timeout)
        try:
            connection.request(
                "GET", target.prefix + path, headers={**request.propagated(), "host": target.host}
            )
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if reused and not isinstance(error, TimeoutError):
                continue  # the other side had closed the idle connection
            raise CallFailed(service, 0, str(error)) from error
        if response.status >= 300:
            raise CallFailed(service, response.status, response.reason)
        return json.loads(body)
    raise CallFailed(service, 0, "the connection was closed twice")


@dataclass(frozen=True, slots=True)
class _Target:
    address: tuple[str, int]
    host: str
    # "" for a direct connection, http://<service> when the request goes through a proxy.
    prefix: str


def _target(service: str) -> _Target:
    name = service.split(".")[0].upper().replace("-", "_")
    host, port = os.environ.get(f"{name}_SERVICE_HOST"), os.environ.get(f"{name}_SERVICE_PORT")
    if host and port:
        return _Target((host, int(port)), service, "")
    proxy = urlsplit(os.environ["http_proxy"])
    return _Target((proxy.hostname or "", proxy.port or 80), service, f"http://{service}")


_local = threading.local()
_MAX_IDLE_S = 20.0


def _connection(address: tuple[str, int], timeout: float) -> tuple[http.client.HTTPConnection, bool]:
    """This thread's connection to `address`, and if it has been used before."""
    pool: dict[object, tuple[http.client.HTTPConnection, float]] = _local.__dict__.setdefault("pool", {})
    kept, used = pool.get((address, timeout), (None, 0.0))
    if kept is None or kept.sock is None or time.monotonic() - used > _MAX_IDLE_S:
        kept, used = http.client.HTTPConnection(*address, timeout=timeout), 0.0
    pool[(address, timeout)] = (kept, time.monotonic())
    return kept, used > 0
