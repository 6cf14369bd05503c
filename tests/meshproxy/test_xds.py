"""meshproxy under a second management server: resources, refusals, interruptions, secrets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.meshproxy.ads_server import AdsServer
from tests.meshproxy.pki import Authority, Issued, peer_serial
from tests.meshproxy.test_lifecycle import worker_pids
from tests.support.bootstrap import HCM, address, cluster, http_listener, route, router, static, virtual_host
from tests.support.client import fetch
from tests.support.origin import Origin, answer
from tests.support.process import children
from tests.support.proxies import Proxy, running, started
from tests.support.server import free_port
from tests.support.wait import until

ADS: dict[str, Any] = {"ads": {}}
DOWNSTREAM_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"


class Server:
    """The management server on a loop of its own, so that tests read from top to bottom."""

    def __init__(self, shown: Issued | None = None, trusted: Authority | None = None) -> None:
        """With a certificate to show it speaks TLS, and takes clients that `trusted` has issued."""
        credentials = None
        if shown is not None and trusted is not None:
            pairs = [(shown.key, shown.chain)]
            credentials = grpc.ssl_server_credentials(pairs, trusted.chain, require_client_auth=True)
        self.socket = Path(tempfile.mkdtemp()) / "ads.sock"
        self.ads = AdsServer(credentials=credentials, socket=str(self.socket))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.start()

    def start(self) -> None:
        asyncio.run_coroutine_threadsafe(self.ads.start(), self._loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.ads.stop(), self._loop).result(10)

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin(lambda _: answer(200, b"one")) as made:
        yield made


@pytest.fixture(params=["GRPC", "DELTA_GRPC"])
def api_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def dynamic(server: Server, api_type: str, **fields: Any) -> dict[str, Any]:
    """A bootstrap that takes everything from the server."""
    service = {"envoy_grpc": {"cluster_name": "xds"}}
    return {
        "node": {"id": "test-node", "cluster": "test"},
        "dynamic_resources": {
            "ads_config": {"api_type": api_type, "grpc_services": [service]},
            "cds_config": ADS | {"initial_fetch_timeout": "1s"},
            "lds_config": ADS | {"initial_fetch_timeout": "1s"},
        },
        **static([], [cluster("xds", server.ads.port)]),
        **fields,
    }


def eds_cluster(name: str) -> dict[str, Any]:
    return {"name": name, "type": "EDS", "connect_timeout": "1s", "eds_cluster_config": {"eds_config": ADS}}


def endpoints(name: str, *ports: int) -> dict[str, Any]:
    assignment = cluster(name, *ports)["load_assignment"]
    return dict(assignment)


def rds_listener(name: str, routes: str) -> dict[str, Any]:
    manager = {
        "@type": HCM,
        "stat_prefix": name,
        "rds": {"route_config_name": routes, "config_source": ADS},
        "http_filters": [router()],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {"name": name, "address": address(0), "filter_chains": [{"filters": filters}]}


def routes_to(name: str, target: str, prefix: str = "/") -> dict[str, Any]:
    return {"name": name, "virtual_hosts": [virtual_host(route({"prefix": prefix}, target))]}


def put_web(server: Server, origin: Origin) -> None:
    """One listener, its routes, one cluster, its endpoints."""
    server.ads.put("cluster", eds_cluster("up"))
    server.ads.put("endpoints", endpoints("up", origin.port))
    server.ads.put("listener", rds_listener("web", "r"))
    server.ads.put("routes", routes_to("r", "up"))


def body(proxy: Proxy) -> bytes:
    try:
        return fetch(proxy.port("web")).body
    except (OSError, AssertionError, ValueError):
        return b""


def until_answers(proxy: Proxy, expected: bytes) -> None:
    until(lambda: body(proxy) == expected, f"answers {expected!r}, not {body(proxy)!r}: {proxy.stderr()}")


def test_everything_comes_over_one_stream(
    tmp_path: Path, server: Server, origin: Origin, api_type: str
) -> None:
    put_web(server, origin)

    with running("meshproxy", dynamic(server, api_type), tmp_path) as proxy:
        until_answers(proxy, b"one")

        assert server.ads.streams == 1
        kinds = list(dict.fromkeys(r.type_url.rpartition(".")[2] for r in server.ads.requests))
        assert kinds == ["Cluster", "ClusterLoadAssignment", "Listener", "RouteConfiguration"]
        assert server.ads.requests[0].node.id == "test-node"


def test_changes_are_followed(tmp_path: Path, server: Server, origin: Origin, api_type: str) -> None:
    put_web(server, origin)
    other = Origin(lambda _: answer(200, b"two"))
    with running("meshproxy", dynamic(server, api_type), tmp_path) as proxy:
        until_answers(proxy, b"one")

        server.ads.put("endpoints", endpoints("up", other.port))
        until_answers(proxy, b"two")

        server.ads.put("cluster", eds_cluster("up"), eds_cluster("down"))
        server.ads.put("endpoints", endpoints("down", origin.port))
        server.ads.put("routes", routes_to("r", "down"))
        until_answers(proxy, b"one")

        server.ads.remove("listener", "web")
        until(lambda: "web" not in proxy.get("/listeners"), "the listener is gone")
    other.close()


def test_a_refused_resource_is_nacked_by_path_and_the_last_good_one_serves(
    tmp_path: Path, server: Server, origin: Origin, api_type: str
) -> None:
    put_web(server, origin)
    with running("meshproxy", dynamic(server, api_type), tmp_path) as proxy:
        until_answers(proxy, b"one")

        bad = routes_to("r", "up")
        bad["virtual_hosts"][0]["routes"][0]["match"] = {"safe_regex": {"regex": "(unclosed"}}
        server.ads.put("routes", bad)

        (reason,) = until(lambda: server.ads.nacks("routes"), "a NACK")
        assert "r: virtual_hosts[0].routes[0].match" in reason
        assert body(proxy) == b"one"
        assert proxy.stat("http.rds.update_rejected") == 1

        server.ads.put("routes", routes_to("r", "up"))
        until(lambda: proxy.stat("http.rds.update_success") == 2, "the next good one is taken")


def test_a_listener_waits_for_its_routes(
    tmp_path: Path, server: Server, origin: Origin, api_type: str
) -> None:
    server.ads.put("cluster", eds_cluster("up"))
    server.ads.put("endpoints", endpoints("up", origin.port))
    with running("meshproxy", dynamic(server, api_type), tmp_path) as proxy:
        server.ads.put("listener", rds_listener("web", "r"))
        until(lambda: server.ads.of_kind("routes"), "the routes are asked for")
        assert proxy.get("/listeners") == ""

        server.ads.put("routes", routes_to("r", "up"))

        until_answers(proxy, b"one")


def test_without_its_server_it_serves_on_and_then_asks_only_for_the_rest(
    tmp_path: Path, server: Server, origin: Origin, api_type: str
) -> None:
    put_web(server, origin)
    with running("meshproxy", dynamic(server, api_type), tmp_path) as proxy:
        until_answers(proxy, b"one")
        server.stop()
        until(lambda: proxy.stat("control_plane.connected_state") == 0, "it is noticed")
        assert body(proxy) == b"one"
        seen = len(server.ads.requests)

        server.start()

        until(lambda: len(server.ads.requests) >= seen + 4, "it is back")
        first = {r.type_url.rpartition(".")[2]: r for r in reversed(server.ads.requests[seen:])}
        if api_type == "GRPC":
            assert first["RouteConfiguration"].version_info
            assert not first["RouteConfiguration"].response_nonce
        else:
            assert list(first["Cluster"].initial_resource_versions) == ["up"]
        assert body(proxy) == b"one"


def test_a_restarted_agent_asks_for_what_has_changed(tmp_path: Path, server: Server, origin: Origin) -> None:
    put_web(server, origin)
    with running("meshproxy", dynamic(server, "DELTA_GRPC"), tmp_path) as proxy:
        until_answers(proxy, b"one")
        until(lambda: proxy.stat("listener_manager.total_listeners_active") == 1, "published")
        seen = len(server.ads.requests)
        pid = proxy.process.pid
        (agent,) = set(children(pid)) - set(worker_pids(proxy))
        (tmp_path / "admin-address").unlink()

        os.kill(agent, signal.SIGKILL)

        until((tmp_path / "admin-address").exists, "another agent")
        proxy.admin = (tmp_path / "admin-address").read_text()
        until(lambda: len(server.ads.requests) >= seen + 4, "it asks")
        known = {
            r.type_url.rpartition(".")[2]: list(r.initial_resource_versions)
            for r in server.ads.requests[seen:]
            if r.initial_resource_versions
        }
        assert known == {
            "Cluster": ["up"],
            "ClusterLoadAssignment": ["up"],
            "Listener": ["web"],
            "RouteConfiguration": ["r"],
        }
        until_answers(proxy, b"one")


def tls_listener(origin: Origin, sds: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A TLS listener whose certificate is the secret `server` of `sds`, and its cluster."""
    listener = http_listener("web", [virtual_host(route({"prefix": "/"}, "up"))])
    config = {"name": "server", "sds_config": sds}
    context = {
        "@type": DOWNSTREAM_TLS,
        "common_tls_context": {"tls_certificate_sds_secret_configs": [config]},
    }
    listener["filter_chains"][0]["transport_socket"] = {"name": "tls", "typed_config": context}
    return listener, cluster("up", origin.port)


def test_a_certificate_in_a_file_is_rotated(tmp_path: Path, origin: Origin) -> None:
    authority = Authority()
    first, second = authority.issue("one.test"), authority.issue("two.test")
    (tmp_path / "cert.pem").write_bytes(first.chain)
    (tmp_path / "key.pem").write_bytes(first.key)
    secret = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": "server",
        "tls_certificate": {
            "certificate_chain": {"filename": str(tmp_path / "cert.pem")},
            "private_key": {"filename": str(tmp_path / "key.pem")},
        },
    }
    (tmp_path / "sds.json").write_text(json.dumps({"resources": [secret]}))
    source = {"path_config_source": {"path": str(tmp_path / "sds.json")}}
    listener, up = tls_listener(origin, source)

    with running("meshproxy", static([listener], [up]), tmp_path) as proxy:
        port = proxy.port("web")
        assert peer_serial(port) == first.serial

        replace(tmp_path / "key.pem", second.key)
        replace(tmp_path / "cert.pem", second.chain)

        until(lambda: peer_serial(port) == second.serial, "the new certificate")
        assert f"{second.serial:x}" in proxy.get("/certs")
        assert b"PRIVATE KEY" not in proxy.get("/config_dump").encode()


def replace(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".draft")
    draft.write_bytes(content)
    draft.replace(path)


def test_certificates_over_grpc_are_rotated_and_share_a_stream(
    tmp_path: Path, server: Server, origin: Origin
) -> None:
    authority = Authority()
    first, second = authority.issue("one.test"), authority.issue("two.test")
    server.ads.put("secret", first.secret("server"), {"name": "unused"})
    service = {"envoy_grpc": {"cluster_name": "sds"}}
    source = {"api_config_source": {"api_type": "GRPC", "grpc_services": [service]}}
    listener, up = tls_listener(origin, source)
    bootstrap = static([listener], [up, cluster("sds", server.ads.port)])

    with running("meshproxy", bootstrap, tmp_path) as proxy:
        port = proxy.port("web")
        assert peer_serial(port) == first.serial

        server.ads.put("secret", second.secret("server"))

        until(lambda: peer_serial(port) == second.serial, "the new certificate")
        assert server.ads.streams == 1
        dump = json.loads(proxy.get("/config_dump?resource=dynamic_active_secrets"))["configs"]
        key = dump[0]["secret"]["tls_certificate"]["private_key"]
        assert key == {"inline_bytes": "W3JlZGFjdGVkXQ=="}


def test_names_are_resolved_and_followed(tmp_path: Path, origin: Origin) -> None:
    up = cluster("up", origin.port) | {"type": "STRICT_DNS", "dns_lookup_family": "V4_ONLY"}
    up["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] = address(
        origin.port, "localhost"
    )
    bootstrap = static([http_listener("web", [virtual_host(route({"prefix": "/"}, "up"))])], [up])

    with running("meshproxy", bootstrap, tmp_path) as proxy:
        until_answers(proxy, b"one")

        assert f"up::127.0.0.1:{origin.port}::hostname::localhost\n" in proxy.get("/clusters")


def test_the_management_server_is_reached_over_mutual_tls(tmp_path: Path, origin: Origin) -> None:
    authority = Authority()
    shown, own = authority.issue("xds.test"), authority.issue("proxy.test")
    server = Server(shown, authority)
    put_web(server, origin)
    bootstrap = dynamic(server, "DELTA_GRPC")
    (xds,) = bootstrap["static_resources"]["clusters"]
    for name, content in (("ca", authority.chain), ("cert", own.chain), ("key", own.key)):
        (tmp_path / name).write_bytes(content)
    exact = {"san_type": "DNS", "matcher": {"exact": "xds.test"}}
    certificate = {
        "certificate_chain": {"filename": str(tmp_path / "cert")},
        "private_key": {"filename": str(tmp_path / "key")},
    }
    context = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": "xds.test",
        "common_tls_context": {
            "tls_certificates": [certificate],
            "validation_context": {
                "trusted_ca": {"filename": str(tmp_path / "ca")},
                "match_typed_subject_alt_names": [exact],
            },
        },
    }
    xds["transport_socket"] = {"name": "tls", "typed_config": context}

    with running("meshproxy", bootstrap, tmp_path) as proxy:
        until_answers(proxy, b"one")
    server.close()


def test_secrets_come_over_a_unix_socket(tmp_path: Path, server: Server, origin: Origin) -> None:
    issued = Authority().issue("one.test")
    server.ads.put("secret", issued.secret("server"))
    service = {"envoy_grpc": {"cluster_name": "sds"}}
    source = {"api_config_source": {"api_type": "DELTA_GRPC", "grpc_services": [service]}}
    listener, up = tls_listener(origin, source)
    sds = cluster("sds", 1)
    pipe = {"pipe": {"path": str(server.socket)}}
    sds["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] = pipe

    with running("meshproxy", static([listener], [up, sds]), tmp_path) as proxy:
        assert peer_serial(proxy.port("web")) == issued.serial


def test_a_secret_that_does_not_come_holds_its_listener_and_no_other(
    tmp_path: Path, server: Server, origin: Origin
) -> None:
    service = {"envoy_grpc": {"cluster_name": "sds"}}
    source = {
        "api_config_source": {"api_type": "GRPC", "grpc_services": [service]},
        "initial_fetch_timeout": "3600s",
    }
    waiting, up = tls_listener(origin, source)
    plain = http_listener("plain", [virtual_host(route({"prefix": "/"}, "up"))])
    bootstrap = static([plain, waiting], [up, cluster("sds", server.ads.port)])

    with started("meshproxy", bootstrap, tmp_path) as proxy:
        until(lambda: "plain::" in proxy.get("/listeners"), "the plain listener")
        assert fetch(proxy.port("plain")).body == b"one"
        assert "web::" not in proxy.get("/listeners")
        assert proxy.stat("listener_manager.total_listeners_warming") == 1

        issued = Authority().issue("one.test")
        server.ads.put("secret", issued.secret("server"))

        until(lambda: "web::" in proxy.get("/listeners"), "the listener has its certificate")
        until(lambda: peer_serial(proxy.port("web")) == issued.serial, "and shows it")


def test_listeners_in_a_file_are_followed(tmp_path: Path, origin: Origin) -> None:
    up = cluster("up", origin.port)
    listener = http_listener("web", [virtual_host(route({"prefix": "/"}, "up"))])
    path = tmp_path / "lds.json"
    write_response(path, {"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", **listener})
    bootstrap = static([], [up]) | {
        "dynamic_resources": {"lds_config": {"path_config_source": {"path": str(path)}}}
    }

    with running("meshproxy", bootstrap, tmp_path) as proxy:
        until_answers(proxy, b"one")

        path.write_text("resources: [{nonsense: 1}]")
        until(lambda: proxy.stat("listener_manager.lds.update_failure") == 1, "the refusal is counted")
        assert body(proxy) == b"one"

        write_response(path)
        until(lambda: "web" not in proxy.get("/listeners"), "the listener is gone")


def write_response(path: Path, *resources: dict[str, Any]) -> None:
    replace(path, json.dumps({"resources": list(resources)}).encode())


def test_a_listener_may_go_and_come_back_on_its_port(tmp_path: Path, server: Server, origin: Origin) -> None:
    port = free_port()
    server.ads.put("cluster", cluster("up", origin.port))
    listener = http_listener("web", [virtual_host(route({"prefix": "/"}, "up"))]) | {"address": address(port)}
    server.ads.put("listener", listener)
    with running("meshproxy", dynamic(server, "GRPC"), tmp_path) as proxy:
        until_answers(proxy, b"one")

        for _ in range(5):
            server.ads.remove("listener", "web")
            until(lambda: "web::" not in proxy.get("/listeners"), "gone")
            server.ads.put("listener", listener | {"tcp_backlog_size": 64})
            until(lambda: "web::" in proxy.get("/listeners"), "back")
            until_answers(proxy, b"one")


def test_a_taken_port_is_taken_up_when_it_becomes_free(
    tmp_path: Path, server: Server, origin: Origin
) -> None:
    server.ads.put("cluster", cluster("up", origin.port))
    listener = http_listener("web", [virtual_host(route({"prefix": "/"}, "up"))])
    with running("meshproxy", dynamic(server, "GRPC"), tmp_path) as proxy:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            server.ads.put("listener", listener | {"address": address(taken.getsockname()[1])})
            until(lambda: proxy.stat("listener_manager.listener_create_failure") == 1, "it is counted")

        until_answers(proxy, b"one")
