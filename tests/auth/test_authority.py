"""Where the CA's authority comes from: a plugged-in intermediate, and roots that replace each other."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from meshloom.auth.ca.authority import Authority, make_root, pem
from meshloom.auth.ca.keys import KeyType, PrivateKey, key_pem
from meshloom.auth.ca.limits import RateLimit, RateSettings
from meshloom.auth.ca.plugged import PluggedAuthority, PluggedFiles
from meshloom.auth.ca.root import OwnRoot
from meshloom.auth.errors import InvalidAuthority, RateLimited
from meshloom.auth.identity.svid import make_request

from tests.auth.conftest import ORDERS, RunningCa, now, running, settings_in
from tests.auth.verify import verified
from tests.support.wait import until_async

HOUR = timedelta(hours=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def intermediate(
    root: x509.Certificate, root_key: PrivateKey, *, ca: bool = True
) -> tuple[x509.Certificate, PrivateKey]:
    key = KeyType.P256.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "our intermediate")])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    builder = (
        x509.CertificateBuilder(root.subject, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now() - HOUR)
        .not_valid_after(now() + HOUR * 24 * 365)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False
        )
    )
    return builder.sign(root_key, hashes.SHA256()), key


def plug(folder: Path, *, ca: bool = True) -> PluggedFiles:
    """Writes Istio's four files, made by a root that the CA never sees the key of."""
    folder.mkdir(exist_ok=True)
    root_key = KeyType.P256.generate()
    root = make_root(root_key, "Example", now())
    certificate, key = intermediate(root, root_key, ca=ca)
    for name, content in (
        ("ca-cert.pem", pem((certificate,)).encode()),
        ("ca-key.pem", key_pem(key)),
        ("root-cert.pem", pem((root,)).encode()),
        ("cert-chain.pem", pem((certificate, root)).encode()),
    ):
        (folder / name).write_bytes(content)
    return PluggedFiles(
        *(folder / n for n in ("ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem"))
    )


async def issue(ca: RunningCa) -> list[str]:
    _, csr = make_request(ORDERS, KeyType.P256)
    return await ca.client().sign(csr, ORDERS, timedelta(0))


async def test_a_plugged_in_intermediate_signs_and_sends_its_chain(tmp_path: Path) -> None:
    files = plug(tmp_path / "cacerts")
    async with running(replace(settings_in(tmp_path / "state"), plugged=files)) as ca:
        chain = await issue(ca)
    found = verified(chain, now()).chain
    assert len(found) == 3
    assert found[1].subject.rfc4514_string() == "CN=our intermediate"
    assert chain[-1] == files.root.read_text()


async def test_changed_files_are_taken_up_and_bad_ones_are_not(tmp_path: Path) -> None:
    files = plug(tmp_path / "cacerts")
    async with running(replace(settings_in(tmp_path / "state"), plugged=files)) as ca:
        files.key.write_bytes(key_pem(KeyType.P256.generate()))
        before = await issue(ca)
        plug(tmp_path / "cacerts")

        async def changed() -> bool:
            try:
                return (await issue(ca))[-1] != before[-1]
            except (
                grpc.aio.AioRpcError
            ):  # the server shows its new certificate before we have read the new root
                return False

        await until_async(changed, "the new root reaches workloads")
        assert verified(await issue(ca), now())
        assert ca.roots.read_text() == files.root.read_text()


def test_a_bad_change_is_told_once_and_displaces_nothing(tmp_path: Path) -> None:
    files = plug(tmp_path / "cacerts")
    plugged = PluggedAuthority(files)
    plugged.load(now())
    files.certificate.write_text("no certificate")
    with pytest.raises(InvalidAuthority, match=r"ca-cert\.pem"):
        plugged.reload_if_changed(now())
    assert plugged.reload_if_changed(now()) is None


def test_a_certificate_that_is_no_ca_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidAuthority, match="CA:false"):
        plug(tmp_path / "cacerts", ca=False).load(now())


def test_a_chain_to_another_root_is_refused(tmp_path: Path) -> None:
    files = plug(tmp_path / "one")
    other = plug(tmp_path / "two")
    with pytest.raises(InvalidAuthority, match="does not lead to any"):
        replace(files, root=other.root, chain=None).load(now())


def test_an_expired_intermediate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidAuthority, match="expired"):
        plug(tmp_path / "cacerts").load(now() + timedelta(days=400))


@pytest.mark.parametrize("key_type", [KeyType.P256, KeyType.RSA2048])
def test_an_own_root_lasts_ten_years_and_survives_a_restart(tmp_path: Path, key_type: KeyType) -> None:
    first = OwnRoot(tmp_path, "cluster.local", key_type).load_or_create(START)
    again = OwnRoot(tmp_path, "cluster.local", key_type).load_or_create(START + HOUR)
    assert again.certificate == first.certificate
    assert first.certificate.not_valid_after_utc - START == timedelta(days=3650)
    assert (tmp_path / "ca-key.pem").stat().st_mode & 0o777 == 0o600


def svid(authority: Authority, at: datetime) -> list[str]:
    key = KeyType.P256.generate()
    return authority.chain_pem(authority.issue(ORDERS, key.public_key(), HOUR, at))


def test_rotation_never_leaves_a_peer_without_trust(tmp_path: Path) -> None:
    """Whatever phase a verifier got its bundle in, it accepts what is signed until it renews, one life
    later."""
    root = OwnRoot(tmp_path, "cluster.local", KeyType.P256)
    authority = root.load_or_create(START)
    issued = [(START, svid(authority, START))]
    authority = root.announce(START)
    for minutes in range(0, 150, 10):
        at = START + timedelta(minutes=minutes)
        authority = root.advance(HOUR, at) or authority
        issued.append((at, svid(authority, at)))
        fresh = [(made, chain) for made, chain in issued if at - made < HOUR]
        for _, chain in fresh:
            for _, other in fresh:
                assert verified([*chain[:-1], other[-1]], at), f"at {minutes} min"
    assert len(authority.roots) == 1
    assert pem(authority.roots) != issued[0][1][-1]


def test_an_interrupted_switch_is_finished_on_the_next_start(tmp_path: Path) -> None:
    root = OwnRoot(tmp_path, "cluster.local", KeyType.P256)
    root.load_or_create(START)
    root.announce(START)
    successor = (tmp_path / "next-ca.pem").read_bytes()
    assert root.advance(HOUR, START + HOUR) is not None
    (tmp_path / "next-ca.pem").write_bytes(successor)  # as if the last unlink had not happened

    again = OwnRoot(tmp_path, "cluster.local", KeyType.P256)
    assert len(again.load_or_create(START + HOUR).roots) == 2
    assert again.advance(HOUR, START + HOUR) is None
    retired = again.advance(HOUR, START + 2 * HOUR)
    assert retired is not None
    assert len(retired.roots) == 1


def test_an_ageing_root_announces_its_successor_by_itself(tmp_path: Path) -> None:
    root = OwnRoot(tmp_path, "cluster.local", KeyType.P256)
    root.load_or_create(START)
    assert root.advance(HOUR, START + timedelta(days=3200)) is None
    announced = root.advance(HOUR, START + timedelta(days=3300))
    assert announced is not None
    assert len(announced.roots) == 2


async def test_a_rotation_asked_for_reaches_the_callers(ca: RunningCa) -> None:
    before = await issue(ca)
    ca.rotate.set()

    async def both() -> bool:
        return (await issue(ca))[-1].count("BEGIN") == 2

    await until_async(both, "old and new root are in the bundle")
    assert verified(await issue(ca), now())
    assert before[-1] in ca.roots.read_text()


def test_a_caller_that_asks_too_often_is_told_to_wait() -> None:
    limit = RateLimit(RateSettings(burst=3, per_second=1, callers=2))
    for _ in range(3):
        limit.take("orders", 0.0)
    with pytest.raises(RateLimited) as told:
        limit.take("orders", 0.5)
    assert told.value.retry_after == pytest.approx(0.5)
    limit.take("somebody else", 0.5)
    limit.take("orders", 1.6)
