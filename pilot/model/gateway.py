"""Istio's Gateway, every field of its schema. Features GW-01..GW-05 say what each one means."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import msgspec
from meshloom.pilot.model.base import PortNumber, Schema

# One certificate, or one RSA and one ECDSA.
_PAIR = msgspec.Meta(min_length=1, max_length=2)


class ServerPort(Schema, frozen=True):
    """`protocol` is one of HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP, TLS."""

    number: PortNumber
    name: str
    protocol: str
    target_port: PortNumber | None = None


class ServerTlsMode(StrEnum):
    PASSTHROUGH = "PASSTHROUGH"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    AUTO_PASSTHROUGH = "AUTO_PASSTHROUGH"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"
    OPTIONAL_MUTUAL = "OPTIONAL_MUTUAL"


class TlsVersion(StrEnum):
    TLS_AUTO = "TLS_AUTO"
    TLSV1_0 = "TLSV1_0"
    TLSV1_1 = "TLSV1_1"
    TLSV1_2 = "TLSV1_2"
    TLSV1_3 = "TLSV1_3"


class TlsCertificate(Schema, frozen=True):
    server_certificate: str | None = None
    private_key: str | None = None
    ca_certificates: str | None = None


class ServerTls(Schema, frozen=True):
    https_redirect: bool = False
    mode: ServerTlsMode = ServerTlsMode.PASSTHROUGH
    server_certificate: str | None = None
    private_key: str | None = None
    ca_certificates: str | None = None
    ca_crl: str | None = None
    credential_name: str | None = None
    credential_names: Annotated[tuple[str, ...], _PAIR] = ()
    tls_certificates: Annotated[tuple[TlsCertificate, ...], _PAIR] = ()
    ca_cert_credential_name: str | None = None
    subject_alt_names: tuple[str, ...] = ()
    verify_certificate_spki: tuple[str, ...] = ()
    verify_certificate_hash: tuple[str, ...] = ()
    min_protocol_version: TlsVersion = TlsVersion.TLS_AUTO
    max_protocol_version: TlsVersion = TlsVersion.TLS_AUTO
    cipher_suites: tuple[str, ...] = ()
    insecure_skip_verify: bool | None = None


class Server(Schema, frozen=True):
    """`hosts` are `dnsName` or `namespace/dnsName`; namespace `.` is the Gateway's own, `*` is any."""

    port: ServerPort
    hosts: tuple[str, ...]
    bind: str | None = None
    tls: ServerTls | None = None
    name: str | None = None
    default_endpoint: str | None = None


class Gateway(Schema, frozen=True):
    """`selector` picks gateway workloads by label, in every namespace."""

    selector: Mapping[str, str] = {}
    servers: tuple[Server, ...] = ()
