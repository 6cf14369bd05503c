"""`/certs`: the certificates in use and how long they are good for."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CertView:
    serial: str
    sans: tuple[dict[str, str], ...]
    valid_from: datetime.datetime
    expires: datetime.datetime

    @property
    def days_left(self) -> int:
        return max((self.expires - datetime.datetime.now(datetime.UTC)).days, 0)

    def as_dict(self, path: str) -> dict[str, Any]:
        """As envoy.admin.v3.CertificateDetails."""
        return {
            "path": path,
            "serial_number": self.serial,
            "subject_alt_names": list(self.sans),
            "days_until_expiration": str(self.days_left),
            "valid_from": self.valid_from.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "expiration_time": self.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


def read_chain(pem: bytes) -> list[CertView]:
    """Raises ValueError for what is no PEM certificate."""
    from cryptography import x509  # only who asks pays for it

    return [_view(certificate) for certificate in x509.load_pem_x509_certificates(pem)]


def as_json(certificates: Iterable[tuple[str, str, bytes]]) -> str:
    """`certificates` are name, `ca_cert` or `cert_chain`, and PEM."""
    entries = []
    for name, kind, pem in certificates:
        details = [certificate.as_dict(name) for certificate in read_chain(pem)] if pem else []
        entries.append({"ca_cert": [], "cert_chain": [], kind: details})
    return json.dumps({"certificates": entries}, indent=1)


def _view(certificate: Any) -> CertView:
    from cryptography import x509

    sans: list[dict[str, str]] = []
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = []
    for name in names:
        match name:
            case x509.DNSName():
                sans.append({"dns": name.value})
            case x509.UniformResourceIdentifier():
                sans.append({"uri": name.value})
            case x509.IPAddress():
                sans.append({"ip_address": str(name.value)})
            case _:
                pass
    return CertView(
        serial=f"{certificate.serial_number:x}",
        sans=tuple(sans),
        valid_from=certificate.not_valid_before_utc,
        expires=certificate.not_valid_after_utc,
    )
