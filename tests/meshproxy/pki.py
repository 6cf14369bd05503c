"""A small certificate authority for tests, and a client that tells which certificate it was shown."""

from __future__ import annotations

import base64
import datetime
import socket
import ssl
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFE = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Issued:
    chain: bytes
    key: bytes
    serial: int

    def secret(self, name: str) -> dict[str, Any]:
        """As an SDS resource in JSON."""
        return {
            "name": name,
            "tls_certificate": {
                "certificate_chain": {"inline_bytes": base64.b64encode(self.chain).decode()},
                "private_key": {"inline_bytes": base64.b64encode(self.key).decode()},
            },
        }


@dataclass
class Authority:
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def chain(self) -> bytes:
        """The root certificate."""
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name("test ca"))
            .issuer_name(_name("test ca"))
            .public_key(self.key.public_key())
            .serial_number(1)
            .not_valid_before(now - LIFE)
            .not_valid_after(now + LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, dns: str) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(dns))
            .issuer_name(_name("test ca"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - LIFE)
            .not_valid_after(now + LIFE)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(dns)]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        chain = certificate.public_bytes(serialization.Encoding.PEM)
        return Issued(chain, pem, certificate.serial_number)


def peer_serial(port: int) -> int:
    """The serial number of the certificate that a server shows to a new connection; 0 when it shows none."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as raw,
            context.wrap_socket(raw, server_hostname="one.test") as tls,
        ):
            shown = tls.getpeercert(binary_form=True)
    except OSError:
        return 0
    return x509.load_der_x509_certificate(shown).serial_number if shown else 0


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
