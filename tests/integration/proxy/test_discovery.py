"""Where endpoints come from: names, original destinations, nowhere; and how bytes travel to each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.integration.proxy.conftest import MakeOrigin, Start
from tests.support.bootstrap import TYPE, address, cluster, file_log, http_listener, route, virtual_host
from tests.support.client import Client, fetch, request
from tests.support.origin import Script, answer
from tests.support.proxies import Proxy
from tests.support.wait import until

ORIGINAL: dict[str, Any] = {"name": "c", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}


def says(word: str) -> Script:
    return lambda _: answer(200, word.encode())


def serve(start: Start, to: dict[str, Any], **hcm: Any) -> Proxy:
    return start([http_listener("l", [virtual_host(route({"prefix": "/"}, "c"))], **hcm)], [to])


def asking(proxy: Proxy, header: str, value: str) -> tuple[int, bytes]:
    response = fetch(proxy.port("l"), "GET", "/", (header, value))
    return response.status, response.body


def test_a_header_names_the_original_destination(start: Start, origin: MakeOrigin) -> None:
    first, second = origin(says("first")), origin(says("second"))
    proxy = serve(start, {**ORIGINAL, "original_dst_lb_config": {"use_http_header": True}})
    name = "x-envoy-original-dst-host"
    assert asking(proxy, name, f"127.0.0.1:{first.port}") == (200, b"first")
    assert asking(proxy, name, f"127.0.0.1:{second.port}") == (200, b"second")
    assert proxy.stat("cluster.c.membership_total") == 2
    assert asking(proxy, name, "nowhere")[0] == 503
    assert proxy.stat("cluster.c.original_dst_host_invalid") == 1


def test_the_header_and_the_port_may_be_others(start: Start, origin: MakeOrigin) -> None:
    upstream = origin(says("there"))
    config = {
        "use_http_header": True,
        "http_header_name": "x-to",
        "upstream_port_override": upstream.port,
    }
    proxy = serve(start, {**ORIGINAL, "original_dst_lb_config": config})
    assert asking(proxy, "x-to", "127.0.0.1:9") == (200, b"there")


def test_a_connection_that_was_going_to_us_has_no_original_destination(start: Start) -> None:
    proxy = serve(start, ORIGINAL)
    assert fetch(proxy.port("l"), "GET", "/").status == 503
    assert proxy.stat("cluster.c.upstream_cx_none_healthy") == 1


def test_an_original_destination_that_nobody_uses_is_forgotten(start: Start, origin: MakeOrigin) -> None:
    upstream = origin(lambda _: answer(200, b"ok", ("connection", "close")))
    config = {"use_http_header": True}
    proxy = serve(start, {**ORIGINAL, "original_dst_lb_config": config, "cleanup_interval": "0.2s"})
    assert asking(proxy, "x-envoy-original-dst-host", f"127.0.0.1:{upstream.port}")[0] == 200
    until(lambda: proxy.stat("cluster.c.membership_total") == 0)


def test_a_static_cluster_may_have_no_endpoints(start: Start) -> None:
    proxy = serve(start, {"name": "c", "type": "STATIC"})
    assert fetch(proxy.port("l"), "GET", "/").status == 503


def test_a_name_is_resolved_before_the_first_request(start: Start, origin: MakeOrigin) -> None:
    for kind in ("STRICT_DNS", "LOGICAL_DNS"):
        to = cluster("c", origin(says("here")).port, type=kind, dns_lookup_family="V4_ONLY")
        socket = to["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
        socket["socket_address"]["address"] = "localhost"
        proxy = serve(start, to)
        assert fetch(proxy.port("l"), "GET", "/").body == b"here", kind


def test_a_transport_is_chosen_by_the_labels_of_endpoint_or_locality(
    start: Start, origin: MakeOrigin, tmp_path: Path
) -> None:
    """The endpoints speak no TLS, so those that are to be spoken to in TLS cannot be reached."""
    tls = {"name": "t", "typed_config": {"@type": TYPE + UPSTREAM_TLS}}
    raw = {"name": "r", "typed_config": {"@type": TYPE + RAW}}
    matches = [
        {"name": "tls", "match": {"tls": True, "level": 2}, "transport_socket": tls},
        {"name": "raw", "match": {"tls": "no"}, "transport_socket": raw},
    ]
    ports = [origin(says(str(number))).port for number in range(5)]
    both = {"tls": True, "level": 2}
    groups = [
        {
            "locality": {"zone": "a"},
            "lb_endpoints": [member(ports[0], both), member(ports[1], {"tls": "no"})],
        },
        {
            "locality": {"zone": "b"},
            "metadata": {"filter_metadata": {"envoy.transport_socket_match": {"tls": "no"}}},
            "lb_endpoints": [member(ports[2], {}), member(ports[3], both)],
        },
        {"locality": {"zone": "c"}, "lb_endpoints": [member(ports[4], {"tls": True})]},
    ]
    to = {
        "name": "c",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "c", "endpoints": groups},
        "transport_socket_matches": matches,
        "transport_socket": tls,
    }
    log = tmp_path / "log"
    proxy = serve(start, to, access_log=[file_log(log, "%UPSTREAM_HOST% %RESPONSE_CODE%\n")])
    with Client(proxy.port("l")) as client:
        for _ in range(10):
            client.send(request("GET", "/"))
            client.response()
    until(lambda: log.exists() and log.read_text().count("\n") == 10)
    outcome = dict(line.split(" ") for line in log.read_text().splitlines())
    reached = [outcome[f"127.0.0.1:{port}"] == "200" for port in ports]
    # By its own labels, by its own, by its locality's, by its own before its locality's, by none.
    assert reached == [False, True, True, False, False]


UPSTREAM_TLS = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
RAW = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"


def member(port: int, labels: dict[str, Any]) -> dict[str, Any]:
    metadata = {"filter_metadata": {"envoy.transport_socket_match": labels}}
    return {"endpoint": {"address": address(port)}, "metadata": metadata}
