"""TLS of the CA's own endpoints. Tokens are secrets, so even the token endpoint is TLS.

Two listeners, because gRPC's Python server either demands a client certificate or does not ask for one:
workloads without a certificate show a token on the first, workloads with one may renew with it on the second.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import grpc
from meshloom.auth.ca.authority import Authority, pem
from meshloom.auth.ca.keys import KeyType, key_pem
from meshloom.auth.ca.service import Current
from meshloom.auth.spiffe import Identity

# What clients verify, whatever address they reach the CA at.
SERVER_NAME = "auth.istio-system.svc"
_FRESH_FOR = timedelta(hours=8)


class ServerCertificate:
    """The CA's own SVID, made anew before it ages and whenever the authority changes."""

    def __init__(self, current: Current, identity: Identity, now: Callable[[], datetime]) -> None:
        self._current, self._identity, self._now = current, identity, now
        self._made: tuple[Authority, datetime] | None = None

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        authority, now = self._current.authority, self._now()
        key = KeyType.P256.generate()
        leaf = authority.issue_server(self._identity, SERVER_NAME, key.public_key(), now)
        self._made = (authority, now)
        chain = "".join(authority.chain_pem(leaf)[:-1])
        return grpc.ssl_server_certificate_configuration(
            [(key_pem(key), chain.encode())], root_certificates=pem(authority.roots).encode()
        )

    def if_stale(self) -> grpc.ServerCertificateConfiguration | None:
        """gRPC asks before every handshake; None keeps the present certificate."""
        if self._made is not None:
            authority, at = self._made
            if authority is self._current.authority and self._now() - at < _FRESH_FOR:
                return None
        return self.configuration()

    def credentials(self, *, mutual: bool) -> grpc.ServerCredentials:
        first, renew = self.configuration(), self.if_stale
        return grpc.dynamic_ssl_server_credentials(first, renew, mutual)  # type: ignore[arg-type]
