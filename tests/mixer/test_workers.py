"""From the Rust worker to Mixer's totals: exact when workers die and regions are damaged."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from meshloom.meshproxy.telemetry.report import Reporter

from tests.mixer.support import QUICK, Mixer, eventually, mixer
from tests.support.region_writer import mapped, region_file, write

REQUESTS = "istio_requests_total"
DURATIONS = "istio_request_duration_milliseconds_count"


async def test_workers_that_follow_one_another_add_up(tmp_path: Path) -> None:
    file = region_file(tmp_path / "region", 1 << 20)
    async with mixer(tmp_path) as running, reporting(running, file):
        for life in range(1, 4):
            await asyncio.to_thread(write, file, 150)
            await counted(running, 150 * life)
        assert running.total(DURATIONS) == 450
        assert running.total("meshloom_mixer_regions") == 1


async def test_a_damaged_region_keeps_its_total_and_the_next_adds_to_it(tmp_path: Path) -> None:
    file = region_file(tmp_path / "region", 1 << 20)
    async with mixer(tmp_path) as running, reporting(running, file) as reporter:
        await asyncio.to_thread(write, file, 100)
        await counted(running, 100)
        with file.open("r+b") as raw:
            raw.seek(700)  # in a descriptor
            raw.write(b"\xff\xff\xff\xff")
        assert (await asyncio.to_thread(write, file, 30)).startswith("Rebuilt")
        await counted(running, 130)
        assert running.total("meshloom_mixer_regions") == 2
        assert reporter.failures == 0


async def counted(running: Mixer, requests: int) -> None:
    await eventually(lambda: running.total(REQUESTS) == requests, f"{requests} requests")


@contextlib.asynccontextmanager
async def reporting(running: Mixer, file: Path) -> AsyncIterator[Reporter]:
    reporter = Reporter(str(running.grpc), "sidecar~127.1.0.1~orders.shop~a", [mapped(file)], QUICK)
    task = asyncio.create_task(reporter.run())
    try:
        yield reporter
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=10)
