"""The two secrets of a workload as Envoy's messages: `default` (certificate and key) and `ROOTCA` (trust)."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from google.protobuf.any_pb2 import Any
from meshloom.auth.identity.svid import Svid

DEFAULT = "default"
ROOT = "ROOTCA"
TYPE_URL = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


@dataclass(frozen=True, slots=True)
class NamedSecret:
    """One secret at one version. Equal content has the equal version, so that it is not pushed twice."""

    name: str
    version: str
    packed: Any


def secrets_of(svid: Svid) -> dict[str, NamedSecret]:
    """Both secrets of one SVID."""
    certificate = secret_pb2.Secret(name=DEFAULT)
    certificate.tls_certificate.certificate_chain.inline_bytes = svid.chain_pem
    certificate.tls_certificate.private_key.inline_bytes = svid.key_pem
    trust = secret_pb2.Secret(name=ROOT)
    trust.validation_context.trusted_ca.inline_bytes = svid.roots_pem
    return {secret.name: _named(secret) for secret in (certificate, trust)}


def version_of(secrets: Iterable[NamedSecret]) -> str:
    """The version of a whole response."""
    return _digest("".join(secret.version for secret in secrets).encode())


def _named(secret: secret_pb2.Secret) -> NamedSecret:
    value = secret.SerializeToString(deterministic=True)
    return NamedSecret(secret.name, _digest(value), Any(type_url=TYPE_URL, value=value))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
