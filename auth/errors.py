"""Everything Auth raises on purpose. Each error says whose fault it is, so that one table maps it to a
gRPC status."""


class AuthError(Exception):
    """Base of Auth's failures."""


class NotAttested(AuthError):
    """The caller did not prove who it is: no token, a bad one, or a certificate of no use here."""


class IdentityRefused(AuthError):
    """The caller proved who it is, and asked to be somebody else."""

    def __init__(self, caller: str, asked: str) -> None:
        super().__init__(f"{caller} may not ask for {asked}")
        self.caller, self.asked = caller, asked


class InvalidRequest(AuthError):
    """The request cannot be served as it stands: unreadable CSR, weak key, impossible lifetime."""


class RateLimited(AuthError):
    """The caller asks more often than any healthy workload would."""

    def __init__(self, caller: str, retry_after: float) -> None:
        super().__init__(f"{caller} asks too often; try again in {retry_after:.1f} s")
        self.caller, self.retry_after = caller, retry_after


class InvalidAuthority(AuthError):
    """The CA's own files cannot be used: unreadable, mismatched, expired. A running CA keeps its last good
    ones."""


class SigningFailed(AuthError):
    """The CA could not be reached or refused to sign; `retryable` tells a client whether waiting may help."""

    def __init__(self, reason: str, *, retryable: bool) -> None:
        super().__init__(reason)
        self.retryable = retryable
