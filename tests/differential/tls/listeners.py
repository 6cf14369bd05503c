"""Listeners that terminate TLS and answer by themselves, and clients that ask them."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.bootstrap import TYPE, Json, direct, http_listener, virtual_host
from tests.support.certificates import Identity

TLS = TYPE + "envoy.extensions.transport_sockets.tls.v3."
REQUEST = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"


def text(value: str) -> Json:
    return {"inline_string": value}


def certificate(identity: Identity, staple: bytes = b"") -> Json:
    made = {"certificate_chain": text(identity.chain), "private_key": text(identity.key)}
    if staple:
        made["ocsp_staple"] = {"inline_bytes": base64.b64encode(staple).decode()}
    return made


def downstream(*identities: Identity, common: Mapping[str, Any] | None = None, **fields: Any) -> Json:
    """A transport socket for a listener."""
    config = {
        "@type": TLS + "DownstreamTlsContext",
        "common_tls_context": {
            "tls_certificates": [certificate(identity) for identity in identities],
            **(common or {}),
        },
        **fields,
    }
    return {"name": "tls", "typed_config": config}


def listener(name: str, transport_socket: Mapping[str, Any], **hcm: Any) -> Json:
    """A listener that answers `inside` to whom it lets in."""
    made = http_listener(name, [virtual_host(direct({"prefix": "/"}, 200, "inside"))], **hcm)
    made["filter_chains"][0]["transport_socket"] = dict(transport_socket)
    return made


@dataclass(frozen=True)
class Asked:
    """What a client saw: was it let in, and on which terms."""

    inside: bool
    version: str = ""
    cipher: str = ""
    resumed: bool = False
    protocol: str | None = None
    shown: bytes = b""


def client(folder: Path, identity: Identity | None = None) -> ssl.SSLContext:
    """A client that takes any server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if identity is not None:
        context.load_cert_chain(*identity.files(folder))
    return context


def ask(
    port: int, context: ssl.SSLContext, name: str | None = "a.test", session: ssl.SSLSession | None = None
) -> tuple[Asked, ssl.SSLSession | None]:
    """One request; also the session to resume."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as raw,
            context.wrap_socket(raw, server_hostname=name, session=session) as tls,
        ):
            tls.sendall(REQUEST)
            received = b""
            with contextlib.suppress(ssl.SSLEOFError):
                while piece := tls.recv(65536):
                    received += piece
            suite = tls.cipher()
            return Asked(
                inside=received.endswith(b"inside"),
                version=tls.version() or "",
                cipher=suite[0] if suite else "",
                resumed=bool(tls.session_reused),
                protocol=tls.selected_alpn_protocol(),
                shown=tls.getpeercert(binary_form=True) or b"",
            ), tls.session
    except (ssl.SSLError, ConnectionError):
        return Asked(inside=False), None
