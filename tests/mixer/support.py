"""A real Mixer process, and proxies that exist only as regions and a reporter."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from meshloom.fastpath.telemetry import MIN_LEN, Region
from meshloom.meshproxy.telemetry.report import Reporter, ReporterSettings
from meshloom.runtime.address import Address, read_addresses
from prometheus_client.parser import text_string_to_metric_families

from tests.reference.telemetry import Writer
from tests.support.wait import until_async

QUICK = ReporterSettings(period=timedelta(milliseconds=20), retry_first=timedelta(milliseconds=20))
DEADLINE_S = 15.0


async def eventually(check: Callable[[], bool], what: str) -> None:
    """Wait until `check` holds; it may block for the time of a local scrape."""
    await until_async(lambda: asyncio.to_thread(check), what)


@dataclass
class Mixer:
    """A running Mixer."""

    process: asyncio.subprocess.Process
    grpc: Address
    http: Address

    def scrape(self, accept: str = "") -> str:
        headers = {"Accept": accept} if accept else {}
        request = urllib.request.Request(f"http://{self.http}/metrics", headers=headers)
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as reply:
            return str(reply.read().decode())

    def total(self, sample: str, **labels: str) -> float:
        """The sum of a sample over all series with these labels."""
        return sum(
            found.value
            for family in text_string_to_metric_families(self.scrape())
            for found in family.samples
            if found.name == sample and labels.items() <= found.labels.items()
        )


@contextlib.asynccontextmanager
async def mixer(folder: Path, *flags: str, grpc: str = "127.0.0.1:0") -> AsyncIterator[Mixer]:
    """A Mixer of its own, ended at the end."""
    path = folder / "mixer.json"
    path.unlink(missing_ok=True)
    listen = ("--grpc-listen", grpc, "--http-listen", "127.0.0.1:0", "--address-path", str(path))
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "meshloom.mixer", *listen, *flags)
    try:
        await eventually(path.exists, "mixer serves")
        bound = read_addresses(path)
        yield Mixer(process, bound["grpc"], bound["http"])
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), DEADLINE_S)


class Proxy:
    """Worker regions and a node id: what a reporter needs of a proxy."""

    def __init__(self, name: str, workers: int = 1) -> None:
        self.node_id = f"sidecar~127.1.0.1~{name}.shop~shop.svc.cluster.local"
        self.workers = [
            Writer(bytearray(MIN_LEN * 4), epoch=hash((name, n)) & 0xFFFF) for n in range(workers)
        ]
        self.regions = [Region(worker.memory) for worker in self.workers]

    def requests(self, count: int = 1, worker: int = 0, **labels: str) -> None:
        """Let a worker count requests."""
        self.workers[worker].count("istio_requests_total", count, reporter="source", **labels)

    @contextlib.asynccontextmanager
    async def reporting(self, target: Address) -> AsyncIterator[Reporter]:
        """Report to `target`; at the end say goodbye properly."""
        reporter = Reporter(str(target), self.node_id, self.regions, QUICK)
        task = asyncio.create_task(reporter.run())
        try:
            yield reporter
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=DEADLINE_S)
            assert task.cancelled()
