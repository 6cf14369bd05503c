"""What is published when: warming, removal, and what is left alone."""

from __future__ import annotations

from meshloom.meshproxy.agent.store import Store
from meshloom.meshproxy.resources.compiled import Compiled
from meshloom.meshproxy.resources.protos import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET
from meshloom.meshproxy.resources.references import Reference
from meshloom.meshproxy.resources.source import Ads

TIMEOUT = 15.0


def resource(type_url: str, name: str, *needs: tuple[str, str], body: str = "", **fields: object) -> Compiled:
    content = (body or name).encode()
    references = tuple(Reference(kind, needed, Ads(), TIMEOUT) for kind, needed in needs)
    return Compiled(type_url, name, "1", content, content, references=references, **fields)  # type: ignore[arg-type]


def published(store: Store, type_url: str) -> dict[str, str]:
    return {name: entry.body.decode() for name, entry in store.published[type_url].items()}


def test_a_cluster_waits_for_its_endpoints() -> None:
    store = Store()
    store.put([resource(CLUSTER, "c", (ENDPOINTS, "c"))], now=0)

    assert store.advance(now=1) is None
    assert store.wanted() == {Ads(): {ENDPOINTS: {"c"}}}

    store.put([resource(ENDPOINTS, "c")], now=2)
    update = store.advance(now=2)

    assert update is not None
    assert list(update.changed) == [CLUSTER, ENDPOINTS]


def test_it_waits_no_longer_than_its_fetch_timeout() -> None:
    store = Store()
    store.put([resource(CLUSTER, "c", (ENDPOINTS, "c"))], now=0)

    assert store.warming(now=1) == {f"{CLUSTER}/c": TIMEOUT}
    assert store.advance(now=TIMEOUT) is not None


def test_nobody_waits_for_what_does_not_exist() -> None:
    store = Store()
    store.put([resource(LISTENER, "l", (ROUTES, "r"))], now=0)
    store.conclude(ROUTES, "r")

    assert store.advance(now=0) is not None


def test_the_old_version_serves_while_the_new_one_warms() -> None:
    store = Store()
    store.put([resource(LISTENER, "l", (ROUTES, "r1"), body="old"), resource(ROUTES, "r1")], now=0)
    store.advance(now=0)

    store.put([resource(LISTENER, "l", (ROUTES, "r2"), body="new")], now=1)

    assert store.advance(now=1) is None
    assert published(store, LISTENER) == {"l": "old"}
    assert store.wanted() == {Ads(): {ROUTES: {"r1", "r2"}}}

    store.put([resource(ROUTES, "r2")], now=2)
    update = store.advance(now=2)

    assert update is not None
    assert published(store, LISTENER) == {"l": "new"}
    assert update.removed == {ROUTES: ("r1",)}


def test_a_listener_waits_for_its_secrets() -> None:
    store = Store()
    store.put([resource(LISTENER, "l", (SECRET, "default"), (SECRET, "ROOTCA"))], now=0)
    store.put([resource(SECRET, "default")], now=0)
    assert store.advance(now=0) is None

    store.put([resource(SECRET, "ROOTCA")], now=1)

    update = store.advance(now=1)
    assert update is not None
    assert [r.name for r in update.changed[SECRET]] == ["default", "ROOTCA"]


def test_the_same_again_is_no_update() -> None:
    store = Store()
    store.put([resource(CLUSTER, "c")], now=0)
    store.advance(now=0)

    store.put([resource(CLUSTER, "c")], now=1)

    assert store.advance(now=1) is None


def test_what_a_server_no_longer_names_is_removed() -> None:
    store = Store()
    store.put([resource(CLUSTER, "a"), resource(CLUSTER, "b")], now=0)
    store.advance(now=0)

    store.retain(CLUSTER, ["b"])

    update = store.advance(now=1)
    assert update is not None
    assert update.removed == {CLUSTER: ("a",)}


def test_a_static_resource_is_never_displaced() -> None:
    store = Store()
    store.put_static([resource(CLUSTER, "xds", body="static")], now=0)
    store.put([resource(CLUSTER, "xds", body="dynamic")], now=0)
    store.retain(CLUSTER, [])
    store.advance(now=0)

    assert published(store, CLUSTER) == {"xds": "static"}


def test_reading_the_bootstrap_again_replaces_static_resources_alone() -> None:
    store = Store()
    store.put_static([resource(CLUSTER, "a"), resource(CLUSTER, "b")], now=0)
    store.put([resource(CLUSTER, "from-ads")], now=0)
    store.advance(now=0)

    store.put_static([resource(CLUSTER, "b", body="b2")], now=1)
    store.advance(now=1)

    assert published(store, CLUSTER) == {"b": "b2", "from-ads": "from-ads"}


def test_the_first_listeners_wait_for_the_first_clusters() -> None:
    store = Store(clusters_until=15.0)
    store.put([resource(LISTENER, "l")], now=0)
    assert store.advance(now=0) is None

    store.clusters_until = 0.0

    assert store.advance(now=1) is not None


def test_a_cluster_of_names_waits_for_the_resolver() -> None:
    store = Store()
    store.put([resource(CLUSTER, "c", dns_hosts=("a.test",))], now=0)
    assert store.advance(now=100) is None

    store.put([resource(ENDPOINTS, "dns|c")], now=100)

    update = store.advance(now=100)
    assert update is not None
    assert [r.name for r in update.changed[ENDPOINTS]] == ["dns|c"]


def test_endpoints_that_nothing_points_at_are_forgotten() -> None:
    store = Store()
    store.put([resource(CLUSTER, "c", (ENDPOINTS, "c")), resource(ENDPOINTS, "c")], now=0)
    store.advance(now=0)
    store.retain(CLUSTER, [])
    store.advance(now=1)

    store.forget_unwanted()

    assert store.accepted[ENDPOINTS] == {}
    assert store.wanted() == {}


def test_after_a_restart_only_what_differs_is_told() -> None:
    store = Store()
    store.seed([resource(CLUSTER, "same"), resource(CLUSTER, "gone")], now=0)
    assert store.advance(now=0) is None

    store.put([resource(CLUSTER, "same"), resource(CLUSTER, "new")], now=1)
    store.retain(CLUSTER, ["same", "new"])

    update = store.advance(now=1)
    assert update is not None
    assert [r.name for r in update.changed[CLUSTER]] == ["new"]
    assert update.removed == {CLUSTER: ("gone",)}
