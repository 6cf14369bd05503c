"""An intermediate that the user plugs in: the four files of Istio's `cacerts` secret, read again when they
change."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from meshloom.auth.ca.authority import Authority
from meshloom.auth.ca.keys import load_key
from meshloom.auth.ca.root import load_certificates
from meshloom.auth.errors import InvalidAuthority

_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class PluggedFiles:
    """`ca-cert.pem`, `ca-key.pem`, `root-cert.pem`, `cert-chain.pem`; the last may be left out under a
    root."""

    certificate: Path
    key: Path
    root: Path
    chain: Path | None

    def __iter__(self) -> Iterator[Path]:
        yield from (path for path in (self.certificate, self.key, self.root, self.chain) if path is not None)

    def load(self, now: datetime) -> Authority:
        """Raises InvalidAuthority when the files are unreadable, do not belong together, or have expired."""
        certificate = load_certificates(self.certificate)[0]
        chain = load_certificates(self.chain) if self.chain is not None else ()
        # Istio's cert-chain.pem starts with the CA's own certificate and may end with the root.
        roots = load_certificates(self.root)
        above = tuple(c for c in chain if c != certificate and c not in roots)
        if now >= certificate.not_valid_after_utc:
            raise InvalidAuthority(
                f"{self.certificate}: expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
            )
        return Authority.build(certificate, load_key(self.key), above, roots)


class PluggedAuthority:
    """Watches the files by their stat; a bad or half-written set never displaces a good one."""

    def __init__(self, files: PluggedFiles) -> None:
        self._files = files
        self._seen: _Stamp = ()

    def load(self, now: datetime) -> Authority:
        self._seen = self._stamp()
        return self._files.load(now)

    def reload_if_changed(self, now: datetime) -> Authority | None:
        """The new authority if the files changed and are good. Raises InvalidAuthority once per bad
        change."""
        if (stamp := self._stamp()) == self._seen:
            return None
        self._seen = stamp
        return self._files.load(now)

    def _stamp(self) -> _Stamp:
        return tuple(_stamp(path) for path in self._files)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)  # a missing file is a state like any other: `load` says so, once
    return (found.st_mtime_ns, found.st_ino, found.st_size)
