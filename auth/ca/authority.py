"""What the CA signs with, and the shape of everything it signs. Pure: certificates in, certificates out."""

import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from meshloom.auth.ca.keys import PrivateKey, PublicKey
from meshloom.auth.errors import InvalidAuthority, InvalidRequest
from meshloom.auth.spiffe import Identity

MAX_TTL = timedelta(days=90)
# The CA's own certificate; made anew well before.
SERVER_TTL = timedelta(hours=24)
ROOT_LIFETIME = timedelta(days=3650)
# Clocks of a fleet differ; a certificate that is valid from "now" would be refused by those behind.
BACKDATE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Authority:
    """A signing certificate with its key, the chain up to (not including) a root, and the roots peers
    trust."""

    certificate: x509.Certificate
    key: PrivateKey
    chain: tuple[x509.Certificate, ...]
    roots: tuple[x509.Certificate, ...]

    @classmethod
    def build(
        cls,
        certificate: x509.Certificate,
        key: PrivateKey,
        chain: tuple[x509.Certificate, ...],
        roots: tuple[x509.Certificate, ...],
    ) -> "Authority":
        """Checks that the parts belong together, so that a running CA can never sign what nobody would
        verify."""
        if certificate.public_key() != key.public_key():
            raise InvalidAuthority("the CA's certificate and key do not belong together")
        if not _is_ca(certificate):
            raise InvalidAuthority(
                f"{certificate.subject.rfc4514_string()} may not sign certificates (CA:false)"
            )
        path = (certificate, *chain)
        for child, parent in itertools.pairwise(path):
            _check_issued(child, parent)
        if path[-1] not in roots and not any(_issued(path[-1], root) for root in roots):
            raise InvalidAuthority("the CA's chain does not lead to any of the root certificates")
        return cls(certificate, key, chain, roots)

    def issue(
        self, identity: Identity, key: PublicKey, validity: timedelta, now: datetime
    ) -> x509.Certificate:
        """Signs an SVID: one URI SAN, no CA, for both ends of TLS. It never outlives the CA itself."""
        return self._sign((x509.UniformResourceIdentifier(str(identity)),), key, validity, now)

    def issue_server(self, identity: Identity, name: str, key: PublicKey, now: datetime) -> x509.Certificate:
        """The CA's own SVID, which also carries the DNS name that TLS clients of gRPC insist on."""
        names = (x509.UniformResourceIdentifier(str(identity)), x509.DNSName(name))
        return self._sign(names, key, SERVER_TTL, now)

    def _sign(
        self, names: tuple[x509.GeneralName, ...], key: PublicKey, validity: timedelta, now: datetime
    ) -> x509.Certificate:
        until = min(now + validity, self.certificate.not_valid_after_utc)
        if until <= now:
            raise InvalidAuthority("the CA's own certificate has expired")
        since = max(now - BACKDATE, self.certificate.not_valid_before_utc)
        # X509-SVID 2 / RFC 5280 4.2.1.6: critical, because the subject is empty.
        builder = _leaf(self, key, since, until).add_extension(
            x509.SubjectAlternativeName(names), critical=True
        )
        return builder.sign(self.key, signing_hash(self.key))

    def chain_pem(self, leaf: x509.Certificate) -> list[str]:
        """Leaf first, then intermediates; the last element is the whole trust bundle, as Istio's agents
        expect."""
        return [*(pem((c,)) for c in (leaf, *self._sent())), pem(self.roots)]

    def _sent(self) -> tuple[x509.Certificate, ...]:
        # A self-signed certificate is known to peers from the bundle; sending it only costs bytes. An old
        # root that signs while a new one is announced is in the bundle too.
        return tuple(c for c in (self.certificate, *self.chain) if c.issuer != c.subject)


def validity_of(seconds: int, default: timedelta, longest: timedelta) -> timedelta:
    """The lifetime to sign for a request of `seconds` (0: the default)."""
    if seconds == 0:
        return default
    if seconds < 0 or seconds > longest.total_seconds():
        raise InvalidRequest(f"validity of {seconds} s; ask for 1 to {int(longest.total_seconds())} s")
    return timedelta(seconds=seconds)


def make_root(
    key: PrivateKey, organization: str, now: datetime, lifetime: timedelta = ROOT_LIFETIME
) -> x509.Certificate:
    """A self-signed root. The serial number is in the name, so that two roots of one mesh never share a
    subject."""
    serial = x509.random_serial_number()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Meshloom root {serial:x}"[:40]),
        ]
    )
    return (
        x509.CertificateBuilder(
            subject_name=name, issuer_name=name, serial_number=serial, public_key=key.public_key()
        )
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, signing_hash(key))
    )


def signing_hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384:
    """SHA-384 with P-384 keys, so that the hash is not the weaker part; SHA-256 with all others."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1):
        return hashes.SHA384()
    return hashes.SHA256()


def pem(certificates: tuple[x509.Certificate, ...]) -> str:
    return "".join(c.public_bytes(serialization.Encoding.PEM).decode() for c in certificates)


def _leaf(authority: Authority, key: PublicKey, since: datetime, until: datetime) -> x509.CertificateBuilder:
    issuer = authority.certificate
    return (
        x509.CertificateBuilder(
            subject_name=x509.Name([]),
            issuer_name=issuer.subject,
            public_key=key,
            serial_number=x509.random_serial_number(),
            not_valid_before=since,
            not_valid_after=until,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .add_extension(_authority_key(issuer), critical=False)
    )


def _authority_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        subject_key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        key = issuer.public_key()
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_key)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_encipherment=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _issued(child: x509.Certificate, parent: x509.Certificate) -> bool:
    try:
        child.verify_directly_issued_by(parent)
    except Exception:  # noqa: BLE001 - InvalidSignature, ValueError, TypeError: each means "no"
        return False
    return True


def _check_issued(child: x509.Certificate, parent: x509.Certificate) -> None:
    if not _issued(child, parent):
        raise InvalidAuthority(
            f"{child.subject.rfc4514_string()} was not issued by the next in the chain, "
            f"{parent.subject.rfc4514_string()}"
        )
