"""What bootstraps found in the wild say holds on the wire, with meshproxy as with the real Envoy."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.support.bootstrap import (
    TYPE,
    address,
    cluster,
    direct,
    http_listener,
    route,
    static,
    tcp_listener,
    virtual_host,
)
from tests.support.client import fetch
from tests.support.origin import Origin
from tests.support.proxies import KINDS, Kind, Proxy, running

pytestmark = pytest.mark.xdist_group("differential-envoy")


def any_port(proxy: Proxy) -> int:
    """Where the only listener listens, whatever its name."""
    (entry,) = json.loads(proxy.get("/listeners?format=json"))["listener_statuses"]
    return int(entry["local_address"]["socket_address"]["port_value"])


@pytest.mark.parametrize("kind", KINDS)
def test_connections_come_from_the_source_address(kind: Kind, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = {"source_address": {"address": "127.0.0.7", "port_value": 0}}
        up = cluster("up", server.getsockname()[1], upstream_bind_config=source)
        with (
            running(kind, static([tcp_listener("tcp", "up")], [up]), tmp_path) as proxy,
            socket.create_connection(("127.0.0.1", proxy.port("tcp"))) as client,
        ):
            client.sendall(b"x")
            server.settimeout(10)
            accepted, peer = server.accept()
            accepted.close()

    assert peer[0] == "127.0.0.7"


@pytest.mark.parametrize("kind", KINDS)
def test_a_listener_needs_no_name(kind: Kind, tmp_path: Path) -> None:
    listener = http_listener("", [virtual_host(direct({"prefix": "/"}, 200, "here"))], stat_prefix="web")
    with running(kind, static([listener], []), tmp_path) as proxy:
        assert fetch(any_port(proxy)).body == b"here"


@pytest.mark.parametrize("kind", KINDS)
def test_static_layers_of_the_runtime_override_defaults(kind: Kind, tmp_path: Path) -> None:
    def share(key: str, numerator: int) -> dict[str, Any]:
        default = {"numerator": numerator, "denominator": "HUNDRED"}
        return {"prefix": "/", "runtime_fraction": {"default_value": default, "runtime_key": key}}

    routes = [
        direct(share("routing.always", 0), 201),
        route(share("routing.unset", 0), "nobody"),
        direct({"prefix": "/"}, 202),
    ]
    never = [direct(share("routing.never", 100), 203), direct({"prefix": "/"}, 204)]
    hosts = [virtual_host(*routes, domains=["always.test"]), virtual_host(*never, domains=["never.test"])]
    layers = [
        {"name": "first", "static_layer": {"routing": {"always": 0, "never": 100}}},
        {"name": "second", "static_layer": {"routing.always": 100, "routing": {"never": 0}}},
        {"name": "admin", "admin_layer": {}},
    ]
    bootstrap = {**static([http_listener("web", hosts)], []), "layered_runtime": {"layers": layers}}
    with running(kind, bootstrap, tmp_path) as proxy:
        answers = [
            fetch(proxy.port("web"), host=host).status
            for host in ("always.test", "never.test")
            for _ in range(5)
        ]

    assert answers == [201] * 5 + [204] * 5


@pytest.mark.parametrize("single", [False, True], ids=["strict", "logical"])
@pytest.mark.parametrize("kind", KINDS)
def test_names_are_resolved_for_clusters_of_the_dns_extension(
    kind: Kind, single: bool, tmp_path: Path
) -> None:
    origin = Origin()
    config = {
        "@type": TYPE + "envoy.extensions.clusters.dns.v3.DnsCluster",
        "dns_lookup_family": "V4_ONLY",
        "all_addresses_in_single_endpoint": single,
    }
    up = cluster("up", cluster_type={"name": "envoy.cluster.dns", "typed_config": config})
    del up["type"]
    member = {"endpoint": {"address": address(origin.port, "localhost")}}
    up["load_assignment"]["endpoints"] = [{"lb_endpoints": [member]}]
    listener = http_listener("web", [virtual_host(route({"prefix": "/"}, "up"))])
    with running(kind, static([listener], [up]), tmp_path) as proxy:
        assert fetch(proxy.port("web")).status == 200
    origin.close()
