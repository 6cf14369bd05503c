"""The admin endpoint of a proxy that serves."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.meshproxy.test_lifecycle import proxy_to
from tests.support.client import fetch
from tests.support.origin import Origin
from tests.support.proxies import Kind, Proxy, running
from tests.support.wait import until


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as made:
        yield made


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, origin: Origin) -> Iterator[Proxy]:
    bootstrap = proxy_to(origin) | {"node": {"id": "n1", "cluster": "c1"}}
    with running("meshproxy", bootstrap, tmp_path_factory.mktemp("admin")) as made:
        for _ in range(5):
            fetch(made.port("web"))
        yield made


def status(proxy: Proxy, path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(f"http://{proxy.admin}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_stats_count_what_was_served(proxy: Proxy) -> None:
    until(lambda: proxy.stat("cluster.up.upstream_rq_total") == 5, "five requests to the cluster")
    assert proxy.stat("http.web.downstream_rq_2xx") == 5
    only = proxy.get("/stats?filter=^cluster.up.upstream_rq_total$")
    assert only == "cluster.up.upstream_rq_total: 5\n"
    assert "server.reload_failed" not in proxy.get("/stats?usedonly")


def test_prometheus_has_tags_and_buckets(proxy: Proxy) -> None:
    families = {f.name: f for f in text_string_to_metric_families(proxy.get("/stats/prometheus"))}

    (requests,) = families["envoy_cluster_upstream_rq"].samples
    assert (requests.labels, requests.value) == ({"envoy_cluster_name": "up"}, 5)
    times = families["envoy_cluster_upstream_rq_time"]
    assert times.type == "histogram"
    assert {s.value for s in times.samples if s.labels.get("le") == "+Inf"} == {5}


def test_the_dump_holds_what_was_configured(proxy: Proxy) -> None:
    sections = json.loads(proxy.get("/config_dump"))["configs"]

    kinds = [section["@type"].rpartition(".")[2] for section in sections]
    assert kinds == [
        "BootstrapConfigDump",
        "ClustersConfigDump",
        "ListenersConfigDump",
        "RoutesConfigDump",
        "SecretsConfigDump",
    ]
    assert sections[1]["static_clusters"][0]["cluster"]["name"] == "up"
    assert sections[2]["static_listeners"][0]["listener"]["name"] == "web"
    assert sections[3]["static_route_configs"][0]["route_config"]["name"] == "web-routes"
    (one,) = json.loads(proxy.get("/config_dump?resource=static_clusters"))["configs"]
    assert one["@type"].endswith("ClustersConfigDump.StaticCluster")


def test_clusters_and_listeners_name_where_things_are(proxy: Proxy, origin: Origin) -> None:
    assert f"up::127.0.0.1:{origin.port}::health_flags::healthy\n" in proxy.get("/clusters")
    (cluster,) = json.loads(proxy.get("/clusters?format=json"))["cluster_statuses"]
    (host,) = cluster["host_statuses"]
    assert host["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": origin.port}
    assert proxy.get("/listeners") == f"web::127.0.0.1:{proxy.port('web')}\n"


def test_server_info_says_who_it_is(proxy: Proxy) -> None:
    told = json.loads(proxy.get("/server_info"))

    assert told["state"] == "LIVE"
    assert (told["node"]["id"], told["node"]["user_agent_name"]) == ("n1", "meshproxy")


@pytest.mark.parametrize(
    ("method", "path", "code", "says"),
    [
        ("GET", "/quitquitquit", 405, "POST required"),
        ("GET", "/healthcheck/fail", 405, "POST required"),
        ("GET", "/nowhere", 404, "admin commands are"),
        ("GET", "/<script>", 404, "admin commands are"),
        ("GET", "/stats?filter=(", 400, "Invalid regex"),
        ("GET", "/config_dump?mask=x", 400, "mask is not implemented"),
        ("GET", "/config_dump?resource=x", 404, "want dynamic_active_clusters"),
        ("POST", "/logging?level=loud", 400, "want trace"),
        ("POST", "/logging?level=error", 200, "meshproxy: error"),
        ("GET", "/help", 200, "/stats/prometheus"),
        ("GET", "/certs", 200, "certificates"),
    ],
)
def test_every_answer_has_its_status(proxy: Proxy, method: str, path: str, code: int, says: str) -> None:
    answered, text = status(proxy, path, method)

    assert answered == code
    assert says in text
    assert "<script>" not in text


def test_a_failed_health_check_is_not_ready(proxy: Proxy) -> None:
    status(proxy, "/healthcheck/fail", "POST")
    assert status(proxy, "/ready") == (503, "DRAINING\n")

    status(proxy, "/healthcheck/ok", "POST")
    assert status(proxy, "/ready") == (200, "LIVE\n")


def test_the_address_file_has_envoys_form(proxy: Proxy, origin: Origin, tmp_path: Path) -> None:
    assert proxy.admin.startswith("127.0.0.1:")


def test_counters_start_again_from_zero_when_asked(tmp_path: Path, origin: Origin) -> None:
    with running("meshproxy", proxy_to(origin), tmp_path) as made:
        fetch(made.port("web"))
        until(lambda: made.stat("http.web.downstream_rq_2xx") == 1, "one request")
        connections = made.stat("cluster.up.upstream_cx_active")

        assert status(made, "/reset_counters", "POST") == (200, "OK\n")

        assert made.stat("http.web.downstream_rq_2xx") == 0
        assert made.stat("cluster.up.upstream_cx_active") == connections
        fetch(made.port("web"))
        until(lambda: made.stat("http.web.downstream_rq_2xx") == 1, "one more")


@pytest.mark.parametrize("kind", ["meshproxy", "envoy"])
def test_runtime_and_memory_are_told_in_envoys_form(kind: Kind, tmp_path: Path) -> None:
    layers = [
        {"name": "first", "static_layer": {"a": {"b": 1, "c": "text"}}},
        {"name": "second", "static_layer": {"a.b": 2, "d": True}},
        {"name": "admin", "admin_layer": {}},
    ]
    with running(kind, {"layered_runtime": {"layers": layers}}, tmp_path) as made:
        assert json.loads(made.get("/runtime")) == {
            "layers": ["first", "second", "admin"],
            "entries": {
                "a.b": {"layer_values": ["1", "2", ""], "final_value": "2"},
                "a.c": {"layer_values": ["text", "", ""], "final_value": "text"},
                "d": {"layer_values": ["", "true", ""], "final_value": "true"},
            },
        }
        memory = json.loads(made.get("/memory"))
        assert int(memory["allocated"]) > 0
        assert int(memory["heap_size"]) > 0
