"""What listener filters make of first bytes, and which filter chain is chosen, beside the real Envoy."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from meshloom.fastpath import _core
from meshloom.meshproxy.resources.protos import LISTENER, load_types_in, message_type

from tests.support.bootstrap import (
    HTTP_INSPECTOR,
    PROXY_PROTOCOL,
    TLS_INSPECTOR,
    Json,
    address,
    cluster,
    listener_filter,
    static,
    tcp_proxy,
)
from tests.support.envoy import envoy_binary
from tests.support.first_bytes import client_hello, greeters, greeting_of, proxy_v1, proxy_v2, proxy_v2_raw
from tests.support.proxies import KINDS, Kind, Proxy, side_by_side

CHAINS = 6
LISTENERS = 40
CONNECTIONS = 12
HOSTS = ("10.0.0.1", "10.0.1.1", "10.1.0.1", "127.0.0.1", "2001:db8::1", "fd00::1")
# Whether 0.0.0.0/0 or no range at all is nearer, Envoy leaves to the order of a hash map.
PREFIXES = ("0.0.0.0/1", "10.0.0.0/8", "10.0.0.0/16", "10.0.0.1/32", "127.0.0.0/8", "2001:db8::/32", "::/1")
NAMES = ("a.test", "b.a.test", "c.b.a.test", "*.a.test", "*.b.a.test", "*.test", "other.example")
PROTOCOLS = ("h2", "http/1.1", "istio", "http/1.0", "h2c")
PORTS = (80, 443, 8080)


def cidr(text: str) -> Json:
    host, _, length = text.partition("/")
    return {"address_prefix": host, "prefix_len": int(length)}


def some(draw: random.Random, values: tuple[Any, ...], chance: float, most: int = 2) -> list[Any]:
    return draw.sample(values, draw.randint(1, most)) if draw.random() < chance else []


def generated_match(draw: random.Random) -> Json:
    """Criteria are rare enough that several chains fit, and common enough that precedence matters."""
    match: Json = {
        "prefix_ranges": [cidr(text) for text in some(draw, PREFIXES, 0.35)],
        "server_names": some(draw, NAMES, 0.35),
        "application_protocols": some(draw, PROTOCOLS, 0.3),
        "direct_source_prefix_ranges": [
            cidr(text) for text in some(draw, ("127.0.0.0/8", "127.0.0.1/32", "10.0.0.0/8"), 0.15)
        ],
        "source_prefix_ranges": [cidr(text) for text in some(draw, PREFIXES, 0.3)],
        "source_ports": some(draw, (1000, 2000, 3000), 0.25),
    }
    if draw.random() < 0.35:
        match["destination_port"] = draw.choice(PORTS)
    if draw.random() < 0.3:
        match["transport_protocol"] = draw.choice(("tls", "raw_buffer"))
    if draw.random() < 0.25:
        match["source_type"] = draw.choice(("SAME_IP_OR_LOOPBACK", "EXTERNAL"))
    return {name: value for name, value in match.items() if value}


def generated_listener(draw: random.Random, name: str) -> Json:
    chains = [
        {"filter_chain_match": generated_match(draw), "filters": [tcp_proxy(name, f"c{position}")]}
        for position in range(draw.randint(2, CHAINS - 1))
    ]
    listener: Json = {
        "name": name,
        "address": address(0),
        "listener_filters": [
            listener_filter(PROXY_PROTOCOL),
            listener_filter(TLS_INSPECTOR),
            listener_filter(HTTP_INSPECTOR),
        ],
        "filter_chains": chains,
    }
    if draw.random() < 0.3:
        listener["default_filter_chain"] = {"filters": [tcp_proxy(name, f"c{CHAINS - 1}")]}
    return listener


def is_accepted(listener: Mapping[str, Any]) -> bool:
    load_types_in(listener)
    message = json_format.ParseDict(dict(listener), message_type(LISTENER)())
    try:
        _core.check(LISTENER, message.SerializeToString())
    except _core.InvalidResource as error:
        if "takes the same connections" not in error.reason:
            raise
        return False
    return True


def generated_opening(draw: random.Random) -> bytes:
    family = draw.choice((HOSTS[:4], HOSTS[4:]))
    source = (draw.choice(family), draw.choice((1000, 2000, 3000, 4000)))
    destination = (draw.choice(family), draw.choice(PORTS))
    kind = draw.random()
    if kind < 0.6:
        name = draw.choice((*(name for name in NAMES if "*" not in name), "x.test", None))
        rest = client_hello(name, draw.sample(PROTOCOLS, draw.randint(0, 2)))
    elif kind < 0.9:
        rest = draw.choice(
            (b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        )
    else:
        rest = b"\0\1\2 something else\r\n"
    return proxy_v2(source, destination) + rest


@pytest.fixture(scope="module")
def corpus() -> tuple[list[Json], list[Json]]:
    """Generated listeners: those that we take, and those that we refuse."""
    draw = random.Random(20_240)
    taken: list[Json] = []
    refused: list[Json] = []
    while len(taken) < LISTENERS:
        listener = generated_listener(draw, f"l{len(taken)}")
        (taken if is_accepted(listener) else refused).append(listener)
    return taken, refused


@pytest.fixture(scope="module")
def pair(
    corpus: tuple[list[Json], list[Json]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Kind, Proxy]]:
    folder = tmp_path_factory.mktemp("pair")
    with greeters(*(b"chain %d" % position for position in range(CHAINS))) as origins:
        clusters = [cluster(f"c{position}", origin.port) for position, origin in enumerate(origins)]
        bootstrap = static([*corpus[0], *headers_listeners()], clusters)
        with side_by_side(bootstrap, folder) as [ours, theirs]:
            yield {"meshproxy": ours, "envoy": theirs}


def ports(proxy: Proxy) -> dict[str, int]:
    statuses = json.loads(proxy.get("/listeners?format=json"))["listener_statuses"]
    return {entry["name"]: int(entry["local_address"]["socket_address"]["port_value"]) for entry in statuses}


def test_connections_find_the_same_filter_chain(
    corpus: tuple[list[Json], list[Json]], pair: dict[Kind, Proxy]
) -> None:
    draw = random.Random(7)
    asked = [
        (listener["name"], generated_opening(draw)) for listener in corpus[0] for _ in range(CONNECTIONS)
    ]

    def answers(kind: Kind) -> list[bytes]:
        at = ports(pair[kind])
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda case: greeting_of(at[case[0]], case[1]), asked))

    ours, theirs = answers("meshproxy"), answers("envoy")

    listeners = {listener["name"]: listener for listener in corpus[0]}
    assert [
        (opening, mine, other, listeners[name])
        for (name, opening), mine, other in zip(asked, ours, theirs, strict=True)
        if mine != other
    ] == []
    assert len({*theirs}) == CHAINS + 1, "every chain was chosen, and sometimes none"


def test_chains_that_overlap_are_refused_by_both(
    corpus: tuple[list[Json], list[Json]], tmp_path: Path
) -> None:
    clusters = [cluster(f"c{position}", 1) for position in range(CHAINS)]
    assert corpus[1], "some were generated"
    for position, listener in enumerate(corpus[1][:4]):
        path = tmp_path / f"{position}.json"
        path.write_text(json.dumps(static([listener], clusters)))
        argv = [str(envoy_binary()), "--mode", "validate", "-c", str(path), "-l", "critical"]
        assert subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode == 1, listener


def headers_listeners() -> list[Json]:
    """Listeners that take PROXY headers by different rules."""

    def made(name: str, **rules: Any) -> Json:
        chains = [
            {
                "filter_chain_match": {"source_prefix_ranges": [cidr("1.2.3.4/32")], "source_ports": [1000]},
                "filters": [tcp_proxy(name, "c0")],
            },
            {
                "filter_chain_match": {"source_prefix_ranges": [cidr("2001:db8::1/128")]},
                "filters": [tcp_proxy(name, "c1")],
            },
            {"filters": [tcp_proxy(name, "c2")]},
        ]
        filters = [listener_filter(PROXY_PROTOCOL, stat_prefix=name, **rules)]
        return {"name": name, "address": address(0), "listener_filters": filters, "filter_chains": chains}

    return [
        made("strict"),
        made("optional", allow_requests_without_proxy_protocol=True),
        made("only-v1", disallowed_versions=["V2"]),
        made("only-v2", disallowed_versions=["V1"]),
        made("optional-v2", disallowed_versions=["V1"], allow_requests_without_proxy_protocol=True),
    ]


V4 = (("1.2.3.4", 1000), ("5.6.7.8", 2000))
V6 = (("2001:db8::1", 1), ("::1", 2))
BODY = bytes([1, 2, 3, 4, 5, 6, 7, 8, 3, 232, 7, 208])
HEADERS: dict[str, bytes] = {
    "v1": proxy_v1(*V4),
    "v1 of IPv6": proxy_v1(*V6),
    "v1 unknown": b"PROXY UNKNOWN\r\n",
    "v1 unknown with more": b"PROXY UNKNOWN ffff junk\r\n",
    "v1 with two spaces": b"PROXY TCP4  1.2.3.4 5.6.7.8 1000 2000\r\n",
    "v1 with a space at its end": b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000 \r\n",
    "v1 with the wrong family": b"PROXY TCP6 1.2.3.4 5.6.7.8 1000 2000\r\n",
    "v1 with a zero in front": b"PROXY TCP4 1.2.3.4 5.6.7.8 01000 2000\r\n",
    "v1 with a port too high": b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 70000\r\n",
    "v1 of a family unheard of": b"PROXY FOO 1.2.3.4 5.6.7.8 1000 2000\r\n",
    "v1 that is too long": b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n",
    "v1 without the rest": b"PROXY TCP4 1.2.3.4\r\n",
    "v2": proxy_v2(*V4),
    "v2 of IPv6": proxy_v2(*V6),
    "v2 with fields": proxy_v2(*V4, (4, b"abc"), (0xE0, b"")),
    "v2 of datagrams": proxy_v2_raw(1, 0x12, BODY),
    "v2 with a field cut short": proxy_v2_raw(1, 0x11, BODY + b"\x04\0\x09abc"),
    "v2 local": proxy_v2_raw(0, 0, b""),
    "v2 local with addresses": proxy_v2_raw(0, 0x11, BODY),
    "v2 unspecified": proxy_v2_raw(1, 0, b""),
    "v2 of a Unix socket": proxy_v2_raw(1, 0x31, b"a" * 216),
    "v2 with too few addresses": proxy_v2_raw(1, 0x11, BODY[:8]),
    "v2 of a transport unheard of": proxy_v2_raw(1, 0x13, BODY),
    "v2 with a command unheard of": proxy_v2_raw(2, 0x11, BODY),
    "v3": proxy_v2(*V4).replace(b"\x21\x11", b"\x31\x11", 1),
    "none": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "none, and binary": b"\x16\x03\x01\x00\x05hello, world!!",
}


@pytest.mark.parametrize("listener", [each["name"] for each in headers_listeners()])
def test_proxy_headers_are_taken_alike(listener: str, pair: dict[Kind, Proxy]) -> None:
    def answers(kind: Kind) -> list[bytes]:
        port = pair[kind].port(listener)
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda header: greeting_of(port, header + b"hello"), HEADERS.values()))

    def counted(kind: Kind) -> dict[str, int]:
        outcomes = ("found", "disallowed", "error")
        names = ["not_found_allowed", "not_found_disallowed"]
        names += [f"versions.{v}.{what}" for v in ("v1", "v2") for what in outcomes]
        return {name: pair[kind].stat(f"proxy_proto.{listener}.{name}") for name in names}

    answered = {kind: dict(zip(HEADERS, answers(kind), strict=True)) for kind in KINDS}

    assert answered["meshproxy"] == answered["envoy"]
    ours, theirs = counted("meshproxy"), counted("envoy")
    if listener == "only-v2":
        # Envoy counts the one that is too long as an error, before it looks whether the version is allowed.
        assert theirs["versions.v1.error"] == 1
        ours["versions.v1.error"] = 1
        for name in ("versions.v1.found", "versions.v1.disallowed"):
            ours[name] -= 1
    assert ours == theirs
