"""Certificate authorities for tests: every kind of certificate, revocation list and OCSP response."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
CURVES: dict[str, ec.EllipticCurve] = {
    "ecdsa": ec.SECP256R1(),
    "p384": ec.SECP384R1(),
    "p521": ec.SECP521R1(),
}
HOUR = datetime.timedelta(hours=1)
BOTH = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)
KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def new_key(kind: str = "ecdsa") -> Key:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(CURVES[kind])


def uri(name: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(name)


def dns(name: str) -> x509.GeneralName:
    return x509.DNSName(name)


def email(name: str) -> x509.GeneralName:
    return x509.RFC822Name(name)


def ip(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(name))


def other(oid: str, text: str) -> x509.GeneralName:
    """A name of another kind, as an UTF8String."""
    return x509.OtherName(x509.ObjectIdentifier(oid), bytes([0x0C, len(text), *text.encode()]))


@dataclass(frozen=True)
class Identity:
    """A certificate with its chain and its key."""

    certificates: tuple[x509.Certificate, ...]
    private: Key = field(repr=False)

    @property
    def leaf(self) -> x509.Certificate:
        return self.certificates[0]

    @property
    def chain(self) -> str:
        return "".join(pem(certificate) for certificate in self.certificates)

    @property
    def key(self) -> str:
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def files(self, folder: Path) -> tuple[str, str]:
        """The paths of certificate and key, written below `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "chain.pem").write_text(self.chain)
        (folder / "key.pem").write_text(self.key)
        return str(folder / "chain.pem"), str(folder / "key.pem")

    def spki_pin(self) -> bytes:
        """SHA-256 of the public key."""
        public = self.leaf.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        digest = hashes.Hash(hashes.SHA256())
        digest.update(public)
        return digest.finalize()

    def fingerprint(self) -> str:
        return self.leaf.fingerprint(hashes.SHA256()).hex()


@dataclass
class Authority:
    """One that signs; with a parent, an intermediate one."""

    name: str = "root"
    parent: Authority | None = None
    private: Key = field(default_factory=new_key, repr=False)
    certificate: x509.Certificate = field(init=False, repr=False)

    def __post_init__(self) -> None:
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = self._builder(
            self.name, self.private, (now() - HOUR, now() + 24 * HOUR), self.parent or self
        )
        builder = builder.add_extension(constraints, critical=True)
        self.certificate = builder.sign((self.parent or self).private, hashes.SHA256())

    def root(self) -> str:
        return pem(self.certificate)

    def issue(
        self,
        *names: x509.GeneralName,
        subject: str = "workload",
        kind: str = "ecdsa",
        usages: Sequence[x509.ObjectIdentifier] = BOTH,
        key_usages: Sequence[str] = (),
        begins: datetime.timedelta = -HOUR,
        ends: datetime.timedelta = HOUR,
        authority: bool = False,
        must_staple: bool = False,
    ) -> Identity:
        """A certificate for a new key. `begins` and `ends` count from now."""
        key = new_key(kind)
        builder = self._builder(subject, key, (now() + begins, now() + ends), self)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if key_usages:
            flags = {usage: usage in key_usages for usage in KEY_USAGES}
            builder = builder.add_extension(x509.KeyUsage(**flags), critical=True)
        if authority:
            builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
        if must_staple:
            feature = x509.TLSFeature([x509.TLSFeatureType.status_request])
            builder = builder.add_extension(feature, critical=False)
        return Identity((builder.sign(self.private, hashes.SHA256()), *self._above()), key)

    def revoke(self, *revoked: Identity, ends: datetime.timedelta = HOUR) -> str:
        """A revocation list."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(subject_name(self.name))
        builder = builder.last_update(now() - 2 * HOUR).next_update(now() + ends)
        builder = builder.add_extension(x509.CRLNumber(1), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.private.public_key())
        builder = builder.add_extension(identifier, critical=False)
        for each in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(each.leaf.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(now() - HOUR).build())
        signed = builder.sign(self.private, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM).decode()

    def ocsp(self, identity: Identity, ends: datetime.timedelta = HOUR) -> bytes:
        """An OCSP response (DER) that says the certificate is good."""
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=identity.leaf,
            issuer=self.certificate,
            algorithm=hashes.SHA1(),  # what names the issuer, as everybody does it
            cert_status=ocsp.OCSPCertStatus.GOOD,
            this_update=now() - 2 * HOUR,
            next_update=now() + ends,
            revocation_time=None,
            revocation_reason=None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, self.certificate)
        return builder.sign(self.private, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def _above(self) -> Iterable[x509.Certificate]:
        if self.parent is not None:
            yield self.certificate
            yield from self.parent._above()

    @staticmethod
    def _builder(
        subject: str, key: Key, life: tuple[datetime.datetime, datetime.datetime], issuer: Authority
    ) -> x509.CertificateBuilder:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject_name(subject))
            .issuer_name(subject_name(issuer.name))
        )
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        return builder.not_valid_before(life[0]).not_valid_after(life[1])


def subject_name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
