"""The protocol of one stream, without sockets, in both dialects."""

from __future__ import annotations

import pytest
from envoy.service.discovery.v3 import discovery_pb2
from meshloom.pilot.translate.resource import TypeUrl
from meshloom.pilot.xds.exchange import Accepted, Refused
from meshloom.pilot.xds.stream import ACK_PATIENCE, Respond, WaitUntil

from tests.pilot.xds.client import Got, Proxy, got
from tests.pilot.xds.resources import snapshot

FIRST = snapshot(["a"], route="to a")
# Cluster `b` takes the place of `a`, and the route follows.
SECOND = snapshot(["b"], route="to b")


@pytest.fixture(params=[False, True], ids=["sotw", "delta"])
def proxy(request: pytest.FixtureRequest) -> Proxy:
    return Proxy(delta=request.param)


def connected(proxy: Proxy) -> Proxy:
    proxy.stream.publish(FIRST)
    proxy.subscribe_all("a", "b")
    proxy.drain()
    return proxy


def test_types_are_sent_in_the_order_of_their_references(proxy: Proxy) -> None:
    proxy.subscribe_all("a")
    assert [each.type for each in proxy.publish(FIRST)] == ["cds", "eds", "lds", "rds"]


def test_equal_content_is_never_sent_again(proxy: Proxy) -> None:
    connected(proxy)
    assert proxy.publish(snapshot(["a"], route="to a")) == []


def test_a_new_cluster_is_there_before_and_the_old_one_until_after_the_route_moves(proxy: Proxy) -> None:
    pushed = connected(proxy).publish(SECOND)

    if proxy.delta:
        assert pushed == [
            got("cds", ["b"]),
            got("eds", ["b"]),
            got("rds", ["r"]),
            got("cds", removed=["a"]),
            got("eds", removed=["a"]),
        ]
    else:
        assert pushed == [got("cds", ["a", "b"]), got("eds", ["b"]), got("rds", ["r"]), got("cds", ["b"])]


def test_routes_wait_until_clusters_are_acknowledged(proxy: Proxy) -> None:
    connected(proxy).stream.publish(SECOND)
    clusters, endpoints = proxy.step(), proxy.step()
    assert isinstance(proxy.stream.act(proxy.now), WaitUntil)

    proxy.answer(endpoints)
    assert isinstance(proxy.stream.act(proxy.now), WaitUntil)  # Envoy is still warming them
    proxy.answer(clusters)
    assert proxy.drain()[0] == got("rds", ["r"])


def test_a_proxy_that_never_answers_does_not_hold_up_the_rest_for_ever(proxy: Proxy) -> None:
    connected(proxy).stream.publish(SECOND)
    clusters, endpoints = proxy.step(), proxy.step()
    assert (clusters, endpoints) != (None, None)

    proxy.now += ACK_PATIENCE + 1
    response = proxy.stream.act(proxy.now)
    assert isinstance(response, Respond)
    assert response.type_url == TypeUrl.ROUTE


def test_a_changed_cluster_gets_its_endpoints_again_because_it_warms_anew(proxy: Proxy) -> None:
    pushed = connected(proxy).publish(snapshot(["a@other"]))
    assert pushed == [got("cds", ["a"]), got("eds", ["a"])]


def test_an_endpoint_change_sends_that_endpoint_list_alone(proxy: Proxy) -> None:
    proxy.stream.publish(snapshot(["a", "b"]))
    proxy.subscribe_all("a", "b")
    proxy.drain()

    assert proxy.publish(snapshot(["a", "b"], endpoints="2")) == [got("eds", ["a", "b"])]


def test_only_the_newest_of_several_snapshots_is_sent(proxy: Proxy) -> None:
    connected(proxy).stream.publish(snapshot(["a"], route="forgotten"))
    assert proxy.publish(snapshot(["a"], route="newest")) == [got("rds", ["r"])]


def test_a_refusal_is_kept_and_nothing_is_sent_until_content_changes(proxy: Proxy) -> None:
    connected(proxy).refuses = lambda kind: "no such filter" if kind == "lds" else None
    before = proxy.stream.subscriptions[TypeUrl.LISTENER].exchange
    assert isinstance(before, Accepted)

    proxy.publish(snapshot(["a"], listeners=("l", "bad")))
    state = proxy.stream.subscriptions[TypeUrl.LISTENER].exchange
    assert isinstance(state, Refused)
    assert (state.reason, state.acked) == ("no such filter", before.acked)
    assert proxy.drain() == []

    proxy.refuses = lambda _kind: None
    assert proxy.publish(FIRST)[0].type == "lds"
    assert isinstance(proxy.stream.subscriptions[TypeUrl.LISTENER].exchange, Accepted)


def test_an_answer_to_an_older_response_is_ignored(proxy: Proxy) -> None:
    proxy.stream.publish(FIRST)
    proxy.subscribe(TypeUrl.CLUSTER)
    response = proxy.step()

    reply = proxy.answer(response, nonce="long-gone")

    assert reply is not None
    assert reply.stale
    assert not isinstance(proxy.stream.subscriptions[TypeUrl.CLUSTER].exchange, Accepted)


def test_a_type_without_resources_is_answered_with_none(proxy: Proxy) -> None:
    proxy.stream.publish(snapshot([], listeners=()))
    proxy.subscribe(TypeUrl.CLUSTER)
    assert proxy.drain() == [got("cds")]


def test_a_name_that_does_not_exist_is_said_not_to(proxy: Proxy) -> None:
    proxy.stream.publish(FIRST)
    proxy.subscribe(TypeUrl.ENDPOINT, "nobody")
    expected: Got = got("eds", removed=["nobody"]) if proxy.delta else got("eds", ["nobody"])
    assert proxy.drain() == [expected]


def test_named_clusters_are_sent_alone_as_grpc_asks_for_them(proxy: Proxy) -> None:
    proxy.stream.publish(snapshot(["a", "b"]))
    proxy.subscribe(TypeUrl.CLUSTER, "b")
    assert proxy.drain() == [got("cds", ["b"])]


def test_what_is_unsubscribed_is_not_sent_and_sent_anew_when_asked_for_again() -> None:
    proxy = connected(Proxy(delta=True))
    _change(proxy, unsubscribe=["a"])
    assert proxy.publish(snapshot(["a"], endpoints="2")) == []

    _change(proxy, subscribe=["a"])
    assert proxy.drain() == [got("eds", ["a"])]


def test_subscribing_to_what_was_sent_already_sends_it_again() -> None:
    proxy = connected(Proxy(delta=True))
    _change(proxy, subscribe=["a"])
    assert proxy.drain() == [got("eds", ["a"])]


def test_a_reconnecting_proxy_is_sent_what_changed_while_it_was_away() -> None:
    proxy = Proxy(delta=True)
    proxy.stream.publish(snapshot(["a", "b"]))
    a = proxy.stream.snapshot.of(TypeUrl.CLUSTER).resources["a"].version
    proxy.subscribe(TypeUrl.CLUSTER, initial_resource_versions={"a": a, "b": "old", "gone": "1"})

    assert proxy.drain() == [got("cds", ["b"]), got("cds", removed=["gone"])]


def test_a_list_of_names_that_shrinks_to_nothing_is_not_the_wildcard() -> None:
    proxy = Proxy(delta=False)
    proxy.stream.publish(snapshot(["a", "b"]))
    proxy.subscribe(TypeUrl.CLUSTER, "a")
    proxy.drain()

    proxy.subscribe(TypeUrl.CLUSTER)
    assert proxy.publish(snapshot(["a@other", "b@other"])) == []


def _change(proxy: Proxy, subscribe: list[str] | None = None, unsubscribe: list[str] | None = None) -> None:
    request = discovery_pb2.DeltaDiscoveryRequest(
        type_url=TypeUrl.ENDPOINT,
        resource_names_subscribe=subscribe or [],
        resource_names_unsubscribe=unsubscribe or [],
    )
    proxy.stream.receive(request, proxy.now)
