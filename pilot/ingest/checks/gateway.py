"""Gateway: servers, their hosts and their TLS settings."""

from __future__ import annotations

from collections.abc import Iterator

from meshloom.pilot.ingest.checks.shared import check_host, duplicates, invalid
from meshloom.pilot.ingest.diagnostic import Fault, Path
from meshloom.pilot.model.gateway import Gateway, Server, ServerTls, ServerTlsMode, TlsVersion
from meshloom.pilot.model.protocol import Protocol, named_protocol

_SECURE = (Protocol.HTTPS, Protocol.TLS)
_PROTOCOLS = "HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP or TLS"
_OWN_CERTIFICATE = (ServerTlsMode.SIMPLE, ServerTlsMode.MUTUAL, ServerTlsMode.OPTIONAL_MUTUAL)
_CLIENT_CA = (ServerTlsMode.MUTUAL, ServerTlsMode.OPTIONAL_MUTUAL)
_VERSIONS = list(TlsVersion)


def check_gateway(spec: Gateway) -> Iterator[Fault]:
    if not spec.servers:
        yield Fault(("servers",), "gateway must have at least one server")
    for index, server in enumerate(spec.servers):
        yield from _server(server, ("servers", index))
    for name in duplicates(server.port.name for server in spec.servers):
        yield Fault(("servers",), f"port names in servers must be unique: duplicate name {name}")


def _server(server: Server, at: Path) -> Iterator[Fault]:
    if not server.hosts:
        yield Fault((*at, "hosts"), "server config must contain at least one host", 'hosts: ["*"] is any')
    for index, host in enumerate(server.hosts):
        yield from _server_host(host, (*at, "hosts", index))
    if not server.port.name:
        yield Fault((*at, "port", "name"), "port name must be set")
    protocol = named_protocol(server.port.protocol)
    if protocol is None or protocol is Protocol.UDP:
        path = (*at, "port", "protocol")
        yield Fault(path, f'Unsupported value: "{server.port.protocol}"', f"use {_PROTOCOLS}")
        return
    yield from _tls_presence(server, protocol, at)


def _server_host(host: str, at: Path) -> Iterator[Fault]:
    if host.count("/") > 1:
        yield invalid(at, host, "must be dnsName or namespace/dnsName")
        return
    namespace, slash, name = host.rpartition("/")
    if slash and not namespace:
        yield invalid(at, host, "namespace before / cannot be empty", "*/ for any, ./ for the gateway's own")
    yield from check_host(name, at, ip_allowed=True)


def _tls_presence(server: Server, protocol: Protocol, at: Path) -> Iterator[Fault]:
    tls = server.tls
    if protocol in _SECURE:
        if tls is None:
            yield Fault((*at, "tls"), "server must have TLS settings for HTTPS/TLS protocols")
        elif tls.https_redirect:
            yield Fault((*at, "tls", "httpsRedirect"), "only an HTTP server can redirect to HTTPS")
    elif tls is not None and protocol.is_http and not _only_redirects(tls):
        hint = "protocol: HTTPS, or only tls.httpsRedirect"
        yield Fault((*at, "tls"), "server cannot have TLS settings for plain text HTTP ports", hint)
    if tls is not None and protocol in _SECURE:
        yield from _tls(tls, (*at, "tls"))


def _only_redirects(tls: ServerTls) -> bool:
    return tls == ServerTls(https_redirect=tls.https_redirect)


def _tls(tls: ServerTls, at: Path) -> Iterator[Fault]:
    yield from _exclusive(tls, at)
    by_name = bool(tls.credential_name or tls.credential_names or tls.tls_certificates)
    if tls.mode in _OWN_CERTIFICATE and not by_name:
        if not tls.server_certificate:
            path = (*at, "serverCertificate")
            yield Fault(path, f"{tls.mode} TLS requires a server certificate", "or a credentialName")
        if not tls.private_key:
            yield Fault((*at, "privateKey"), f"{tls.mode} TLS requires a private key", "or a credentialName")
        if tls.mode in _CLIENT_CA and not tls.ca_certificates and not tls.ca_cert_credential_name:
            yield Fault((*at, "caCertificates"), f"{tls.mode} TLS requires a client CA bundle")
    if tls.mode is ServerTlsMode.ISTIO_MUTUAL and (by_name or tls.server_certificate or tls.private_key):
        yield Fault((*at, "mode"), "ISTIO_MUTUAL TLS uses the mesh's own certificates: name none")
    low, high = (_VERSIONS.index(v) for v in (tls.min_protocol_version, tls.max_protocol_version))
    if high and low > high:
        reason = "minimum TLS version is higher than the maximum"
        yield invalid((*at, "minProtocolVersion"), str(tls.min_protocol_version), reason)
    for cipher in duplicates(tls.cipher_suites):
        yield Fault((*at, "cipherSuites"), f'Duplicate value: "{cipher}"')


def _exclusive(tls: ServerTls, at: Path) -> Iterator[Fault]:
    if tls.credential_names and tls.tls_certificates:
        yield Fault(at, "only one of credentialNames or tlsCertificates can be set")
    if tls.credential_name and tls.credential_names:
        yield Fault(at, "only one of credentialName or credentialNames can be set")
    if tls.credential_name and tls.tls_certificates:
        yield Fault(at, "only one of credentialName or tlsCertificates can be set")
