"""What Prometheus reads: byte for byte, by its own parsers, and by a real Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from meshloom.mixer.metrics.exposition import exposition
from meshloom.mixer.metrics.families import BUCKETS, FAMILIES, REQUEST_LABELS, TCP_LABELS
from meshloom.mixer.metrics.table import Table
from meshloom.runtime.address import Address
from meshloom.runtime.histogram import from_cumulative, quantile
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.mixer.support import Proxy, eventually, mixer

GOLDEN = Path(__file__).parent / "golden"
NASTY = 'a"b\\c\nd{e}=,é'


def table() -> Table:
    made = Table(budget=100)
    requests = made.row(FAMILIES["istio_requests_total"], {"reporter": "source", "source_app": NASTY}, 1)
    requests.words[0] = 12345678901234567890
    duration = made.row(
        FAMILIES["istio_request_duration_milliseconds"], {"reporter": "source", "response_code": "200"}, 1_000
    )
    duration.words[:3], duration.words[19], duration.words[20] = [1, 0, 2], 1, 4_000_500
    sent = made.row(FAMILIES["istio_tcp_sent_bytes_total"], {"reporter": "destination"}, 1)
    sent.words[0] = 42
    return made


async def text(made: Table, *, openmetrics: bool = False) -> str:
    return b"".join([part async for part in exposition(made, openmetrics=openmetrics)]).decode()


@pytest.mark.parametrize(("name", "openmetrics"), [("text.txt", False), ("openmetrics.txt", True)])
async def test_exposition_is_the_golden_one(name: str, openmetrics: bool) -> None:
    assert await text(table(), openmetrics=openmetrics) == (GOLDEN / name).read_text()


@pytest.mark.parametrize("openmetrics", [False, True])
async def test_parsers_read_what_was_counted(openmetrics: bool) -> None:
    written = await text(table(), openmetrics=openmetrics)
    families = list(openmetrics_families(written + "# EOF\n") if openmetrics else parse_text(written))
    samples = {sample.name: sample for family in families for sample in family.samples}
    assert samples["istio_requests_total"].labels["source_app"] == NASTY
    assert samples["istio_requests_total"].value == 12345678901234567890
    assert samples["istio_request_duration_milliseconds_sum"].value == 4000.5
    assert samples["istio_request_duration_milliseconds_count"].value == 4


def test_label_sets_are_those_of_istio() -> None:
    assert len(REQUEST_LABELS) == 25
    assert set(REQUEST_LABELS) - set(TCP_LABELS) == {"response_code", "grpc_response_status"}
    assert (len(BUCKETS), BUCKETS[0], BUCKETS[-1]) == (19, 0.5, 3_600_000)


async def test_quantiles_come_back_from_the_endpoint(tmp_path: Path) -> None:
    proxy, name = Proxy("orders"), "istio_request_duration_milliseconds"
    for _ in range(98):
        proxy.workers[0].record(name, 2, 3_000, reporter="source")
    proxy.workers[0].record(name, 6, 80_000, reporter="source")
    proxy.workers[0].record(name, 6, 80_000, reporter="source")
    async with mixer(tmp_path) as running, proxy.reporting(running.grpc):
        await eventually(lambda: running.total(f"{name}_count") == 100, "100 durations")
        cumulative = [running.total(f"{name}_bucket", le=le(bound)) for bound in (*BUCKETS, float("inf"))]
    counts = from_cumulative(cumulative)
    assert 1 < quantile(0.5, BUCKETS, counts) <= 5
    assert 50 < quantile(0.99, BUCKETS, counts) <= 100


def openmetrics_families(written: str) -> list[Metric]:
    return list(parse_openmetrics(written))  # type: ignore[no-untyped-call]


def le(bound: float) -> str:
    return "+Inf" if bound == float("inf") else str(int(bound)) if bound.is_integer() else str(bound)


async def test_openmetrics_is_negotiated(tmp_path: Path) -> None:
    proxy = Proxy("orders")
    proxy.requests(3)
    async with mixer(tmp_path) as running, proxy.reporting(running.grpc):
        await eventually(lambda: running.total("istio_requests_total") == 3, "3 requests")
        written = await asyncio.to_thread(running.scrape, "application/openmetrics-text;version=1.0.0")
    assert written.endswith("# EOF\n")
    assert "istio_requests" in {family.name for family in openmetrics_families(written)}


async def test_a_real_prometheus_scrapes_mixer(tmp_path: Path) -> None:
    proxy = Proxy("orders")
    proxy.requests(7, response_code="200")
    proxy.workers[0].record("istio_request_duration_milliseconds", 2, 3_000, reporter="source")
    query = "sum by (reporter) (istio_requests_total)"
    p50 = "histogram_quantile(0.5, sum by (le) (istio_request_duration_milliseconds_bucket))"
    async with (
        mixer(tmp_path) as running,
        proxy.reporting(running.grpc),
        prometheus(tmp_path, running.http) as peer,
    ):
        await eventually(lambda: ask(peer, query) == [7.0], "Prometheus has the requests")
        assert ask(peer, p50) == [3.0]
        assert ask(peer, 'up{job="mixer"}') == [1.0]


@contextlib.asynccontextmanager
async def prometheus(folder: Path, target: Address) -> AsyncIterator[Address]:
    """A Prometheus that scrapes `target` every 100 ms."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("prometheus is not installed: apt-get install prometheus (.ci/run does)")
    job = {"job_name": "mixer", "static_configs": [{"targets": [str(target)]}]}
    pace = {"scrape_interval": "100ms", "scrape_timeout": "100ms"}
    (folder / "prometheus.yml").write_text(json.dumps({"global": pace, "scrape_configs": [job]}))
    listen = free_address()
    process = await asyncio.create_subprocess_exec(
        binary,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={listen}",
        "--log.level=error",
    )
    try:
        await eventually(lambda: ready(listen), "Prometheus is ready")
        yield listen
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 15)


def free_address() -> Address:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return Address("127.0.0.1", probe.getsockname()[1])


def ready(peer: Address) -> bool:
    try:
        with urllib.request.urlopen(f"http://{peer}/-/ready", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def ask(peer: Address, query: str) -> list[float]:
    """The values that a query gives."""
    url = f"http://{peer}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(url, timeout=5) as reply:
        found = json.load(reply)["data"]["result"]
    return [float(result["value"][1]) for result in found]
