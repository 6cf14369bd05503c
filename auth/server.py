"""The wiring of the CA: what is built from what, which tasks run, and nothing else."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import grpc
from meshloom.api.istio import ca_pb2_grpc
from meshloom.auth.ca.attest import Attestor
from meshloom.auth.ca.authority import Authority, pem
from meshloom.auth.ca.keys import write_public
from meshloom.auth.ca.limits import RateLimit, RateSettings
from meshloom.auth.ca.observe import Counters, status_page
from meshloom.auth.ca.plugged import PluggedAuthority, PluggedFiles
from meshloom.auth.ca.root import OwnRoot
from meshloom.auth.ca.service import CertificateService, Current, Signer
from meshloom.auth.ca.tokens import TokenSigner
from meshloom.auth.ca.transport import ServerCertificate
from meshloom.auth.errors import InvalidAuthority
from meshloom.auth.settings import Settings
from meshloom.auth.spiffe import Identity
from meshloom.runtime.address import Address, publish_addresses
from meshloom.runtime.http import serve_http
from meshloom.runtime.log import Log

log = Log("auth")
Clock = Callable[[], datetime]

# A CSR is small; a caller that sends more is not a workload.
_MAX_MESSAGE = 64 * 1024
_OPTIONS = [
    ("grpc.max_receive_message_length", _MAX_MESSAGE),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.so_reuseport", 0),
]
_RELOAD_PERIOD_S = 1.0
_DRAIN_S = 2.0


async def serve(settings: Settings, now: Clock, rotate: asyncio.Event) -> None:
    """Runs the CA until cancelled. `rotate` asks for a rotation of the CA's own root."""
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    keeper = PluggedKeeper(settings.plugged) if settings.plugged else RootKeeper(settings, rotate)
    current, counters = Current(keeper.load(now())), Counters()
    tokens = TokenSigner.load_or_create(settings.state_dir / "token-key.pem")
    attestor = Attestor(tokens.verifier(settings.trust_domain), settings.trust_domain)
    signer = Signer(current, attestor, RateLimit(RateSettings()), settings.workload_cert_ttl)
    own = Identity(settings.trust_domain, settings.root_namespace, "auth")
    service = CertificateService(signer, counters, now)
    async with AsyncExitStack() as stack:
        bound = await _listen(settings, service, ServerCertificate(current, own, now), stack)
        page = status_page(counters, lambda: now() < current.authority.certificate.not_valid_after_utc)
        bound["http"] = await stack.enter_async_context(serve_http(settings.http_listen, page))
        publish_addresses(settings.address_path, bound)
        log.info("serving", trust_domain=settings.trust_domain, **bound)
        await _follow(keeper, Adopt(settings.state_dir, current, counters), now)


class Keeper(Protocol):
    """Where the authority comes from."""

    def load(self, now: datetime) -> Authority:
        """The authority to start with; raises InvalidAuthority when there is none to serve."""

    def next(self, now: datetime) -> Authority | None:
        """A changed authority, or None. Raises InvalidAuthority when the change is no good."""


class RootKeeper:
    """The CA's own root, replaced when it ages or when `asked`."""

    def __init__(self, settings: Settings, asked: asyncio.Event) -> None:
        self._root = OwnRoot(settings.state_dir, settings.trust_domain, settings.key_type)
        self._overlap, self._asked = settings.root_overlap, asked

    def load(self, now: datetime) -> Authority:
        return self._root.load_or_create(now)

    def next(self, now: datetime) -> Authority | None:
        if self._asked.is_set():
            self._asked.clear()
            return self._root.announce(now)
        return self._root.advance(self._overlap, now)


class PluggedKeeper:
    """The user's intermediate, read again when its files change."""

    def __init__(self, files: PluggedFiles) -> None:
        self._authority = PluggedAuthority(files)

    def load(self, now: datetime) -> Authority:
        return self._authority.load(now)

    def next(self, now: datetime) -> Authority | None:
        return self._authority.reload_if_changed(now)


@dataclass(frozen=True, slots=True)
class Adopt:
    """Puts a changed authority in force: for the next call, for the metrics, for those who read the
    bundle."""

    state_dir: Path
    current: Current
    counters: Counters

    def __call__(self, authority: Authority) -> None:
        self.current.authority = authority
        self.counters.ca_expires(authority.certificate.not_valid_after_utc.timestamp())
        bundle = self.state_dir / "root-cert.pem"
        content = pem(authority.roots).encode()
        if not bundle.exists() or bundle.read_bytes() != content:
            write_public(bundle, content)


async def _follow(keeper: Keeper, adopt: Adopt, now: Clock) -> None:
    """Watches for another authority, for ever. A bad change is an event, and the last good one signs on."""
    adopt(adopt.current.authority)
    while True:
        await asyncio.sleep(_RELOAD_PERIOD_S)
        try:
            if (authority := keeper.next(now())) is not None:
                adopt(authority)
                log.info(
                    "authority_changed",
                    subject=authority.certificate.subject.rfc4514_string(),
                    roots=len(authority.roots),
                )
        except InvalidAuthority as error:
            log.error("authority_rejected", reason=error)


async def _listen(
    settings: Settings, service: CertificateService, certificate: ServerCertificate, stack: AsyncExitStack
) -> dict[str, Address]:
    server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=1000)
    ca_pb2_grpc.add_IstioCertificateServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    bound = {}
    for name, listen, mutual in (
        ("grpc", settings.grpc_listen, False),
        ("mtls_grpc", settings.mtls_grpc_listen, True),
    ):
        port = server.add_secure_port(str(listen), certificate.credentials(mutual=mutual))
        bound[name] = Address(listen.host, port)
    await server.start()
    stack.push_async_callback(server.stop, _DRAIN_S)
    return bound
