"""What a workload holds: its key, its certificate chain and the roots it trusts, checked when they arrive."""

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from meshloom.auth.ca.keys import KeyType, PrivateKey, key_pem
from meshloom.auth.errors import InvalidRequest, SigningFailed
from meshloom.auth.spiffe import Identity


@dataclass(frozen=True, slots=True)
class Svid:
    """One identity document. `received` is the holder's own clock, from which its renewal is reckoned."""

    identity: Identity
    key_pem: bytes
    chain_pem: bytes
    roots_pem: bytes
    serial: int
    received: datetime
    not_after: datetime

    @classmethod
    def accept(cls, key: PrivateKey, answer: list[str], identity: Identity, now: datetime) -> "Svid":
        """Reads the CA's answer; raises SigningFailed when it is not what was asked for.

        A wrong answer is worth another try: the CA may be in the middle of a change of its files.
        """
        if len(answer) < 2:
            raise SigningFailed(f"the CA sent {len(answer)} certificates, want leaf and root", retryable=True)
        try:
            leaf = x509.load_pem_x509_certificate(answer[0].encode())
            x509.load_pem_x509_certificates(answer[-1].encode())
            named = Identity.of_certificate(leaf)
        except (ValueError, InvalidRequest) as error:
            raise SigningFailed(f"the CA sent something unreadable: {error}", retryable=True) from error
        if leaf.public_key() != key.public_key():
            raise SigningFailed("the CA certified another key", retryable=True)
        if named != identity:
            raise SigningFailed(f"the CA certified {named}, not {identity}", retryable=False)
        if leaf.not_valid_after_utc <= now:
            raise SigningFailed("the CA sent an expired certificate: is the clock right?", retryable=True)
        chain, roots = "".join(answer[:-1]).encode(), answer[-1].encode()
        return cls(identity, key_pem(key), chain, roots, leaf.serial_number, now, leaf.not_valid_after_utc)


def make_request(identity: Identity, key_type: KeyType) -> tuple[PrivateKey, str]:
    """A fresh key, which never leaves this process but to the proxy, and the request to certify it."""
    key = key_type.generate()
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.trust_domain)]))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(identity))]), critical=True
        )
        .sign(key, hashes.SHA256())
    )
    return key, csr.public_bytes(serialization.Encoding.PEM).decode()
