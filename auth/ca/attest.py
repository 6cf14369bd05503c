"""Who is calling: by registration token, or by the SVID of a mutual TLS connection. Nothing else counts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from meshloom.auth.ca.tokens import TokenVerifier
from meshloom.auth.errors import InvalidRequest, NotAttested
from meshloom.auth.spiffe import Identity

_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Caller:
    """An attested caller, and what proved it (for the audit log)."""

    identity: Identity
    proof: str


@dataclass(frozen=True, slots=True)
class Attestor:
    """Reads the proof out of one call."""

    tokens: TokenVerifier
    trust_domain: str

    def caller(
        self, metadata: Iterable[tuple[str, str | bytes]], peer: Mapping[str, Iterable[bytes]], now: datetime
    ) -> Caller:
        """`peer` is gRPC's auth context; its certificate has been verified by TLS against our roots.

        A certificate outranks a token: both present and different is somebody using a stolen token.
        """
        token = _bearer(metadata)
        by_token = Caller(self.tokens.identity(token, now), "token") if token is not None else None
        certificate = next(iter(peer.get("x509_pem_cert", ())), None)
        by_certificate = Caller(self._svid(certificate, now), "svid") if certificate else None
        if by_token and by_certificate and by_token.identity != by_certificate.identity:
            raise NotAttested(
                f"token for {by_token.identity}, but the certificate says {by_certificate.identity}"
            )
        if (caller := by_certificate or by_token) is None:
            raise NotAttested(
                "no registration token (metadata `authorization: Bearer ...`) and no client certificate"
            )
        return caller

    def _svid(self, certificate_pem: bytes, now: datetime) -> Identity:
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem)
            identity = Identity.of_certificate(certificate)
        except (ValueError, InvalidRequest) as error:
            raise NotAttested(f"the client certificate is not an SVID: {error}") from error
        # TLS checked this when the connection was made; a connection may outlive its certificate.
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise NotAttested("the client certificate has expired")
        if identity.trust_domain != self.trust_domain:
            raise NotAttested(f"the client certificate is of trust domain {identity.trust_domain}")
        return identity


def _bearer(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    values = [value for name, value in metadata if name.lower() == "authorization"]
    if not values:
        return None
    if len(values) > 1:
        raise NotAttested("more than one `authorization`")
    text = values[0].decode("ascii", "replace") if isinstance(values[0], bytes) else values[0]
    if not text.lower().startswith(_BEARER):
        raise NotAttested("`authorization` is not of the form `Bearer <registration token>`")
    return text[len(_BEARER) :].strip()
