"""Private keys: which kinds the mesh uses, how they are written to disk, and which public keys are too
weak."""

import os
from enum import StrEnum
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from meshloom.auth.errors import InvalidAuthority, InvalidRequest

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

MIN_RSA_BITS = 2048
# Above this, a CSR only serves to make the CA and every peer compute.
MAX_RSA_BITS = 8192


class KeyType(StrEnum):
    """What a new key is made of. P-256 signs and verifies fastest; RSA is for peers that know nothing
    else."""

    P256 = "ecdsa-p256"
    P384 = "ecdsa-p384"
    RSA2048 = "rsa-2048"
    RSA3072 = "rsa-3072"

    def generate(self) -> PrivateKey:
        match self:
            case KeyType.P256:
                return ec.generate_private_key(ec.SECP256R1())
            case KeyType.P384:
                return ec.generate_private_key(ec.SECP384R1())
            case KeyType.RSA2048 | KeyType.RSA3072:
                return rsa.generate_private_key(
                    public_exponent=65537, key_size=int(self.value.removeprefix("rsa-"))
                )


def strong_public_key(key: PublicKeyTypes) -> PublicKey:
    """Refuses keys that peers may reject or that can be broken; returns the others as their type."""
    match key:
        case rsa.RSAPublicKey() if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise InvalidRequest(f"RSA key of {key.key_size} bits; use {MIN_RSA_BITS} to {MAX_RSA_BITS}")
        case rsa.RSAPublicKey() if key.public_numbers().e < 65537:
            raise InvalidRequest("RSA key with a small exponent; use 65537")
        case ec.EllipticCurvePublicKey() if not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
            raise InvalidRequest(f"curve {key.curve.name} is not accepted; use P-256 or P-384")
        case rsa.RSAPublicKey() | ec.EllipticCurvePublicKey():
            return key
    raise InvalidRequest(f"{type(key).__name__} is not accepted; use ECDSA P-256, P-384 or RSA")


def key_pem(key: PrivateKey) -> bytes:
    """PKCS #8, unencrypted: for a memory-only secret or a file of mode 0600."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_key(path: Path) -> PrivateKey:
    """Reads an unencrypted PEM key; raises InvalidAuthority naming the file."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise InvalidAuthority(f"{path}: not a readable private key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise InvalidAuthority(f"{path}: {type(key).__name__} is not usable; want an ECDSA or RSA key")
    return key


def write_private(path: Path, content: bytes) -> None:
    """Replaces a file at once, and nobody but its owner can ever read it."""
    _replace(path, content, 0o600)


def write_public(path: Path, content: bytes) -> None:
    """Replaces a file at once; readers see the old content or the new, never a part."""
    _replace(path, content, 0o644)


def _replace(path: Path, content: bytes, mode: int) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
