"""Bodies of all sizes through windows of all sizes, with readers that pause and streams that are given up.

Everything arrives whole, and nobody waits for ever.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.integration.hostile.upstream import Reply, Upstream
from tests.integration.http2.stage import http2_cluster, tls_socket
from tests.integration.proxy.pki import Authority
from tests.support.bootstrap import cluster, http_listener, route, static, virtual_host
from tests.support.client import Client, request
from tests.support.http2_client import Http2Client, client_tls
from tests.support.http2_frames import Setting
from tests.support.http2_origin import Http2Origin, answer
from tests.support.proxies import running

SIZES = (0, 10, 1_000, 20_000, 70_000, 200_000)
WINDOWS = (1_000, 5_000, 65_535, 200_000)
TARGETS = ("/http1", "/http2")
ROUNDS = 8
LONGEST_PAUSE = 0.02
PATIENCE = 15.0


@dataclass(frozen=True)
class Stage:
    plain: int
    tls: int


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("backpressure")
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    one = Upstream(script=lambda message: Reply(head % len(message.body) + message.body))
    two = Http2Origin(lambda received: answer(200, received.body))
    hosts = [virtual_host(*(route({"prefix": target}, target[1:]) for target in TARGETS))]
    tls = http_listener("tls", hosts)
    tls["filter_chains"][0]["transport_socket"] = tls_socket(Authority(), folder)
    clusters = [cluster("http1", one.port), http2_cluster("http2", two.port)]
    with running("meshproxy", static([http_listener("plain", hosts), tls], clusters), folder) as proxy:
        yield Stage(proxy.port("plain"), proxy.port("tls"))
    assert (one.violations, two.violations) == ([], [])
    one.close()
    two.close()


def body(chance: random.Random) -> bytes:
    return bytes([chance.randrange(256)]) * chance.choice(SIZES)


def over_http2(seed: int, port: int, *, tls: bool) -> int:
    """Gives how many answers came back whole."""
    chance, whole = random.Random(seed), 0
    settings: dict[int, int] = {Setting.INITIAL_WINDOW_SIZE: chance.choice(WINDOWS)}
    with Http2Client(port, tls=client_tls() if tls else None, settings=settings) as client:
        for _ in range(ROUNDS):
            asked = {}
            for _ in range(chance.randint(1, 8)):
                sent = body(chance)
                asked[client.request("POST", chance.choice(TARGETS), body=sent)] = sent
            time.sleep(chance.random() * LONGEST_PAUSE)  # a reader that pauses
            if chance.random() < 0.3:
                given_up, _ = asked.popitem()
                if not client.answers[given_up].finished:
                    client.reset(given_up)
            for stream, sent in asked.items():
                assert client.answer(stream, PATIENCE).body == sent
                whole += 1
    return whole


def over_http1(seed: int, port: int) -> int:
    """The same by pipelining."""
    chance, whole = random.Random(seed), 0
    with Client(port, PATIENCE) as client:
        for _ in range(ROUNDS):
            bodies = [body(chance) for _ in range(chance.randint(1, 4))]
            data = b"".join(
                request("POST", chance.choice(TARGETS), body=sent)
                if sent
                else request("POST", "/http1", ("Content-Length", "0"))
                for sent in bodies
            )
            sending = threading.Thread(target=client.send, args=(data,))
            sending.start()
            time.sleep(chance.random() * LONGEST_PAUSE)  # a reader that pauses
            for sent in bodies:
                assert client.response("POST").body == sent
                whole += 1
            sending.join()
    return whole


def test_everything_arrives_whole_whatever_the_windows(stage: Stage) -> None:
    clients: list[Callable[[], int]] = [
        *(lambda seed=seed: over_http2(seed, stage.plain, tls=False) for seed in range(4)),
        *(lambda seed=seed: over_http2(seed, stage.tls, tls=True) for seed in range(4, 8)),
        *(lambda seed=seed: over_http1(seed, stage.plain) for seed in range(8, 10)),
    ]
    with ThreadPoolExecutor(len(clients)) as pool:
        answers = [pool.submit(client) for client in clients]
        assert all(each.result() > ROUNDS for each in answers)
