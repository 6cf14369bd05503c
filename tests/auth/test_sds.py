"""SDS on a real Unix socket: both dialects, pushes on rotation, nothing twice."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DiscoveryRequest,
    DiscoveryResponse,
)
from envoy.service.secret.v3 import sds_pb2_grpc
from google.protobuf.any_pb2 import Any
from google.rpc.status_pb2 import Status
from meshloom.auth.ca.authority import Authority, make_root
from meshloom.auth.ca.keys import KeyType
from meshloom.auth.identity.svid import Svid, make_request
from meshloom.auth.identity.workload import WorkloadIdentity
from meshloom.auth.sds.service import SecretServer

from tests.auth.conftest import ORDERS, now

KEY = KeyType.P256.generate()
ROOT = make_root(KEY, "test", now())
CA = Authority.build(ROOT, KEY, (), (ROOT,))


def fresh() -> Svid:
    key, _ = make_request(ORDERS, KeyType.P256)
    leaf = CA.issue(ORDERS, key.public_key(), timedelta(hours=1), now())
    return Svid.accept(key, CA.chain_pem(leaf), ORDERS, now())


@pytest.fixture
def socket() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mesh-") as folder:
        yield Path(folder) / "sds.sock"


@pytest.fixture
def workload() -> WorkloadIdentity:
    return WorkloadIdentity(ORDERS)


@pytest.fixture
async def stub(
    socket: Path, workload: WorkloadIdentity
) -> AsyncIterator[sds_pb2_grpc.SecretDiscoveryServiceStub]:
    server = SecretServer(workload, socket)
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        yield sds_pb2_grpc.SecretDiscoveryServiceStub(channel)
    await server.stop()


def secret(packed: Any) -> Secret:
    found = Secret()
    assert packed.Unpack(found)
    return found


def names(response: DiscoveryResponse) -> list[str]:
    return [secret(r).name for r in response.resources]


async def test_the_socket_is_private(socket: Path, stub: sds_pb2_grpc.SecretDiscoveryServiceStub) -> None:
    assert socket.stat().st_mode & 0o777 == 0o600


async def test_a_stream_gets_the_certificate_with_its_key(
    workload: WorkloadIdentity, stub: sds_pb2_grpc.SecretDiscoveryServiceStub
) -> None:
    svid = fresh()
    workload.replace(svid)
    call = stub.StreamSecrets()
    await call.write(DiscoveryRequest(resource_names=["default"]))
    response = await call.read()
    served = secret(response.resources[0]).tls_certificate
    assert served.certificate_chain.inline_bytes == svid.chain_pem
    assert served.private_key.inline_bytes == svid.key_pem
    call.cancel()


async def test_a_stream_gets_the_trust_bundle_by_its_name(
    workload: WorkloadIdentity, stub: sds_pb2_grpc.SecretDiscoveryServiceStub
) -> None:
    workload.replace(fresh())
    call = stub.StreamSecrets()
    await call.write(DiscoveryRequest(resource_names=["ROOTCA"]))
    trusted = secret((await call.read()).resources[0]).validation_context.trusted_ca.inline_bytes
    assert x509.load_pem_x509_certificate(trusted) == ROOT
    call.cancel()


async def test_a_stream_opened_before_the_first_certificate_gets_it_when_it_comes(
    workload: WorkloadIdentity, stub: sds_pb2_grpc.SecretDiscoveryServiceStub
) -> None:
    call = stub.StreamSecrets()
    await call.write(DiscoveryRequest(resource_names=["default", "ROOTCA"]))
    workload.replace(fresh())
    assert names(await call.read()) == ["ROOTCA", "default"]
    call.cancel()


async def test_rotation_is_pushed_and_only_what_changed(
    workload: WorkloadIdentity, stub: sds_pb2_grpc.SecretDiscoveryServiceStub
) -> None:
    workload.replace(fresh())
    roots, certificates = stub.StreamSecrets(), stub.StreamSecrets()
    await roots.write(DiscoveryRequest(resource_names=["ROOTCA"]))
    await certificates.write(DiscoveryRequest(resource_names=["default"]))
    first, _ = await certificates.read(), await roots.read()
    ack = DiscoveryRequest(
        resource_names=["default"], version_info=first.version_info, response_nonce=first.nonce
    )
    await certificates.write(ack)
    renewed = fresh()
    workload.replace(renewed)

    second = await certificates.read()
    assert secret(second.resources[0]).tls_certificate.certificate_chain.inline_bytes == renewed.chain_pem
    assert second.version_info != first.version_info
    await roots.write(DiscoveryRequest(resource_names=["ROOTCA", "default"], response_nonce="1"))
    assert names(await roots.read()) == ["ROOTCA", "default"], "the bundle did not change, so it waited"
    roots.cancel()
    certificates.cancel()


async def test_a_rejected_secret_is_not_sent_again_until_it_changes(
    workload: WorkloadIdentity, stub: sds_pb2_grpc.SecretDiscoveryServiceStub
) -> None:
    workload.replace(fresh())
    call = stub.StreamSecrets()
    await call.write(DiscoveryRequest(resource_names=["default"]))
    first = await call.read()
    nack = DiscoveryRequest(
        resource_names=["default"], response_nonce=first.nonce, error_detail=Status(message="no")
    )
    await call.write(nack)
    workload.replace(fresh())
    assert (await call.read()).version_info != first.version_info
    call.cancel()


async def test_delta_sends_changes_and_names_what_does_not_exist(
    workload: WorkloadIdentity, stub: sds_pb2_grpc.SecretDiscoveryServiceStub
) -> None:
    workload.replace(fresh())
    call = stub.DeltaSecrets()
    await call.write(DeltaDiscoveryRequest(resource_names_subscribe=["default", "ROOTCA", "nobody"]))
    first = await call.read()
    assert [r.name for r in first.resources] == ["ROOTCA", "default"]
    assert list(first.removed_resources) == ["nobody"]
    await call.write(DeltaDiscoveryRequest(response_nonce=first.nonce))
    workload.replace(fresh())
    second = await call.read()
    assert [r.name for r in second.resources] == ["default"], "the trust bundle is the same"
    call.cancel()


async def test_delta_does_not_repeat_what_a_reconnecting_proxy_holds(
    workload: WorkloadIdentity, stub: sds_pb2_grpc.SecretDiscoveryServiceStub
) -> None:
    workload.replace(fresh())
    first = stub.DeltaSecrets()
    await first.write(DeltaDiscoveryRequest(resource_names_subscribe=["default", "ROOTCA"]))
    held = {r.name: r.version for r in (await first.read()).resources}
    first.cancel()
    again = stub.DeltaSecrets()
    await again.write(
        DeltaDiscoveryRequest(resource_names_subscribe=list(held), initial_resource_versions=held)
    )
    workload.replace(fresh())
    assert [r.name for r in (await again.read()).resources] == ["default"]
    again.cancel()


async def test_fetch_answers_once(
    workload: WorkloadIdentity, stub: sds_pb2_grpc.SecretDiscoveryServiceStub
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as early:
        await stub.FetchSecrets(DiscoveryRequest(resource_names=["default"]))
    assert early.value.code() is grpc.StatusCode.UNAVAILABLE
    workload.replace(fresh())
    assert names(await stub.FetchSecrets(DiscoveryRequest(resource_names=["default"]))) == ["default"]
