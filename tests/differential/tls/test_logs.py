"""Access logs tell of TLS connections and of certificates on both sides what the real Envoy's tell."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from tests.differential.tls.listeners import TLS, certificate, client, downstream, text
from tests.support.bootstrap import (
    Json,
    cluster,
    file_log,
    http_listener,
    route,
    static,
    tcp_listener,
    virtual_host,
)
from tests.support.certificates import Authority, Identity, dns, email, ip, new_key, other, uri
from tests.support.proxies import Proxy, running
from tests.support.tls_origin import TlsOrigin, server_context
from tests.support.wait import until

OID = "1.3.6.1.4.1.311.20.2.3"
ROOT = Authority("root")
ISSUING = Authority('issuing, "odd"', ROOT)
DOWNSTREAM = (
    "TLS_VERSION TLS_CIPHER TLS_GROUP LOCAL_DNS_SAN LOCAL_EMAIL_SAN LOCAL_IP_SAN LOCAL_OTHERNAME_SAN "
    "LOCAL_SUBJECT LOCAL_URI_SAN PEER_CERT PEER_CERT_V_END PEER_CERT_V_START PEER_CERT_V_END(%Y-%m-%d) "
    "PEER_CERT_V_START(%s) PEER_CHAIN_FINGERPRINTS_1 PEER_CHAIN_FINGERPRINTS_256 PEER_CHAIN_SERIALS "
    "PEER_DNS_SAN PEER_EMAIL_SAN PEER_FINGERPRINT_1 PEER_FINGERPRINT_256 PEER_IP_SAN PEER_ISSUER "
    "PEER_ISSUER_SERIAL PEER_ISSUER_FINGERPRINT_256 PEER_OTHERNAME_SAN PEER_SERIAL PEER_SUBJECT "
    "PEER_URI_SAN TLS_SESSION_ID TRANSPORT_FAILURE_REASON"
)
UPSTREAM = (
    "TLS_VERSION TLS_CIPHER TLS_GROUP SERVER_NAME LOCAL_DNS_SAN LOCAL_IP_SAN LOCAL_URI_SAN PEER_CERT "
    "PEER_CERT_V_END PEER_CERT_V_START PEER_CERT_V_START(%Y) PEER_DNS_SAN PEER_IP_SAN PEER_ISSUER "
    "PEER_SUBJECT PEER_URI_SAN TRANSPORT_FAILURE_REASON"
)
COMMANDS = [f"DOWNSTREAM_{name}" for name in DOWNSTREAM.split(" ")]
COMMANDS += [f"UPSTREAM_{name}" for name in UPSTREAM.split(" ")]


def named(name: str) -> Identity:
    """A certificate with names of every kind."""
    uris = uri(f"spiffe://mesh.test/{name}"), uri(f"http://{name}/a,b")
    rest = dns(f"{name}.test"), dns(f"*.{name}.test"), ip("10.0.0.1"), ip("2001:db8::1")
    return ISSUING.issue(*uris, *rest, email(f"{name}@test"), other(OID, f"{name}@other"), subject=name)


def odd(*levels: list[tuple[x509.ObjectIdentifier, str]], serial: int = 1) -> Identity:
    """A certificate with this subject and without other names."""
    one, key = ISSUING.issue(), new_key()
    name = x509.Name(
        x509.RelativeDistinguishedName([x509.NameAttribute(*each) for each in level]) for level in levels
    )
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(one.leaf.issuer).serial_number(serial)
    builder = builder.not_valid_before(one.leaf.not_valid_before_utc)
    builder = builder.not_valid_after(one.leaf.not_valid_after_utc).public_key(key.public_key())
    return Identity((builder.sign(ISSUING.private, hashes.SHA256()), *one.certificates[1:]), key)


CLIENTS: dict[str, Identity | None] = {
    "all_names": named("client"),
    "no_names": ISSUING.issue(),
    "nobody": None,
    "rsa": ISSUING.issue(uri("spiffe://mesh.test/rsa"), kind="rsa"),
    "of_the_root": ROOT.issue(dns("a.test")),
    "escaped": odd([(NameOID.COMMON_NAME, ' #a, "b" + <é>; \\ \u4e2d ')], serial=0x80),
    "levels": odd(
        [(NameOID.COUNTRY_NAME, "CH")],
        [(NameOID.STATE_OR_PROVINCE_NAME, "Bern"), (NameOID.LOCALITY_NAME, "Thun")],
        [(NameOID.ORGANIZATION_NAME, "Org"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "Unit")],
        [(NameOID.DOMAIN_COMPONENT, "test"), (NameOID.USER_ID, "u1")],
        [(NameOID.EMAIL_ADDRESS, "a@test"), (NameOID.SERIAL_NUMBER, "12")],
        [(NameOID.STREET_ADDRESS, "Street 1"), (NameOID.GIVEN_NAME, "G"), (NameOID.SURNAME, "S")],
        [(NameOID.TITLE, "T"), (NameOID.DN_QUALIFIER, "Q"), (NameOID.PSEUDONYM, "P")],
        [(NameOID.JURISDICTION_COUNTRY_NAME, "CH"), (NameOID.BUSINESS_CATEGORY, "B")],
        [(x509.ObjectIdentifier("1.2.840.99999.7"), "unknown")],
        serial=0x7F00000000000001,
    ),
}
FLUSH = "--file-flush-interval-msec", "20"
PROXY, SERVER = named("proxy"), named("origin")


def bootstrap(port: int, log: Path) -> Json:
    form = "\n".join(f"{each.partition('(')[0]}=%{each}%" for each in COMMANDS)
    logs = {"access_log": [file_log(log, form + "\n--\n")]}
    trusted = {"validation_context": {"trusted_ca": text(ROOT.root())}}
    socket_of_client = downstream(PROXY, common=trusted)
    listeners = [http_listener("http", [virtual_host(route({"prefix": "/"}, "c"))], **logs)]
    listeners.append(tcp_listener("tcp", "c", **logs))
    for listener in listeners:
        listener["filter_chains"][0]["transport_socket"] = socket_of_client
    # Envoy's clients do not offer 1.3 unless told to.
    common = {
        **trusted,
        "tls_certificates": [certificate(PROXY)],
        "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
    }
    config = {"@type": TLS + "UpstreamTlsContext", "sni": "fixed.example", "common_tls_context": common}
    transport = {"transport_socket": {"name": "tls", "typed_config": config}}
    return static(listeners, [cluster("c", port, **transport)])


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Proxy]]:
    folder = tmp_path_factory.mktemp("logs")
    with (
        TlsOrigin(server_context(SERVER, folder / "o", clients=ROOT.root())) as origin,
        running("meshproxy", bootstrap(origin.port, folder / "m.log"), folder / "m", *FLUSH) as ours,
        running("envoy", bootstrap(origin.port, folder / "e.log"), folder / "e", *FLUSH) as envoy,
    ):
        yield replace(ours, folder=folder / "m.log"), replace(envoy, folder=folder / "e.log")


def logged(proxy: Proxy, listener: str, context: ssl.SSLContext) -> list[str]:
    """What one request makes of the log."""
    log = proxy.folder
    before = log.read_text() if log.exists() else ""
    with (
        socket.create_connection(("127.0.0.1", proxy.port(listener)), 5) as raw,
        context.wrap_socket(raw, server_hostname="a.test") as tls,
    ):
        tls.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert tls.recv(65536)

    def rest() -> str:
        return log.read_text().removeprefix(before) if log.exists() else ""

    until(lambda: rest().endswith("--\n"), "a line in the log")
    return rest().splitlines()


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("listener", ["http", "tcp"])
@pytest.mark.parametrize("name", CLIENTS)
def test_logs_tell_the_same(
    name: str, listener: str, version: str, proxies: tuple[Proxy, Proxy], tmp_path: Path
) -> None:
    context = client(tmp_path, CLIENTS[name])
    context.maximum_version = ssl.TLSVersion[version]
    ours, envoy = (logged(proxy, listener, context) for proxy in proxies)
    assert ours == envoy
