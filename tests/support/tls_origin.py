"""An HTTPS upstream that tells, of each request, for which server name its connection was opened."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.certificates import Identity
from tests.support.origin import answer, read_head
from tests.support.server import LoopbackServer

NO_NAME = "-"


def server_context(identity: Identity, folder: Path, *, clients: str = "") -> ssl.SSLContext:
    """With `clients`, an authority's certificate, clients must show one of its certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*identity.files(folder))
    if clients:
        context.load_verify_locations(cadata=clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@dataclass
class TlsOrigin(LoopbackServer):
    """Answers each request with `<server name> <host>`."""

    context: ssl.SSLContext
    names: dict[Any, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.context.sni_callback = self._note
        super().__post_init__()

    def _note(self, connection: object, name: str | None, _context: ssl.SSLContext) -> None:
        self.names[connection] = name or NO_NAME

    def serve(self, connection: socket.socket) -> None:
        with (
            self.context.wrap_socket(connection, server_side=True) as tls,
            tls.makefile("rb") as stream,
        ):
            while head := read_head(stream):
                tls.sendall(answer(200, f"{self.names[tls]} {head.header('host')}".encode()).data)
