"""Which protocol a service port speaks, and how that is chosen (feature P-01, semantics 49)."""

from __future__ import annotations

from enum import StrEnum


class Protocol(StrEnum):
    """AUTO means that nobody said: the proxy looks at the first bytes."""

    HTTP = "HTTP"
    HTTP2 = "HTTP2"
    GRPC = "GRPC"
    GRPC_WEB = "GRPC-WEB"
    HTTPS = "HTTPS"
    TLS = "TLS"
    TCP = "TCP"
    MONGO = "Mongo"
    MYSQL = "MySQL"
    REDIS = "Redis"
    UDP = "UDP"
    AUTO = "AUTO"

    @property
    def is_http(self) -> bool:
        """Routed by HTTP rules."""
        return self in _HTTP

    @property
    def is_http2(self) -> bool:
        """The upstream is spoken to in HTTP/2."""
        return self in _HTTP2

    @property
    def is_tls(self) -> bool:
        """Opaque TLS, routed by SNI."""
        return self in (Protocol.HTTPS, Protocol.TLS)

    @property
    def is_tcp(self) -> bool:
        """Routed as plain bytes."""
        return self in _TCP


_HTTP = frozenset({Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB})
_HTTP2 = frozenset({Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB})
_TCP = frozenset({Protocol.TCP, Protocol.MONGO, Protocol.MYSQL, Protocol.REDIS})
_NAMES = {p.value.lower(): p for p in Protocol if p is not Protocol.AUTO}
_APP_PROTOCOLS = {
    "kubernetes.io/h2c": Protocol.HTTP2,
    "kubernetes.io/ws": Protocol.HTTP,
    "kubernetes.io/wss": Protocol.HTTPS,
}
# Server-first protocols: sniffing would wait for client bytes that never come.
_WELL_KNOWN_TCP = frozenset({25, 53, 3306, 27017})


def named_protocol(name: str) -> Protocol | None:
    """Reads `http`, `GRPC`, `grpc-web`, ...; None where the name is no protocol of ours."""
    return _NAMES.get(name.lower())


def choose_protocol(
    port: int, name: str | None, app_protocol: str | None = None, transport: str = "TCP"
) -> Protocol:
    """A Kubernetes service port's protocol: appProtocol, then the name's prefix, then well-known numbers."""
    if transport.upper() == "UDP":
        return Protocol.UDP
    if app_protocol:
        chosen = _APP_PROTOCOLS.get(app_protocol.lower()) or named_protocol(app_protocol)
        if chosen is not None:
            return chosen
    if name:
        lowered = name.lower()
        prefix = (
            "grpc-web" if lowered == "grpc-web" or lowered.startswith("grpc-web-") else lowered.split("-")[0]
        )
        if (named := _NAMES.get(prefix)) is not None:
            return named
    return Protocol.TCP if port in _WELL_KNOWN_TCP else Protocol.AUTO
