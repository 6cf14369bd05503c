"""HTTP/2 and gRPC, to clients and upstreams of either version: heads, trailers, resets, logs as Envoy's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.differential.envoy import differences
from tests.differential.envoy.http2_calls import (
    EVERY,
    FILTERS,
    Call,
    http1_script,
    http2_early,
    http2_script,
    routes,
)
from tests.differential.envoy.logs import both
from tests.differential.envoy.observe import Headers, settle
from tests.differential.envoy.origins import hasty
from tests.integration.http2.stage import http2_cluster
from tests.support.bootstrap import cluster, file_log, http_listener, static, virtual_host
from tests.support.client import Client, request
from tests.support.http2_client import Http2Client
from tests.support.http2_origin import Http2Origin
from tests.support.origin import Origin
from tests.support.proxies import Proxy, side_by_side

pytestmark = pytest.mark.xdist_group("differential-envoy")

LOG = (
    "%REQ(X-CASE)% %REQ(:METHOD)% %PROTOCOL% %UPSTREAM_PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% "
    "%RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT% %GRPC_STATUS% %GRPC_STATUS_NUMBER% "
    "%UPSTREAM_REQUEST_ATTEMPT_COUNT%\n"
)
MIXES = [(case, mix) for case in EVERY for mix in case.over]


@dataclass(frozen=True)
class Told:
    """What there is to see of one request, at both of its ends."""

    status: int
    headers: Headers
    body: bytes
    trailers: Headers | None
    interim: tuple[Headers, ...]
    ended: bool
    reset: int | None
    upstream: tuple[tuple[Headers, bytes, Headers | None], ...]


@dataclass(frozen=True)
class Origins:
    one: Origin
    two: Http2Origin

    def count(self) -> tuple[int, int]:
        return len(self.one.received), len(self.two.received)

    def since(self, count: tuple[int, int]) -> Iterator[tuple[Headers, bytes, Headers | None]]:
        for first in self.one.received[count[0] :]:
            line = ((":method", first.method), (":path", first.target))
            yield settle((*line, *first.headers), {}), first.body, None
        for second in self.two.received[count[1] :]:
            trailers = settle(second.trailers, {}) if second.trailers is not None else None
            yield settle(second.headers, {}), second.body, trailers


@pytest.fixture(scope="module")
def origins() -> Iterator[Origins]:
    both_versions = Origins(Origin(http1_script(), early=hasty), Http2Origin(http2_script, early=http2_early))
    yield both_versions
    both_versions.one.close()
    both_versions.two.close()


@pytest.fixture(scope="module")
def proxies(origins: Origins, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Proxy]]:
    folder: Path = tmp_path_factory.mktemp("http2")
    clusters = [
        cluster("to1", origins.one.port),
        http2_cluster("to2", origins.two.port),
        http2_cluster("dead", 1),
        http2_cluster("empty"),
    ]

    def bootstrap(kind: str) -> dict[str, object]:
        log = file_log(folder / f"{kind}.log", LOG)
        listeners = [
            http_listener(name, [virtual_host(*routes(name))], access_log=[log], http_filters=FILTERS)
            for name in ("to1", "to2")
        ]
        return static(listeners, clusters)

    with side_by_side(bootstrap, folder) as pair:
        yield pair


def told(proxy: Proxy, case: Call, mix: str, origins: Origins) -> Told:
    client, upstream = mix.split("to")
    count = origins.count()
    port = proxy.port(f"to{upstream}")
    named = (("x-case", f"{case.name}-{mix}"), *case.fields)
    ask = over_http1 if client == "1" else over_http2
    status, headers, body, trailers, interim, ended, reset = ask(port, case, named)
    return Told(
        status,
        settle(headers, {}),
        body,
        None if trailers is None else settle(trailers, {}),
        tuple(settle(each, {}) for each in interim),
        ended,
        reset,
        tuple(origins.since(count)),
    )


Raw = tuple[int, Headers, bytes, Headers | None, tuple[Headers, ...], bool, int | None]


def over_http1(port: int, case: Call, fields: Headers) -> Raw:
    with Client(port) as client:
        client.send(request(case.method, case.path, *fields, body=case.body, host=case.authority))
        try:
            got = client.response(case.method)
        except (HTTPException, ConnectionError):
            return 0, (), b"", None, (), False, None
        return got.status, got.headers, got.body, None, (), True, None


def over_http2(port: int, case: Call, fields: Headers) -> Raw:
    with Http2Client(port) as client:
        stream = client.request(
            case.method,
            case.path,
            *fields,
            body=case.body,
            trailers=case.trailers,
            authority=case.authority,
        )
        got = client.answer(stream)
        return got.status, got.headers, got.body, got.trailers, tuple(got.interim), got.ended, got.reset


@pytest.mark.parametrize(("case", "mix"), MIXES, ids=[f"{case}-{mix}" for case, mix in MIXES])
def test_same_outcome_as_envoy(case: Call, mix: str, proxies: list[Proxy], origins: Origins) -> None:
    ours, envoys = (told(proxy, case, mix, origins) for proxy in proxies)
    if f"{case.name}-{mix}" in differences.HTTP2 or case.name in differences.HTTP2:
        assert ours != envoys, "no difference any more: drop its entry"
    else:
        assert ours == envoys


def test_same_access_log_as_envoy(proxies: list[Proxy]) -> None:
    """Runs after the calls: what both wrote down of them is equal."""
    ours, envoys = both(proxies[0].folder.parent, len(MIXES))
    assert ours == envoys


def test_the_proxies_kept_the_rules(origins: Origins, proxies: list[Proxy]) -> None:
    assert origins.two.violations == []
