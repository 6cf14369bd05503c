"""Both ways of speaking xDS, request by request."""

from __future__ import annotations

from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2 as xds
from meshloom.meshproxy.agent.dialect import Delta, StateOfTheWorld
from meshloom.meshproxy.resources.protos import CLUSTER, ENDPOINTS

NODE = base_pb2.Node(id="n")


def shown(requests: list[Any]) -> list[tuple[Any, ...]]:
    return [
        (r.type_url.rpartition(".")[2], r.version_info, r.response_nonce, list(r.resource_names))
        for r in requests
    ]


def sotw_response(version: str, nonce: str, type_url: str = ENDPOINTS) -> xds.DiscoveryResponse:
    return xds.DiscoveryResponse(type_url=type_url, version_info=version, nonce=nonce)


def test_an_ack_names_the_version_and_a_nack_the_last_good_one() -> None:
    sotw = StateOfTheWorld(NODE)
    sotw.want(ENDPOINTS, frozenset({"a"}))

    ack = sotw.answer(sotw_response("1", "x"), None)
    nack = sotw.answer(sotw_response("2", "y"), "a: lb_endpoints: wrong")

    assert shown([ack, nack]) == [
        ("ClusterLoadAssignment", "1", "x", ["a"]),
        ("ClusterLoadAssignment", "1", "y", ["a"]),
    ]
    assert not ack.HasField("error_detail")
    assert nack.error_detail.message == "a: lb_endpoints: wrong"


def test_a_new_name_is_asked_for_with_what_is_known() -> None:
    sotw = StateOfTheWorld(NODE)
    sotw.want(ENDPOINTS, frozenset({"a"}))
    sotw.answer(sotw_response("1", "x"), None)

    assert sotw.want(ENDPOINTS, frozenset({"a"})) == []
    assert shown(sotw.want(ENDPOINTS, frozenset({"a", "b"}))) == [
        ("ClusterLoadAssignment", "1", "x", ["a", "b"])
    ]


def test_a_new_stream_starts_with_versions_and_without_nonces() -> None:
    sotw = StateOfTheWorld(NODE)
    sotw.want(CLUSTER, None)
    sotw.want(ENDPOINTS, frozenset({"a"}))
    sotw.answer(sotw_response("7", "x"), None)

    assert shown(sotw.start()) == [("Cluster", "", "", []), ("ClusterLoadAssignment", "7", "", ["a"])]


def test_the_node_is_told_once_if_so_asked() -> None:
    sotw = StateOfTheWorld(NODE, node_once=True)
    sotw.want(CLUSTER, None)
    (first,) = sotw.start()
    (second,) = sotw.want(ENDPOINTS, frozenset({"a"}))

    assert (first.node.id, second.HasField("node")) == ("n", False)


def test_only_a_wildcard_response_is_complete() -> None:
    sotw = StateOfTheWorld(NODE)
    sotw.want(CLUSTER, None)
    sotw.want(ENDPOINTS, frozenset({"a"}))

    assert sotw.read(sotw_response("1", "x", CLUSTER)).complete
    assert not sotw.read(sotw_response("1", "x", ENDPOINTS)).complete


def test_delta_subscribes_to_the_difference() -> None:
    delta = Delta(NODE)
    delta.want(ENDPOINTS, frozenset({"a", "b"}))

    (request,) = delta.want(ENDPOINTS, frozenset({"b", "c"}))

    assert list(request.resource_names_subscribe) == ["c"]
    assert list(request.resource_names_unsubscribe) == ["a"]


def delta_response(nonce: str, removed: tuple[str, ...] = (), **versions: str) -> xds.DeltaDiscoveryResponse:
    resources = [xds.Resource(name=name, version=version) for name, version in versions.items()]
    return xds.DeltaDiscoveryResponse(
        type_url=ENDPOINTS, nonce=nonce, resources=resources, removed_resources=removed
    )


def test_delta_tells_a_new_stream_what_it_has() -> None:
    delta = Delta(NODE)
    delta.want(ENDPOINTS, frozenset({"a", "b", "c"}))
    delta.answer(delta_response("1", a="1", b="1", c="1"), None)
    delta.answer(delta_response("2", removed=("c",), a="2"), None)
    delta.answer(delta_response("3", b="9"), "refused")

    (request,) = delta.start()

    assert dict(request.initial_resource_versions) == {"a": "2", "b": "1"}
    assert list(request.resource_names_subscribe) == ["a", "b", "c"]


def test_a_delta_nack_carries_the_nonce_and_the_reason() -> None:
    request = Delta(NODE).answer(delta_response("5"), "why")

    assert (request.response_nonce, request.error_detail.message) == ("5", "why")
