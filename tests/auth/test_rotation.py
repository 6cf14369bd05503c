"""A workload's certificate is renewed at half its life, and an outage of the CA takes nothing away."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from meshloom.auth.ca.authority import Authority, make_root
from meshloom.auth.ca.csr import requested_key
from meshloom.auth.ca.keys import KeyType
from meshloom.auth.errors import SigningFailed
from meshloom.auth.identity.schedule import Backoff, renewal_at
from meshloom.auth.identity.svid import Svid
from meshloom.auth.identity.workload import Clock, RenewalSettings, WorkloadIdentity, keep_fresh
from meshloom.auth.spiffe import Identity

from tests.auth.conftest import ORDERS

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class Simulated:
    """Time that jumps to the end of every sleep, and ends the test's run at `until`."""

    def __init__(self, until: timedelta) -> None:
        self.time, self.until = START, START + until
        self.sleeps: list[float] = []

    def clock(self, dice: float = 0.5) -> Clock:
        return Clock(lambda: self.time, self.sleep, lambda: dice)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.time += timedelta(seconds=seconds)
        if self.time >= self.until:
            raise asyncio.CancelledError
        await asyncio.sleep(0)


class LocalAuthority:
    """Signs in memory with the real code of the CA; `down` says when it cannot be reached."""

    def __init__(self, simulated: Simulated, down: Callable[[datetime], bool] = lambda _: False) -> None:
        key = KeyType.P256.generate()
        root = make_root(key, "test", START)
        self._authority = Authority.build(root, key, (), (root,))
        self._simulated, self._down = simulated, down
        self.asked: list[datetime] = []

    async def sign(self, csr_pem: str, identity: Identity, validity: timedelta) -> list[str]:
        self.asked.append(self._simulated.time)
        if self._down(self._simulated.time):
            raise SigningFailed("connection refused", retryable=True)
        key = requested_key(csr_pem, identity)
        return self._authority.chain_pem(self._authority.issue(identity, key, DAY, self._simulated.time))


async def run(simulated: Simulated, authority: LocalAuthority, dice: float = 0.5) -> WorkloadIdentity:
    workload = WorkloadIdentity(ORDERS)
    with pytest.raises(asyncio.CancelledError):
        await keep_fresh(workload, authority, RenewalSettings(), simulated.clock(dice))
    return workload


@pytest.mark.parametrize(("dice", "ratio"), [(0.0, 0.49), (0.5, 0.50), (0.999_999, 0.51)])
def test_renewal_is_due_at_half_life_give_or_take_one_percent(dice: float, ratio: float) -> None:
    due = renewal_at(START, START + DAY, dice)
    assert abs(due - (START + DAY * ratio)) < timedelta(seconds=1)


async def test_certificates_are_renewed_every_half_life() -> None:
    simulated = Simulated(timedelta(days=3, minutes=1))
    authority = LocalAuthority(simulated)
    await run(simulated, authority)
    gaps = [later - earlier for earlier, later in zip(authority.asked, authority.asked[1:], strict=False)]
    assert len(gaps) == 6
    assert all(abs(gap - DAY / 2) < timedelta(minutes=2) for gap in gaps)


async def test_each_renewal_makes_a_new_key() -> None:
    keys: list[bytes] = []

    class Recording(WorkloadIdentity):
        def replace(self, svid: Svid) -> None:
            keys.append(svid.key_pem)
            super().replace(svid)

    simulated = Simulated(timedelta(hours=13))
    with pytest.raises(asyncio.CancelledError):
        await keep_fresh(Recording(ORDERS), LocalAuthority(simulated), RenewalSettings(), simulated.clock())
    assert len(keys) == len(set(keys)) == 2


async def test_the_old_certificate_is_kept_while_the_ca_is_away() -> None:
    simulated = Simulated(timedelta(hours=20))
    authority = LocalAuthority(simulated, down=lambda t: t > START + timedelta(hours=1))
    workload = await run(simulated, authority)
    assert workload.current is not None
    assert workload.current.not_after == START + DAY
    assert len(authority.asked) > 100


async def test_renewal_succeeds_as_soon_as_the_ca_is_back() -> None:
    back = START + timedelta(hours=18)
    simulated = Simulated(timedelta(hours=19))
    authority = LocalAuthority(simulated, down=lambda t: START + timedelta(hours=1) < t < back)
    workload = await run(simulated, authority)
    assert workload.current is not None
    assert back <= workload.current.received <= back + timedelta(seconds=30)


async def test_the_first_certificate_is_tried_for_until_the_ca_is_up() -> None:
    simulated = Simulated(timedelta(minutes=5))
    authority = LocalAuthority(simulated, down=lambda t: t < START + timedelta(seconds=10))
    workload = await run(simulated, authority)
    assert workload.current is not None
    assert simulated.sleeps[:4] == [0.1875, 0.375, 0.75, 1.5]


async def test_a_refusal_for_good_ends_the_first_attempt() -> None:
    class Refusing:
        async def sign(self, csr_pem: str, identity: Identity, validity: timedelta) -> list[str]:
            raise SigningFailed("PERMISSION_DENIED", retryable=False)

    with pytest.raises(SigningFailed, match="PERMISSION_DENIED"):
        await keep_fresh(WorkloadIdentity(ORDERS), Refusing(), RenewalSettings(), Simulated(DAY).clock())


def test_pauses_double_up_to_the_longest_with_spread() -> None:
    backoff = Backoff()
    assert backoff.pause(1, 0.0) == timedelta(milliseconds=125)
    assert backoff.pause(3, 0.0) == timedelta(milliseconds=500)
    assert (
        timedelta(seconds=15)
        <= backoff.pause(1000, 0.0)
        <= backoff.pause(1000, 0.99)
        <= timedelta(seconds=30)
    )
