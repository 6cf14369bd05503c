"""A real CA on loopback, in the test's own event loop, with everything a test needs to talk to it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from meshloom.auth.ca.keys import KeyType
from meshloom.auth.ca.tokens import TokenSigner
from meshloom.auth.identity.client import GrpcAuthority
from meshloom.auth.server import serve
from meshloom.auth.settings import Settings
from meshloom.auth.spiffe import Identity
from meshloom.runtime.address import Address, read_addresses

TRUST_DOMAIN = "cluster.local"
ORDERS = Identity(TRUST_DOMAIN, "shop", "orders")
ANY_PORT = Address("127.0.0.1", 0)


@dataclass(frozen=True, slots=True)
class Minted:
    """A token source that mints with the CA's own key, as a supervisor does."""

    signer: TokenSigner
    identity: Identity | None = None

    def token(self, identity: Identity) -> str:
        who = self.identity or identity
        return self.signer.mint(who.namespace, who.service_account, now(), timedelta(minutes=5))


@dataclass(frozen=True, slots=True)
class RunningCa:
    settings: Settings
    bound: dict[str, Address]
    rotate: asyncio.Event

    @property
    def tokens(self) -> Minted:
        return Minted(TokenSigner.load(self.settings.state_dir / "token-key.pem"))

    @property
    def roots(self) -> Path:
        return self.settings.state_dir / "root-cert.pem"

    def client(self, tokens: object | None = None) -> GrpcAuthority:
        source = tokens or self.tokens
        return GrpcAuthority(self.bound["grpc"], self.roots, source, timedelta(seconds=5))  # type: ignore[arg-type]


def now() -> datetime:
    return datetime.now(UTC)


def settings_in(state: Path) -> Settings:
    return Settings(
        state_dir=state,
        grpc_listen=ANY_PORT,
        mtls_grpc_listen=ANY_PORT,
        http_listen=ANY_PORT,
        trust_domain=TRUST_DOMAIN,
        root_namespace="istio-system",
        workload_cert_ttl=timedelta(hours=24),
        root_overlap=timedelta(hours=24),
        key_type=KeyType.P256,
        plugged=None,
        address_path=state / "addresses.json",
        log_level="info",
    )


@asynccontextmanager
async def running(settings: Settings, clock: Callable[[], datetime] = now) -> AsyncIterator[RunningCa]:
    rotate = asyncio.Event()
    service = asyncio.create_task(serve(settings, clock, rotate))
    try:
        assert settings.address_path is not None
        async with asyncio.timeout(10):
            while not settings.address_path.exists():
                await asyncio.wait({service}, timeout=0.01)
                if service.done():
                    service.result()
        yield RunningCa(settings, read_addresses(settings.address_path), rotate)
    finally:
        service.cancel()
        await asyncio.gather(service, return_exceptions=True)


@pytest.fixture
async def ca(tmp_path: Path) -> AsyncIterator[RunningCa]:
    async with running(settings_in(tmp_path / "state")) as started:
        yield started


__all__ = ["ORDERS", "TRUST_DOMAIN", "Minted", "RunningCa", "now", "replace", "running", "settings_in"]
