"""An HTTPS upstream that tells, of each request, for which server name its connection was opened."""

from __future__ import annotations

import contextlib
import socketserver
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.certificates import Identity
from tests.support.origin import answer, read_head

NO_NAME = "-"


def server_context(identity: Identity, folder: Path, *, clients: str = "") -> ssl.SSLContext:
    """With `clients`, an authority's certificate, clients must show one of its certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*identity.files(folder))
    if clients:
        context.load_verify_locations(cadata=clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextlib.contextmanager
def serving(context: ssl.SSLContext) -> Iterator[int]:
    """Answers each request with `<server name> <host>`."""
    names: dict[ssl.SSLSocket, str] = {}

    def note(connection: Any, name: str | None, _context: ssl.SSLContext) -> None:
        names[connection] = name or NO_NAME

    context.sni_callback = note

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as tls,
                tls.makefile("rb") as stream,
            ):
                while head := read_head(stream):
                    tls.sendall(answer(200, f"{names[tls]} {head.header('host')}".encode()).data)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, block_on_close, request_queue_size = True, False, 256

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()
