"""Clusters of names that a name server resolves: when it is asked, who is in them, as with the real Envoy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dns.rcode
import pytest

from tests.support.bootstrap import TYPE, Json, address, cluster, http_listener, route, static, virtual_host
from tests.support.client import fetch
from tests.support.name_server import NameServer, Record
from tests.support.origin import Origin
from tests.support.proxies import KINDS, Kind, Proxy, running
from tests.support.wait import until

pytestmark = pytest.mark.xdist_group("differential-envoy")

CARES = TYPE + "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
DNS_CLUSTER = TYPE + "envoy.extensions.clusters.dns.v3.DnsCluster"
PORT = 9


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer() as made:
        yield made


def asking(server: NameServer) -> Json:
    return {"name": "cares", "typed_config": {"@type": CARES, "resolvers": [address(server.port)]}}


def named(name: str, host: str, port: int, **fields: Any) -> Json:
    """A cluster of a name whose records alone say when to ask again."""
    made = cluster(name, dns_lookup_family="V4_ONLY", respect_dns_ttl=True, dns_refresh_rate="60s", **fields)
    endpoint = {"address": address(port, host)}
    made["load_assignment"]["endpoints"] = [{"lb_endpoints": [{"endpoint": endpoint}]}]
    return made


def members(proxy: Proxy, name: str) -> list[str]:
    lines = (line.split("::") for line in proxy.get("/clusters").splitlines())
    return sorted(fields[1] for fields in lines if fields[0] == name and fields[2:3] == ["hostname"])


def at(*hosts: str) -> list[str]:
    return [f"{host}:{PORT}" for host in hosts]


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_is_asked_for_again_when_its_time_is_over(
    kind: Kind, server: NameServer, tmp_path: Path
) -> None:
    server.records["up.test"] = [Record("A", 1, "127.0.0.1"), Record("A", 1, "127.0.0.2")]
    server.records["still.test"] = [Record("A", 300, "127.0.0.4")]
    extension = {
        "@type": DNS_CLUSTER,
        "dns_lookup_family": "V4_ONLY",
        "respect_dns_ttl": True,
        "dns_refresh_rate": "60s",
        "typed_dns_resolver_config": asking(server),
    }
    new = named("new", "up.test", PORT) | {
        "cluster_type": {"name": "envoy.cluster.dns", "typed_config": extension}
    }
    for field in ("type", "dns_lookup_family", "respect_dns_ttl", "dns_refresh_rate"):
        del new[field]
    resolver = {"typed_dns_resolver_config": asking(server)}
    clusters = [
        named("strict", "up.test", PORT, type="STRICT_DNS", **resolver),
        named("logical", "up.test", PORT, type="LOGICAL_DNS", **resolver),
        named("still", "still.test", PORT, type="STRICT_DNS", **resolver),
        new,
    ]
    with running(kind, static([], clusters), tmp_path) as proxy:
        for name in ("strict", "new"):
            assert members(proxy, name) == at("127.0.0.1", "127.0.0.2")
        server.records["up.test"] = [Record("A", 1, "127.0.0.3")]
        for name in ("strict", "logical", "new"):
            until(partial(lambda name: members(proxy, name) == at("127.0.0.3"), name), name)
        assert [name for name, _, _ in server.asked].count("still.test") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_is_gone_empties_a_strict_cluster_and_leaves_a_logical_one_where_it_was(
    kind: Kind, server: NameServer, tmp_path: Path
) -> None:
    server.records["up.test"] = [Record("A", 1, "127.0.0.1")]
    failing = {"dns_failure_refresh_rate": {"base_interval": "0.2s", "max_interval": "0.2s"}}
    clusters = [
        named("strict", "up.test", PORT, type="STRICT_DNS", **failing),
        named("logical", "up.test", PORT, type="LOGICAL_DNS", **failing),
    ]
    bootstrap = static([], clusters) | {"typed_dns_resolver_config": asking(server)}
    with running(kind, bootstrap, tmp_path) as proxy:
        server.rcode = dns.rcode.SERVFAIL
        until(lambda: len(server.asked) > 8, "asked again at the rate of failures")
        assert members(proxy, "strict") == members(proxy, "logical") == at("127.0.0.1")
        del server.records["up.test"]
        server.rcode = dns.rcode.NOERROR
        until(lambda: members(proxy, "strict") == [], "nobody there")
        server.asked.clear()
        until(lambda: len(server.asked) > 3, "asked again at the rate of failures")
        assert members(proxy, "logical") == at("127.0.0.1")


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_nobody_knows_does_not_hold_up_the_others(
    kind: Kind, server: NameServer, tmp_path: Path
) -> None:
    server.records["up.test"] = [Record("A", 300, "127.0.0.1")]
    server.silent.add("lost.test")
    to = named("c", "up.test", PORT, type="STRICT_DNS", typed_dns_resolver_config=asking(server))
    lost = named("c", "lost.test", PORT)["load_assignment"]["endpoints"]
    to["load_assignment"]["endpoints"] += lost
    started = time.monotonic()
    with running(kind, static([], [to]), tmp_path) as proxy:
        until(lambda: members(proxy, "c") == at("127.0.0.1"))
        # A question alone is given five seconds.
        assert time.monotonic() - started < 4.0


@pytest.mark.parametrize("kind", KINDS)
def test_requests_go_where_the_name_server_says(kind: Kind, server: NameServer, tmp_path: Path) -> None:
    server.records["up.test"] = [Record("A", 300, "127.0.0.1")]
    servers = {"resolvers": [address(server.port)]}
    ways: list[Json] = [{"dns_resolution_config": servers}, {"dns_resolvers": servers["resolvers"]}]
    with Origin() as origin:
        names = [f"up{number}" for number in range(len(ways))]
        clusters = [
            named(name, "up.test", origin.port, type="STRICT_DNS", **way)
            for name, way in zip(names, ways, strict=True)
        ]
        routes = [route({"prefix": f"/{name}"}, name) for name in names]
        with running(
            kind, static([http_listener("l", [virtual_host(*routes)])], clusters), tmp_path
        ) as proxy:
            for name in names:
                assert fetch(proxy.port("l"), "GET", f"/{name}").status == 200
