"""SPIFFE identities as Istio writes them: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`."""

import re
from dataclasses import dataclass

from cryptography import x509
from meshloom.auth.errors import InvalidRequest

_SCHEME = "spiffe://"
# SPIFFE-ID 2.1: lower-case letters, digits, dot, dash, underscore; 2.3: at most 2048 bytes in all.
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}\Z")
# Kubernetes' DNS-1123 names: labels for namespaces, subdomains for service accounts.
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_ACCOUNT = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a workload is. Cannot be built from parts that would make another URI ambiguous."""

    trust_domain: str
    namespace: str
    service_account: str

    def __post_init__(self) -> None:
        for value, allowed, what in (
            (self.trust_domain, _TRUST_DOMAIN, "trust domain"),
            (self.namespace, _NAMESPACE, "namespace"),
            (self.service_account, _ACCOUNT, "service account"),
        ):
            if not allowed.match(value):
                raise InvalidRequest(f"{what} {value!r} is not a valid name")

    @classmethod
    def parse(cls, uri: str) -> "Identity":
        """Reads a SPIFFE URI; raises InvalidRequest for any other form."""
        if not uri.startswith(_SCHEME):
            raise InvalidRequest(f"{uri!r} is not a SPIFFE URI")
        match uri.removeprefix(_SCHEME).split("/"):
            case [trust_domain, "ns", namespace, "sa", account]:
                return cls(trust_domain, namespace, account)
        raise InvalidRequest(f"{uri!r} is not spiffe://<trust domain>/ns/<namespace>/sa/<service account>")

    @classmethod
    def of_certificate(cls, certificate: x509.Certificate) -> "Identity":
        """The one identity that an SVID carries (X509-SVID 2: exactly one URI SAN)."""
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound as error:
            raise InvalidRequest("the certificate has no subject alternative name") from error
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        if len(uris) != 1:
            raise InvalidRequest(f"the certificate has {len(uris)} URI names, an SVID has exactly one")
        return cls.parse(uris[0])

    @property
    def subject(self) -> str:
        """The `sub` claim of the tokens that attest this identity, as Kubernetes writes it."""
        return f"system:serviceaccount:{self.namespace}:{self.service_account}"

    def __str__(self) -> str:
        return f"{_SCHEME}{self.trust_domain}/ns/{self.namespace}/sa/{self.service_account}"
