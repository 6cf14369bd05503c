"""Pilot's own certificate on the mTLS port, read again whenever its files change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from meshloom.pilot.settings import TlsFiles
from meshloom.runtime.log import Log

_log = Log("pilot.tls")
_Stamp = tuple[int, ...]


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Clients must show a certificate under the roots. Raises OSError where a file cannot be read."""
    reload = _Reload(files)
    # The stubs do not know that the fetcher may answer None.
    newer: Callable[[], Any] = reload.newer
    return grpc.dynamic_ssl_server_credentials(reload.current, newer, require_client_authentication=True)


class _Reload:
    """gRPC asks at each handshake, from a thread of its own; a renewed certificate needs no restart."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._stamp = self._look()
        self.current = self._read()

    def newer(self) -> grpc.ServerCertificateConfiguration | None:
        """What changed since the last handshake; None keeps what is in use, also while files are replaced."""
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return None
            self.current, self._stamp = self._read(), stamp
        except OSError as error:
            _log.warning("certificate_kept", reason=str(error))
            return None
        return self.current

    def _look(self) -> _Stamp:
        files = (self._files.certificate, self._files.key, self._files.roots)
        return tuple(stamp for file in files for stamp in (file.stat().st_mtime_ns, file.stat().st_ino))

    def _read(self) -> grpc.ServerCertificateConfiguration:
        pair = (self._files.key.read_bytes(), self._files.certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], self._files.roots.read_bytes())
