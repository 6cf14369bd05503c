"""meshproxy decides as the real Envoy does: the same bootstrap, the same requests, the same outcome."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differential.envoy.cases import ROUTING, Case
from tests.differential.envoy.observe import observe
from tests.support.bootstrap import cluster, http_listener, static, virtual_host
from tests.support.origin import Answer, Origin, Received, answer
from tests.support.proxies import KINDS, Proxy, running

pytestmark = pytest.mark.xdist_group("differential-envoy")


def script(name: str) -> object:
    """An origin that says its name, and plays the answers that some cases ask for by path."""
    special = {
        "/set-cookies": answer(200, b"c", ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")),
        "/own-server": answer(200, b"s", ("Server", "origin/1")),
        "/own-date": answer(200, b"d", ("Date", "Thu, 01 Jan 1970 00:00:00 GMT")),
        "/hop-headers": answer(
            200, b"h", ("Connection", "x-hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5")
        ),
    }

    def reply(received: Received) -> Answer:
        if received.target in special:
            return special[received.target]
        status = int(received.target.rpartition("/")[2]) if received.target.startswith("/status/") else 200
        bodiless = received.method == "HEAD" or status in (204, 304)
        if bodiless:
            return Answer(f"HTTP/1.1 {status} Scripted\r\nX-Origin: {name}\r\n\r\n".encode())
        return answer(status, name.encode(), ("X-Origin", name))

    return reply


@pytest.fixture(scope="module")
def origins() -> Iterator[tuple[Origin, Origin]]:
    pair = Origin(script("origin")), Origin(script("second"))  # type: ignore[arg-type]
    yield pair
    for origin in pair:
        origin.close()


@pytest.fixture(scope="module")
def proxies(
    origins: tuple[Origin, Origin], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Proxy]]:
    hosts = [virtual_host(*case.routes, domains=[case.host], **case.virtual_host) for case in ROUTING]
    clusters = [
        cluster("origin", origins[0].port),
        cluster("second", origins[1].port),
        cluster("empty"),
        cluster("dead", 1),
    ]
    bootstrap = static([http_listener("l", hosts)], clusters)
    folder: Path = tmp_path_factory.mktemp("routing")
    with (
        running("meshproxy", bootstrap, folder / "m") as ours,
        running("envoy", bootstrap, folder / "e") as envoy,
    ):
        yield [ours, envoy]


@pytest.mark.parametrize("case", ROUTING, ids=lambda case: case.name)
def test_same_outcome_as_envoy(case: Case, proxies: list[Proxy], origins: tuple[Origin, Origin]) -> None:
    assert [proxy.kind for proxy in proxies] == list(KINDS)
    for ask in case.asks:
        ours, envoys = (observe(proxy.port("l"), case.host, ask, origins) for proxy in proxies)
        assert ours == envoys, f"{case.name}: {ask}"
