"""The identity of one local workload: its certificate from the CA, kept fresh, and served to its sidecar."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from meshloom.auth.ca.tokens import TokenSigner
from meshloom.auth.identity.client import GrpcAuthority, TokenSource
from meshloom.auth.identity.workload import Clock, RenewalSettings, WorkloadIdentity, keep_fresh
from meshloom.auth.sds.service import SecretServer
from meshloom.auth.spiffe import Identity
from meshloom.cli.local.companions import Companions
from meshloom.runtime.address import Address

_TOKEN_LIFETIME = timedelta(minutes=5)
_CSR_DEADLINE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class MintedTokens:
    """A fresh token for each request. Whoever runs the CA's machine as its user may attest local
    workloads."""

    signer: TokenSigner

    def token(self, identity: Identity) -> str:
        now = datetime.now(UTC)
        return self.signer.mint(identity.namespace, identity.service_account, now, _TOKEN_LIFETIME)


@dataclass(frozen=True, slots=True)
class IdentitySource:
    """Where certificates come from."""

    trust_domain: str
    authority: GrpcAuthority

    @classmethod
    def local(cls, trust_domain: str, auth: str, state: Path) -> "IdentitySource":
        """The CA of a mesh on this machine."""
        tokens = MintedTokens(TokenSigner.load(state / "token-key.pem"))
        return cls.remote(trust_domain, auth, state / "root-cert.pem", tokens)

    @classmethod
    def remote(cls, trust_domain: str, auth: str, roots: Path, tokens: TokenSource) -> "IdentitySource":
        """A CA elsewhere, with a token that somebody handed us."""
        return cls(trust_domain, GrpcAuthority(Address.parse(auth), roots, tokens, _CSR_DEADLINE))

    async def serve(
        self, namespace: str, service_account: str, socket: Path, stack: AsyncExitStack, beside: Companions
    ) -> WorkloadIdentity:
        """Obtains and renews until `beside` is over; SDS on `socket` until `stack` unwinds."""
        workload = WorkloadIdentity(Identity(self.trust_domain, namespace, service_account))
        server = SecretServer(workload, socket)
        await server.start()
        stack.push_async_callback(server.stop)
        clock = Clock(lambda: datetime.now(UTC))
        beside.start(keep_fresh(workload, self.authority, RenewalSettings(), clock), "identity")
        return workload
