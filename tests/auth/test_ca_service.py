"""CreateCertificate over real gRPC and TLS: who gets what, and who gets nothing."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from meshloom.api.istio import ca_pb2, ca_pb2_grpc
from meshloom.auth.ca.keys import KeyType
from meshloom.auth.ca.transport import SERVER_NAME
from meshloom.auth.errors import SigningFailed
from meshloom.auth.identity.svid import Svid, make_request
from meshloom.auth.spiffe import Identity

from tests.auth.conftest import ORDERS, Minted, RunningCa, now
from tests.auth.verify import verified

NO_TTL = timedelta(0)


def extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> x509.ExtensionType:
    return certificate.extensions.get_extension_for_class(kind).value


@pytest.mark.parametrize("key_type", [KeyType.P256, KeyType.RSA2048])
async def test_an_svid_verifies_and_says_who_and_what_for(ca: RunningCa, key_type: KeyType) -> None:
    key, csr = make_request(ORDERS, key_type)
    chain = await ca.client().sign(csr, ORDERS, NO_TTL)

    leaf = verified(chain, now()).chain[0]
    assert leaf.public_key() == key.public_key()
    names = extension(leaf, x509.SubjectAlternativeName)
    assert [n.value for n in names] == ["spiffe://cluster.local/ns/shop/sa/orders"]  # type: ignore[attr-defined]
    assert extension(leaf, x509.BasicConstraints) == x509.BasicConstraints(ca=False, path_length=None)
    usage = extension(leaf, x509.ExtendedKeyUsage)
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}  # type: ignore[call-overload]
    life = leaf.not_valid_after_utc - now()
    assert timedelta(hours=23, minutes=59) < life <= timedelta(hours=24)
    assert timedelta(minutes=1) < now() - leaf.not_valid_before_utc < timedelta(minutes=5)


async def test_the_lifetime_can_be_chosen_up_to_90_days(ca: RunningCa) -> None:
    _, csr = make_request(ORDERS, KeyType.P256)
    chain = await ca.client().sign(csr, ORDERS, timedelta(hours=1))
    left = verified(chain, now()).chain[0].not_valid_after_utc - now()
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    with pytest.raises(SigningFailed, match="validity of"):
        await ca.client().sign(csr, ORDERS, timedelta(days=91))


async def test_names_in_the_request_are_ignored(ca: RunningCa) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName("bank.example")])
    subject = x509.Name(
        [x509.NameAttribute(x509.NameOID.COMMON_NAME, "spiffe://cluster.local/ns/a/sa/admin")]
    )
    csr = x509.CertificateSigningRequestBuilder(subject).add_extension(names, critical=False)
    chain = await ca.client().sign(pem(csr.sign(key, hashes.SHA256())), ORDERS, NO_TTL)
    leaf = verified(chain, now()).chain[0]
    assert Identity.of_certificate(leaf) == ORDERS
    assert not list(leaf.subject)
    assert len(list(extension(leaf, x509.SubjectAlternativeName))) == 1  # type: ignore[call-overload]


async def test_a_request_for_another_identity_is_refused_and_audited(
    ca: RunningCa, caplog: pytest.LogCaptureFixture
) -> None:
    _, csr = make_request(Identity("cluster.local", "shop", "admin"), KeyType.P256)
    with caplog.at_level(logging.INFO), pytest.raises(SigningFailed, match="PERMISSION_DENIED") as refused:
        await ca.client(Minted(ca.tokens.signer, ORDERS)).sign(csr, ORDERS, NO_TTL)
    assert not refused.value.retryable
    assert any(r.message == "certificate_refused" for r in caplog.records)


def pem(csr: x509.CertificateSigningRequest) -> str:
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def request_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return pem(x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, algorithm))


def tampered() -> str:
    csr = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(
        ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()
    )
    der = bytearray(csr.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    return pem(x509.load_der_x509_csr(bytes(der)))


BAD_REQUESTS: dict[str, Callable[[], str]] = {
    "RSA 1024": lambda: request_of(rsa.generate_private_key(65537, 1024)),
    "P-224": lambda: request_of(ec.generate_private_key(ec.SECP224R1())),
    "Ed25519": lambda: request_of(ed25519.Ed25519PrivateKey.generate()),
    "a broken signature": tampered,
    "no PEM": lambda: "hello",
    "empty": lambda: "",
    "not ASCII": lambda: "\N{SNOWMAN}" * 50,
    "too long": lambda: "x" * 20_000,
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
async def test_a_bad_request_is_refused(ca: RunningCa, case: str) -> None:
    with pytest.raises(SigningFailed, match="INVALID_ARGUMENT") as refused:
        await ca.client().sign(BAD_REQUESTS[case](), ORDERS, NO_TTL)
    assert not refused.value.retryable


@dataclass
class Fixed:
    value: str

    def token(self, identity: Identity) -> str:
        return self.value


async def test_without_a_valid_token_there_is_no_certificate(ca: RunningCa) -> None:
    _, csr = make_request(ORDERS, KeyType.P256)
    expired = ca.tokens.signer.mint("shop", "orders", now() - timedelta(hours=2), timedelta(hours=1))
    for token in ("", "rubbish", expired):
        with pytest.raises(SigningFailed, match="UNAUTHENTICATED"):
            await ca.client(Fixed(token)).sign(csr, ORDERS, NO_TTL)


async def call_with_svid(ca: RunningCa, svid: Svid, csr: str, token: str | None = None) -> list[str]:
    credentials = grpc.ssl_channel_credentials(svid.roots_pem, svid.key_pem, svid.chain_pem)
    options = [("grpc.ssl_target_name_override", SERVER_NAME)]
    metadata = [("authorization", f"Bearer {token}")] if token else []
    async with grpc.aio.secure_channel(str(ca.bound["mtls_grpc"]), credentials, options) as channel:
        stub = ca_pb2_grpc.IstioCertificateServiceStub(channel)  # type: ignore[no-untyped-call]
        answer = await stub.CreateCertificate(
            ca_pb2.IstioCertificateRequest(csr=csr), metadata=metadata, timeout=5
        )
        return list(answer.cert_chain)


async def svid_of(ca: RunningCa, identity: Identity) -> Svid:
    key, csr = make_request(identity, KeyType.P256)
    return Svid.accept(key, await ca.client().sign(csr, identity, NO_TTL), identity, now())


async def test_a_current_svid_renews_by_mutual_tls_without_a_token(ca: RunningCa) -> None:
    svid = await svid_of(ca, ORDERS)
    _, csr = make_request(ORDERS, KeyType.P256)
    assert verified(await call_with_svid(ca, svid, csr), now())


async def test_an_svid_gets_nobody_elses_certificate(ca: RunningCa) -> None:
    svid = await svid_of(ca, ORDERS)
    _, csr = make_request(Identity("cluster.local", "shop", "admin"), KeyType.P256)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call_with_svid(ca, svid, csr)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_token_and_certificate_must_agree(ca: RunningCa) -> None:
    svid = await svid_of(ca, Identity("cluster.local", "shop", "admin"))
    _, csr = make_request(ORDERS, KeyType.P256)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call_with_svid(ca, svid, csr, ca.tokens.token(ORDERS))
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_the_mutual_listener_wants_a_certificate_of_this_mesh(ca: RunningCa) -> None:
    credentials = grpc.ssl_channel_credentials(ca.roots.read_bytes())
    options = [("grpc.ssl_target_name_override", SERVER_NAME)]
    async with grpc.aio.secure_channel(str(ca.bound["mtls_grpc"]), credentials, options) as channel:
        stub = ca_pb2_grpc.IstioCertificateServiceStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.CreateCertificate(ca_pb2.IstioCertificateRequest(csr="x"), timeout=5)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def get(ca: RunningCa, path: str) -> str:
    reader, writer = await asyncio.open_connection(ca.bound["http"].host, ca.bound["http"].port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.decode()


async def test_metrics_count_what_was_signed_and_refused(ca: RunningCa) -> None:
    await svid_of(ca, ORDERS)
    with pytest.raises(SigningFailed):
        await ca.client(Fixed("x")).sign("", ORDERS, NO_TTL)
    text = await get(ca, "/metrics")
    assert "meshloom_auth_certificates_issued_total 1.0" in text
    assert 'meshloom_auth_certificates_refused_total{reason="NotAttested"} 1.0' in text
    assert (await get(ca, "/ready")).startswith("HTTP/1.1 200 ")
    assert (await get(ca, "/secret")).startswith("HTTP/1.1 404 ")
