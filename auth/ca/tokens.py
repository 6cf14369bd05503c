"""Registration tokens: what a workload shows the CA before it has a certificate.

A token is a JWT signed with ES256, in the shape of a Kubernetes service account token, so that the one
claim that matters (`sub`) reads the same on every platform. The CA's state directory holds the signing
key; whoever starts workloads (a supervisor, an installer) mints short-lived tokens with it and hands one
to each.

Only ES256 is accepted, whatever the token's header says: `none`, and HS256 keyed with the public key, are
the two classic ways to forge a token (RFC 8725 3.1).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from meshloom.auth.ca.keys import KeyType, key_pem, load_key, write_private
from meshloom.auth.errors import InvalidAuthority, InvalidRequest, NotAttested
from meshloom.auth.spiffe import Identity

ISSUER = "meshloom"
AUDIENCE = "istio-ca"
_ALGORITHMS = ["ES256"]
_SUBJECT_PREFIX = "system:serviceaccount:"
# A token is a few hundred bytes; parsing a huge one is work for nothing.
MAX_TOKEN_BYTES = 8 * 1024
CLOCK_SKEW = timedelta(seconds=60)
# A longer-lived token is a password. Supervisors mint a fresh one for every request.
MAX_TOKEN_LIFETIME = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class TokenSigner:
    """Mints registration tokens. Whoever holds one may make any identity of the trust domain."""

    key: ECKey

    @classmethod
    def load_or_create(cls, path: Path) -> "TokenSigner":
        """The CA's own start: makes the key on first use (mode 0600)."""
        if not path.exists():
            write_private(path, key_pem(KeyType.P256.generate()))
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> "TokenSigner":
        key = load_key(path)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise InvalidAuthority(
                f"{path}: registration tokens are signed with ES256, so this must be a P-256 key"
            )
        return cls(ECKey.import_key(key_pem(key)))

    def mint(self, namespace: str, service_account: str, now: datetime, lifetime: timedelta) -> str:
        """A token for one service account, good from `now` for `lifetime`."""
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": f"{_SUBJECT_PREFIX}{namespace}:{service_account}",
            "iat": int(now.timestamp()),
            "exp": int((now + lifetime).timestamp()),
        }
        return jwt.encode({"alg": "ES256", "typ": "JWT"}, claims, self.key, algorithms=_ALGORITHMS)

    def verifier(self, trust_domain: str) -> "TokenVerifier":
        return TokenVerifier(ECKey.import_key(self.key.as_dict(private=False)), trust_domain)


@dataclass(frozen=True, slots=True)
class TokenVerifier:
    """Turns a token into the identity that it attests. Holds the public key only."""

    key: ECKey
    trust_domain: str

    def identity(self, token: str, now: datetime) -> Identity:
        """Raises NotAttested for anything but a current token that we signed for this CA."""
        if len(token) > MAX_TOKEN_BYTES:
            raise NotAttested(f"the registration token has {len(token)} bytes, more than {MAX_TOKEN_BYTES}")
        try:
            claims = jwt.decode(token, self.key, algorithms=_ALGORITHMS).claims
            self._registry(now).validate(claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise NotAttested(f"the registration token is not valid: {error}") from error
        _check_lifetime(claims)
        return self._subject(claims["sub"])

    def _registry(self, now: datetime) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            leeway=int(CLOCK_SKEW.total_seconds()),
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )

    def _subject(self, subject: object) -> Identity:
        parts = subject.removeprefix(_SUBJECT_PREFIX).split(":") if isinstance(subject, str) else []
        if len(parts) != 2 or not str(subject).startswith(_SUBJECT_PREFIX):
            raise NotAttested(f"the token's subject is not {_SUBJECT_PREFIX}<namespace>:<service account>")
        try:
            return Identity(self.trust_domain, parts[0], parts[1])
        except InvalidRequest as error:
            raise NotAttested(f"the token's subject names no identity: {error}") from error


def _check_lifetime(claims: dict[str, Any]) -> None:
    if claims["exp"] - claims["iat"] > MAX_TOKEN_LIFETIME.total_seconds():
        raise NotAttested(f"the registration token lives longer than {MAX_TOKEN_LIFETIME.days} days")
