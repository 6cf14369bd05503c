"""The CA's own self-signed root in its state directory, and its replacement without a gap in trust.

Files: `ca-key.pem` (0600) holds the signing key *and* its certificate in one file, so that the two can
never be seen half replaced; `root-cert.pem` is the bundle that peers trust; `next-ca.pem` exists while a
successor is announced.

    Steady ──announce──▶ Announcing ──switch──▶ Retiring ──retire──▶ Steady
    bundle {A}           bundle {A, B}          bundle {B, A}        bundle {B}
    A signs              A signs                B signs              B signs

Each arrow waits for one overlap, at least the longest life of a certificate: by then everybody has renewed
and so has the bundle that went out before. Every state is read back from the files, so a crash anywhere is
harmless.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from meshloom.auth.ca.authority import BACKDATE, Authority, make_root, pem
from meshloom.auth.ca.keys import KeyType, PrivateKey, key_pem, load_key, write_private, write_public
from meshloom.auth.errors import InvalidAuthority

# A root's successor is announced when this part of its life is left: a year of a ten-year root.
RENEW_AT_LEFT = 0.1


class Step(Enum):
    """What the rotation of the root does next."""

    WAIT = auto()
    ANNOUNCE = auto()
    SWITCH = auto()
    RETIRE = auto()


@dataclass(frozen=True, slots=True)
class Rotation:
    """Where a root's replacement stands: when a successor was announced, or since when the old one
    retires."""

    announced: datetime | None
    retiring: datetime | None

    def step(self, root: x509.Certificate, overlap: timedelta, now: datetime) -> Step:
        if self.announced is not None:
            return Step.SWITCH if now - self.announced >= overlap else Step.WAIT
        if self.retiring is not None:
            return Step.RETIRE if now - self.retiring >= overlap else Step.WAIT
        life = root.not_valid_after_utc - root.not_valid_before_utc
        return Step.ANNOUNCE if root.not_valid_after_utc - now < life * RENEW_AT_LEFT else Step.WAIT


class OwnRoot:
    """Keeps the files of a self-signed root. One process at a time owns a state directory."""

    def __init__(self, state: Path, organization: str, key_type: KeyType) -> None:
        self._organization, self._key_type = organization, key_type
        self._signing = state / "ca-key.pem"
        self._next = state / "next-ca.pem"
        self._bundle = state / "root-cert.pem"

    def load_or_create(self, now: datetime) -> Authority:
        """The authority as the files say; makes a root when there is none yet."""
        if not self._signing.exists():
            root, key = self._fresh(now)
            write_private(self._signing, _joined(root, key))
            write_public(self._bundle, pem((root,)).encode())
        return self._load()

    def advance(self, overlap: timedelta, now: datetime) -> Authority | None:
        """Takes the next step of a rotation if its time has come; returns the new authority then."""
        root, _ = _split(self._signing)
        match self._rotation(root).step(root, overlap, now):
            case Step.WAIT:
                return None
            case Step.ANNOUNCE:
                return self.announce(now)
            case Step.SWITCH:
                self._switch(root, now)
            case Step.RETIRE:
                write_public(self._bundle, pem((root,)).encode())
        return self._load()

    def announce(self, now: datetime) -> Authority:
        """Starts a rotation: makes the successor and lets everybody trust it, before it signs anything."""
        if not self._next.exists():
            write_private(self._next, _joined(*self._fresh(now)))
        successor, _ = _split(self._next)
        roots = load_certificates(self._bundle)
        if successor not in roots:
            write_public(self._bundle, pem((*roots, successor)).encode())
        return self._load()

    def _switch(self, old: x509.Certificate, now: datetime) -> None:
        successor, key = _split(self._next)
        write_public(self._bundle, pem((successor, old)).encode())
        write_private(self._signing, _joined(successor, key))
        os.utime(self._signing, (now.timestamp(), now.timestamp()))
        self._next.unlink()

    def _rotation(self, root: x509.Certificate) -> Rotation:
        if self._next.exists():
            successor, _ = _split(self._next)
            if successor != root:
                return Rotation(successor.not_valid_before_utc + BACKDATE, None)
            self._next.unlink()  # a switch that was interrupted after its last write
        if any(other != root for other in load_certificates(self._bundle)):
            switched = datetime.fromtimestamp(self._signing.stat().st_mtime, UTC)
            return Rotation(None, switched)
        return Rotation(None, None)

    def _fresh(self, now: datetime) -> tuple[x509.Certificate, PrivateKey]:
        key = self._key_type.generate()
        return make_root(key, self._organization, now), key

    def _load(self) -> Authority:
        root, key = _split(self._signing)
        return Authority.build(root, key, (), load_certificates(self._bundle))


def load_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """Every certificate of a PEM file, at least one; raises InvalidAuthority naming the file."""
    try:
        return tuple(x509.load_pem_x509_certificates(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise InvalidAuthority(f"{path}: not a readable PEM certificate: {error}") from error


def _joined(certificate: x509.Certificate, key: PrivateKey) -> bytes:
    return key_pem(key) + certificate.public_bytes(serialization.Encoding.PEM)


def _split(path: Path) -> tuple[x509.Certificate, PrivateKey]:
    return load_certificates(path)[0], load_key(path)
