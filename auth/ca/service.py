"""Istio's certificate signing call. Every answer, good or bad, is one audit event."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

import grpc
from cryptography import x509
from meshloom.api.istio import ca_pb2, ca_pb2_grpc
from meshloom.auth.ca.attest import Attestor, Caller
from meshloom.auth.ca.authority import MAX_TTL, Authority, validity_of
from meshloom.auth.ca.csr import requested_key
from meshloom.auth.ca.limits import RateLimit
from meshloom.auth.ca.observe import Counters
from meshloom.auth.errors import (
    AuthError,
    IdentityRefused,
    InvalidAuthority,
    InvalidRequest,
    NotAttested,
    RateLimited,
    SigningFailed,
)
from meshloom.runtime.log import Log

log = Log("auth.audit")


@dataclass(slots=True)
class Current:
    """The authority in force. Replaced whole when files change; a call uses the one it started with."""

    authority: Authority


@dataclass(frozen=True, slots=True)
class Signer:
    """Decides one request: attest, limit, read the CSR, sign. No gRPC in here."""

    current: Current
    attestor: Attestor
    limit: RateLimit
    ttl: timedelta

    def sign(
        self, request: ca_pb2.IstioCertificateRequest, caller: Caller, now: datetime
    ) -> x509.Certificate:
        validity = validity_of(request.validity_duration, self.ttl, MAX_TTL)
        key = requested_key(request.csr, caller.identity)
        return self.current.authority.issue(caller.identity, key, validity, now)


class CertificateService(ca_pb2_grpc.IstioCertificateServiceServicer):
    """The gRPC face of a Signer."""

    def __init__(self, signer: Signer, counters: Counters, now: Callable[[], datetime]) -> None:
        self._signer, self._counters, self._now = signer, counters, now

    async def CreateCertificate(
        self,
        request: ca_pb2.IstioCertificateRequest,
        context: "grpc.aio.ServicerContext[ca_pb2.IstioCertificateRequest, ca_pb2.IstioCertificateResponse]",
    ) -> ca_pb2.IstioCertificateResponse:
        now = self._now()
        caller: Caller | None = None
        try:
            caller = self._attest(context.invocation_metadata() or (), context.auth_context(), now)
            certificate = self._signer.sign(request, caller, now)
        except AuthError as error:
            self._counters.refused(type(error).__name__)
            log.warning("certificate_refused", peer=context.peer(), reason=error, **_who(caller))
            await context.abort(status_of(error), str(error))
            raise AssertionError("abort raises") from error
        self._counters.issued()
        log.info(
            "certificate_issued",
            **_who(caller),
            serial=f"{certificate.serial_number:x}",
            not_after=f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
            peer=context.peer(),
        )
        return ca_pb2.IstioCertificateResponse(
            cert_chain=self._signer.current.authority.chain_pem(certificate)
        )

    def _attest(
        self, metadata: Iterable[tuple[str, str | bytes]], peer: Mapping[str, Iterable[bytes]], now: datetime
    ) -> Caller:
        caller = self._signer.attestor.caller(metadata, peer, now)
        self._signer.limit.take(str(caller.identity), now.timestamp())
        return caller


def status_of(error: AuthError) -> grpc.StatusCode:
    """What a caller is told; clients retry UNAVAILABLE and RESOURCE_EXHAUSTED only."""
    match error:
        case NotAttested():
            return grpc.StatusCode.UNAUTHENTICATED
        case IdentityRefused():
            return grpc.StatusCode.PERMISSION_DENIED
        case InvalidRequest():
            return grpc.StatusCode.INVALID_ARGUMENT
        case RateLimited():
            return grpc.StatusCode.RESOURCE_EXHAUSTED
        case InvalidAuthority() | SigningFailed():
            return grpc.StatusCode.UNAVAILABLE
        case AuthError():
            return grpc.StatusCode.INTERNAL
    assert_never(error)


def _who(caller: Caller | None) -> dict[str, str]:
    return {} if caller is None else {"identity": str(caller.identity), "proof": caller.proof}
