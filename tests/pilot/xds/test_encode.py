"""Responses joined from bytes are what the generated classes read."""

from __future__ import annotations

from envoy.service.discovery.v3 import discovery_pb2
from hypothesis import given
from hypothesis import strategies as st
from meshloom.pilot.translate.resource import Nonce, Resource, TypeUrl, Version
from meshloom.pilot.translate.wirebytes import varint
from meshloom.pilot.xds.encode import delta_response, sotw_response

RESOURCES = st.lists(
    st.builds(
        Resource,
        name=st.text(max_size=20),
        type_url=st.just(TypeUrl.CLUSTER),
        version=st.text(max_size=8).map(Version),
        body=st.binary(max_size=300),
    ),
    max_size=4,
)


@given(resources=RESOURCES)
def test_state_of_the_world_reads_back(resources: list[Resource]) -> None:
    made = sotw_response(TypeUrl.CLUSTER, Version("v"), Nonce("n"), resources, "me")
    read = discovery_pb2.DiscoveryResponse.FromString(made)

    assert (read.type_url, read.version_info, read.nonce) == (TypeUrl.CLUSTER, "v", "n")
    assert read.control_plane.identifier == "me"
    assert [(each.type_url, each.value) for each in read.resources] == [
        (TypeUrl.CLUSTER, each.body) for each in resources
    ]


@given(resources=RESOURCES, removed=st.lists(st.text(max_size=9), max_size=3))
def test_delta_reads_back(resources: list[Resource], removed: list[str]) -> None:
    made = delta_response(TypeUrl.CLUSTER, Nonce("n"), resources, removed, "me")
    read = discovery_pb2.DeltaDiscoveryResponse.FromString(made)

    assert (read.type_url, read.nonce, list(read.removed_resources)) == (TypeUrl.CLUSTER, "n", removed)
    assert [(each.name, each.version, each.resource.value) for each in read.resources] == [
        (each.name, each.version, each.body) for each in resources
    ]


@given(value=st.integers(0, 2**63 - 1))
def test_varints_are_minimal(value: int) -> None:
    made = varint(value)
    assert len(made) == max(1, -(-value.bit_length() // 7))
    assert sum((byte & 0x7F) << 7 * i for i, byte in enumerate(made)) == value
