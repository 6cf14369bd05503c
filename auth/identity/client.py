"""Asks the CA for certificates: one call per certificate, attested by a token or by the present
certificate."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import grpc
from meshloom.api.istio import ca_pb2, ca_pb2_grpc
from meshloom.auth.ca.transport import SERVER_NAME
from meshloom.auth.errors import SigningFailed
from meshloom.auth.spiffe import Identity
from meshloom.runtime.address import Address

_RETRYABLE = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    # A token may have expired on the way, or the clocks differ for a moment; a fresh one may do.
    grpc.StatusCode.UNAUTHENTICATED,
)


class CertificateAuthority(Protocol):
    """Somebody who signs: our CA, or any other that speaks Istio's call."""

    async def sign(self, csr_pem: str, identity: Identity, validity: timedelta) -> list[str]:
        """PEM certificates, leaf first and trust bundle last; raises SigningFailed."""


class TokenSource(Protocol):
    """Where a workload's registration token comes from; asked before every call, so it may be short-lived."""

    def token(self, identity: Identity) -> str: ...


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A token that somebody else renews, as Kubernetes' projected service account tokens."""

    path: Path

    def token(self, identity: Identity) -> str:
        try:
            return self.path.read_text().strip()
        except OSError as error:
            raise SigningFailed(f"{self.path}: {error.strerror}, for {identity}", retryable=True) from error


class GrpcAuthority:
    """Our CA over TLS. `roots` is the file of the trust bundle, read for each call: it changes by
    rotation."""

    def __init__(self, address: Address, roots: Path, tokens: TokenSource, deadline: timedelta) -> None:
        self._address, self._roots, self._tokens = address, roots, tokens
        self._deadline = deadline.total_seconds()

    async def sign(self, csr_pem: str, identity: Identity, validity: timedelta) -> list[str]:
        request = ca_pb2.IstioCertificateRequest(csr=csr_pem, validity_duration=int(validity.total_seconds()))
        metadata = (("authorization", f"Bearer {self._tokens.token(identity)}"),)
        try:
            return await self._call(request, metadata)
        except grpc.aio.AioRpcError as error:
            reason = f"{self._address}: {error.code().name}: {error.details()}"
            raise SigningFailed(reason, retryable=error.code() in _RETRYABLE) from error

    async def _call(
        self, request: ca_pb2.IstioCertificateRequest, metadata: tuple[tuple[str, str], ...]
    ) -> list[str]:
        # One connection per call: it happens twice a day, and an idle one would cost each workload memory.
        async with grpc.aio.secure_channel(str(self._address), self._credentials(), _OPTIONS) as channel:
            stub = ca_pb2_grpc.IstioCertificateServiceStub(channel)  # type: ignore[no-untyped-call]
            answer = await stub.CreateCertificate(request, metadata=metadata, timeout=self._deadline)
            return list(answer.cert_chain)

    def _credentials(self) -> grpc.ChannelCredentials:
        try:
            return grpc.ssl_channel_credentials(self._roots.read_bytes())
        except OSError as error:
            raise SigningFailed(f"{self._roots}: {error.strerror}", retryable=True) from error


_OPTIONS = [("grpc.ssl_target_name_override", SERVER_NAME), ("grpc.use_local_subchannel_pool", 1)]
