"""Keeps one workload's SVID fresh, and tells whoever watches (SDS) when it changes."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from meshloom.auth.ca.keys import KeyType
from meshloom.auth.errors import SigningFailed
from meshloom.auth.identity.client import CertificateAuthority
from meshloom.auth.identity.schedule import Backoff, renewal_at
from meshloom.auth.identity.svid import Svid, make_request
from meshloom.auth.spiffe import Identity
from meshloom.runtime.log import Log

log = Log("auth.identity")


@dataclass(frozen=True, slots=True)
class Clock:
    """Time as the renewal sees it; tests put their own."""

    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    dice: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class RenewalSettings:
    """What to ask for. A `ttl` of zero leaves the life of the certificate to the CA."""

    ttl: timedelta = timedelta(0)
    key_type: KeyType = KeyType.P256
    backoff: Backoff = field(default_factory=Backoff)


class WorkloadIdentity:
    """The newest SVID of one workload. Readers get the present one at once and every later one."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self._svid: Svid | None = None
        self._changed = asyncio.Event()

    @property
    def current(self) -> Svid | None:
        """None until the CA has signed for the first time."""
        return self._svid

    async def watch(self) -> AsyncIterator[Svid]:
        """The present SVID, if any, and each that replaces it. A slow reader skips to the newest."""
        seen: Svid | None = None
        while True:
            changed = self._changed
            if self._svid is not None and self._svid is not seen:
                seen = self._svid
                yield seen
            else:
                await changed.wait()

    def replace(self, svid: Svid) -> None:
        self._svid = svid
        previous, self._changed = self._changed, asyncio.Event()
        previous.set()


async def keep_fresh(
    workload: WorkloadIdentity, authority: CertificateAuthority, settings: RenewalSettings, clock: Clock
) -> None:
    """Obtains the first SVID and renews it for ever. Raises SigningFailed when the CA refuses for good.

    Once there is a certificate, nothing ends this: the old one is served until it expires and beyond,
    because a proxy without a certificate is worse off than one whose peers will refuse it.
    """
    failures = 0
    while True:
        try:
            svid = await _obtain(workload.identity, authority, settings, clock.now())
        except SigningFailed as error:
            if not error.retryable and workload.current is None:
                raise
            failures += 1
            pause = settings.backoff.pause(failures, clock.dice())
            _tell_failure(workload, error, pause, clock.now())
            await clock.sleep(pause.total_seconds())
            continue
        failures = 0
        workload.replace(svid)
        renew = renewal_at(svid.received, svid.not_after, clock.dice())
        log.info("svid_received", identity=svid.identity, serial=f"{svid.serial:x}", renew_at=renew)
        await _sleep_until(renew, clock)


async def _obtain(
    identity: Identity, authority: CertificateAuthority, settings: RenewalSettings, now: datetime
) -> Svid:
    key, csr = make_request(identity, settings.key_type)
    return Svid.accept(key, await authority.sign(csr, identity, settings.ttl), identity, now)


async def _sleep_until(moment: datetime, clock: Clock) -> None:
    # In slices: a laptop that sleeps, or a clock that is set, must not postpone the renewal.
    while (left := (moment - clock.now()).total_seconds()) > 0:
        await clock.sleep(min(left, _LONGEST_SLICE_S))


def _tell_failure(workload: WorkloadIdentity, error: SigningFailed, pause: timedelta, now: datetime) -> None:
    held = workload.current
    left = None if held is None else f"{(held.not_after - now).total_seconds():.0f}s"
    tell = log.warning
    if held is not None and held.not_after - now < (held.not_after - held.received) / 4:
        tell = log.error  # the last quarter of the certificate's life: somebody has to look
    tell("svid_not_renewed", identity=workload.identity, reason=error, retry_in=pause, valid_for=left)


_LONGEST_SLICE_S = 60.0
