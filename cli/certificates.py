"""What a proxy's secrets say: whose certificate, until when, signed by whom. Never a private key."""

import base64
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from meshloom.cli.dump import Json, Rows


def secret_rows(found: list[Json]) -> Rows:
    rows: list[list[object]] = []
    for secret in found:
        for kind, source in _sources(secret):
            rows += [[secret.get("name", ""), kind, *_facts(c)] for c in _certificates(source)]
    return ["SECRET", "KIND", "IDENTITY OR SUBJECT", "SERIAL", "NOT AFTER", "VALID"], rows


def _sources(secret: Json) -> list[tuple[str, Json]]:
    chain = secret.get("tls_certificate", {}).get("certificate_chain")
    roots = secret.get("validation_context", {}).get("trusted_ca")
    return [(kind, source) for kind, source in (("Cert Chain", chain), ("CA", roots)) if source]


def _certificates(source: Json) -> list[x509.Certificate]:
    encoded: Any = source.get("inline_bytes")
    pem = base64.b64decode(encoded) if encoded else str(source.get("inline_string", "")).encode()
    return x509.load_pem_x509_certificates(pem) if pem.strip() else []


def _facts(certificate: x509.Certificate) -> list[object]:
    until = certificate.not_valid_after_utc
    valid = certificate.not_valid_before_utc <= datetime.now(UTC) <= until
    serial = f"{certificate.serial_number:x}"[:16]
    return [_name(certificate), serial, f"{until:%Y-%m-%dT%H:%M:%SZ}", str(valid).lower()]


def _name(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return certificate.subject.rfc4514_string()
    return ", ".join(names.get_values_for_type(x509.UniformResourceIdentifier)) or "-"
