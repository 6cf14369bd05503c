"""Parts of bootstraps that speak HTTP/2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.integration.proxy.pki import Authority
from tests.support.bootstrap import TYPE, Json, cluster

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
TLS = TYPE + "envoy.extensions.transport_sockets.tls.v3."


def http2_cluster(name: str, *ports: int, http2: Json | None = None, **fields: Any) -> Json:
    """A cluster whose endpoints speak HTTP/2 by prior knowledge."""
    options = {"@type": TYPE + OPTIONS, "explicit_http_config": {"http2_protocol_options": http2 or {}}}
    return cluster(name, *ports, typed_extension_protocol_options={OPTIONS: options}, **fields)


def tls_socket(authority: Authority, folder: Path, *alpn: str, mutual: bool = False) -> Json:
    """A listener's side of TLS with a certificate of `authority`; `mutual` asks the client for one too."""
    chain, key = authority.issue("spiffe://mesh.test/server", dns=("a.test",)).files(folder / "server")
    common = _common(chain, key, alpn or ("h2", "http/1.1"))
    if mutual:
        common["validation_context"] = {"trusted_ca": {"inline_string": authority.root()}}
    context = {"@type": TLS + "DownstreamTlsContext", "common_tls_context": common}
    return {"name": "tls", "typed_config": {**context, "require_client_certificate": mutual}}


def tls_client_socket(authority: Authority, folder: Path, *alpn: str) -> Json:
    """A cluster's side of mutual TLS."""
    chain, key = authority.issue("spiffe://mesh.test/client").files(folder / "client")
    common = _common(chain, key, alpn or ("h2",))
    common["validation_context"] = {"trusted_ca": {"inline_string": authority.root()}}
    context = {"@type": TLS + "UpstreamTlsContext", "common_tls_context": common, "sni": "a.test"}
    return {"name": "tls", "typed_config": context}


def _common(chain: str, key: str, alpn: tuple[str, ...]) -> Json:
    certificate = {"certificate_chain": {"filename": chain}, "private_key": {"filename": key}}
    return {"tls_certificates": [certificate], "alpn_protocols": list(alpn)}
