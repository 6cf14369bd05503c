"""Connections that the kernel redirected to the proxy: where they were going decides who serves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.bootstrap import (
    ORIGINAL_DST,
    Json,
    address,
    cluster,
    listener_filter,
    static,
    tcp_listener,
    tcp_proxy,
)
from tests.support.first_bytes import greeters, greeting_of
from tests.support.namespace import in_own_network
from tests.support.proxies import running


def unbound(name: str, host: str, port: int) -> Json:
    return {**tcp_listener(name, name), "address": address(port, host), "bind_to_port": False}


def serve(folder: Path, listeners: list[Json], ask: Callable[[], Any]) -> Any:
    names = ("default", "one", "any")
    with greeters(*(name.encode() for name in names)) as origins:
        clusters = [cluster(name, origin.port) for name, origin in zip(names, origins, strict=True)]
        with running("meshproxy", static(listeners, clusters), folder):
            return ask()


def asked(*places: tuple[str, int]) -> Callable[[], list[bytes]]:
    return lambda: [greeting_of(port, host=host) for host, port in places]


def test_redirected_connections_go_to_the_listener_of_their_destination(tmp_path: Path) -> None:
    catcher = {**tcp_listener("default", "default"), "address": address(15001), "use_original_dst": True}
    listeners = [catcher, unbound("one", "10.9.9.9", 80), unbound("any", "0.0.0.0", 81)]

    def test() -> None:
        places = (("10.9.9.9", 80), ("10.9.9.8", 81), ("10.9.9.8", 80), ("127.0.0.1", 15001))
        assert serve(tmp_path, listeners, asked(*places)) == [b"one", b"any", b"default", b"default"]

    in_own_network(
        test,
        "ip addr add 10.9.8.1/32 dev lo",
        "ip route add 10.9.9.0/24 dev lo src 10.9.8.1",
        "iptables -t nat -A OUTPUT -p tcp -d 10.9.9.0/24 -j REDIRECT --to-ports 15001",
    )


def test_redirected_connections_of_ipv6_too(tmp_path: Path) -> None:
    catcher = {
        **tcp_listener("default", "default"),
        "address": address(15001, "::1"),
        "use_original_dst": True,
    }
    listeners = [catcher, unbound("one", "fd00:9::9", 80)]

    def test() -> None:
        places = (("fd00:9::9", 80), ("fd00:9::8", 80))
        assert serve(tmp_path, listeners, asked(*places)) == [b"one", b"default"]

    in_own_network(
        test,
        "ip -6 route add fd00:9::/64 dev lo",
        "ip6tables -t nat -A OUTPUT -p tcp -d fd00:9::/64 -j REDIRECT --to-ports 15001",
    )


def test_the_original_destination_is_matched_without_being_handed_over(tmp_path: Path) -> None:
    """With the listener filter alone the connection stays, and its filter chains see where it was going."""
    matched = {"prefix_ranges": [{"address_prefix": "10.9.9.9", "prefix_len": 32}]}
    catcher = {
        "name": "l",
        "address": address(15001),
        "listener_filters": [listener_filter(ORIGINAL_DST)],
        "filter_chains": [
            {"filter_chain_match": matched, "filters": [tcp_proxy("a", "one")]},
            {"filters": [tcp_proxy("b", "default")]},
        ],
    }
    listeners = [catcher, unbound("any", "10.9.9.9", 80)]

    def test() -> None:
        places = (("10.9.9.9", 80), ("10.9.9.8", 80))
        assert serve(tmp_path, listeners, asked(*places)) == [b"one", b"default"]

    in_own_network(
        test,
        "ip addr add 10.9.8.1/32 dev lo",
        "ip route add 10.9.9.0/24 dev lo src 10.9.8.1",
        "iptables -t nat -A OUTPUT -p tcp -d 10.9.9.0/24 -j REDIRECT --to-ports 15001",
    )


def test_a_transparent_listener_takes_connections_to_any_address(tmp_path: Path) -> None:
    matched = {"prefix_ranges": [{"address_prefix": "10.9.9.9", "prefix_len": 32}]}
    catcher = {
        "name": "l",
        "address": address(15001),
        "transparent": True,
        "filter_chains": [
            {"filter_chain_match": matched, "filters": [tcp_proxy("a", "one")]},
            {"filters": [tcp_proxy("b", "default")]},
        ],
    }

    def test() -> None:
        places = (("10.9.9.9", 80), ("10.9.9.8", 80))
        assert serve(tmp_path, [catcher], asked(*places)) == [b"one", b"default"]

    in_own_network(
        test,
        "ip addr add 10.9.8.1/24 dev lo",
        "ip route add 10.9.9.0/24 dev lo src 10.9.8.1",
        "ip rule add fwmark 1 lookup 100",
        "ip route add local 0.0.0.0/0 dev lo table 100",
        "iptables -t mangle -A OUTPUT -p tcp -d 10.9.9.0/24 -j MARK --set-mark 1",
        "iptables -t mangle -A PREROUTING -p tcp -d 10.9.9.0/24 -j TPROXY --on-ip 127.0.0.1 --on-port 15001",
    )
