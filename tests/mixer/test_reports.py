"""Reports over real gRPC into a real Mixer: what proxies count is what Prometheus reads."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import grpc
import pytest
from meshloom.api.telemetry.v1 import telemetry_pb2 as pb
from meshloom.api.telemetry.v1.telemetry_pb2_grpc import TelemetryServiceStub
from meshloom.runtime.address import Address

from tests.mixer.support import Proxy, eventually, mixer

REQUESTS = "istio_requests_total"


async def test_requests_of_all_workers_and_proxies_add_up(tmp_path: Path) -> None:
    first, second = Proxy("orders", workers=2), Proxy("storefront")
    async with mixer(tmp_path) as running, first.reporting(running.grpc), second.reporting(running.grpc):
        first.requests(3, worker=0, response_code="200")
        first.requests(4, worker=1, response_code="200")
        second.requests(5, response_code="503")
        await eventually(lambda: running.total(REQUESTS, reporter="source") == 12, "12 requests")
        assert running.total(REQUESTS, response_code="503") == 5
        assert running.total("meshloom_mixer_proxies") == 2


async def test_the_last_counts_arrive_when_a_proxy_ends(tmp_path: Path) -> None:
    proxy = Proxy("orders")
    async with mixer(tmp_path) as running:
        async with proxy.reporting(running.grpc) as reporter:
            await eventually(lambda: reporter.connected, "reports")
            proxy.requests(9)
        assert running.total(REQUESTS) == 9
        assert running.total("meshloom_mixer_proxies") == 0


async def test_a_reporter_that_starts_again_counts_nothing_twice(tmp_path: Path) -> None:
    proxy = Proxy("orders")
    async with mixer(tmp_path) as running:
        for life in range(1, 4):
            proxy.requests(2)
            async with proxy.reporting(running.grpc) as reporter:
                await eventually(lambda: reporter.connected, "reports")
                proxy.requests(1)
            assert running.total(REQUESTS) == 3 * life


async def test_what_is_counted_while_mixer_is_away_arrives_later(tmp_path: Path) -> None:
    proxy = Proxy("orders")
    async with mixer(tmp_path) as first:
        target = first.grpc
        async with proxy.reporting(target) as reporter:
            proxy.requests(2)
            await eventually(lambda: first.total(REQUESTS) == 2, "the first requests")
            first.process.kill()
            await first.process.wait()
            proxy.requests(40)
            await eventually(lambda: reporter.failures > 0, "a failure")
            async with mixer(tmp_path, grpc=str(target)) as second:
                await eventually(lambda: second.total(REQUESTS) == 42, "every request")


async def test_a_mixer_that_is_away_at_the_end_does_not_hold_the_proxy_up() -> None:
    async with Proxy("orders").reporting(Address("127.0.0.1", 1)) as reporter:
        await eventually(lambda: reporter.failures > 0, "a failure")


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (pb.ReportRequest(), "node: want it in the first message"),
        (pb.ReportRequest(node=pb.Node()), "node.id: is empty"),
        (
            pb.ReportRequest(node=pb.Node(id="a"), values=[pb.Values(epoch=1, ids=[7], words=[1])]),
            "series 7 was not announced",
        ),
        (
            pb.ReportRequest(
                node=pb.Node(id="a"),
                series=[pb.Series(id=7, kind=pb.Series.COUNTER, name=REQUESTS)],
                values=[pb.Values(epoch=1, ids=[7], words=[1, 2])],
            ),
            "2 words for series that have 1",
        ),
        (pb.ReportRequest(node=pb.Node(id="a"), series=[pb.Series(id=1, name=REQUESTS)]), "neither counter"),
    ],
)
async def test_what_cannot_be_a_report_is_refused_with_its_field(
    tmp_path: Path, message: pb.ReportRequest, fault: str
) -> None:
    async with mixer(tmp_path) as running, grpc.aio.insecure_channel(str(running.grpc)) as channel:
        call = TelemetryServiceStub(channel).Report()  # type: ignore[no-untyped-call]
        await call.write(message)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert fault in (caught.value.details() or "")
        assert running.total("meshloom_mixer_streams_refused_total") == 1


async def test_a_series_of_no_family_is_skipped_and_counted(tmp_path: Path) -> None:
    proxy = Proxy("orders")
    proxy.workers[0].count("istio_invented_total", reporter="source")
    proxy.requests(2)
    async with mixer(tmp_path) as running, proxy.reporting(running.grpc):
        await eventually(lambda: running.total(REQUESTS) == 2, "the known series")
        assert running.total("meshloom_mixer_series_unknown_total") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_mixer_ends_cleanly_while_proxies_report(tmp_path: Path, number: signal.Signals) -> None:
    async with mixer(tmp_path) as running, Proxy("orders").reporting(running.grpc) as reporter:
        await eventually(lambda: reporter.connected, "reports")
        running.process.send_signal(number)
        assert await asyncio.wait_for(running.process.wait(), 10) == 0
