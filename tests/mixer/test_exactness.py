"""Totals are exact whatever happens to reports, proxies and workers: no network, every order of events."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from meshloom.api.telemetry.v1 import telemetry_pb2 as pb
from meshloom.fastpath.telemetry import MIN_LEN, Region
from meshloom.meshproxy.telemetry.changes import ReportBuilder
from meshloom.mixer.collect.ledger import Ledger, Limits
from meshloom.mixer.collect.stream import ReportStream
from meshloom.mixer.metrics.families import FAMILIES
from meshloom.mixer.metrics.table import Table

from tests.reference.telemetry import Writer

REQUESTS = FAMILIES["istio_requests_total"]
DURATION = FAMILIES["istio_request_duration_milliseconds"]


@dataclass
class World:
    """One Mixer and one proxy of two workers, joined by a stream that can be cut."""

    retention: timedelta = timedelta(hours=24)
    table: Table = field(default_factory=lambda: Table(budget=1_000))
    counted: int = 0
    delivered: list[bytes] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.ledger = Ledger(Limits(self.retention))
        self.workers = [Writer(bytearray(MIN_LEN * 4), epoch=1 + n) for n in range(2)]
        self.regions = [Region(worker.memory) for worker in self.workers]
        self.epochs = 2
        self.connect()

    def connect(self) -> None:
        self.builder = ReportBuilder("sidecar~a")
        self.stream = ReportStream(self.ledger, self.table)
        self.delivered.clear()

    def count(self, worker: int, code: int) -> None:
        name = "istio_request_duration_milliseconds"
        self.workers[worker].count("istio_requests_total", reporter="source", response_code=str(code))
        self.workers[worker].record(name, code, 1_000, reporter="source", response_code=str(code))
        self.workers[worker].count("cluster.upstream_rq_total")
        self.counted += 1

    def report(self) -> None:
        for message in self.messages():
            self.delivered.append(message)
            self.stream.take(pb.ReportRequest.FromString(message))

    def messages(self) -> list[bytes]:
        for region in self.regions:
            region.poll()
        return [message.SerializeToString() for message in self.builder.messages(self.regions)]

    def lose(self) -> None:
        """A report is sent and never arrives: its stream is broken."""
        self.messages()
        self.cut()

    def repeat(self) -> None:
        """Everything of the stream so far arrives once more, over one that nobody knew was still open."""
        late = ReportStream(self.ledger, self.table)
        for message in self.delivered:
            late.take(pb.ReportRequest.FromString(message))
        late.close(self.now)

    def cut(self) -> None:
        self.stream.close(self.now)
        self.connect()

    def replace(self) -> None:
        """The proxy's first region is lost and made anew, after its last report was taken."""
        self.report()
        self.epochs += 1
        self.workers[0] = Writer(self.workers[0].memory, epoch=self.epochs)

    def pass_time(self) -> None:
        self.now += 60
        self.ledger.forget(self.now)


EVENTS = st.one_of(
    st.tuples(st.just("count"), st.integers(0, 1), st.integers(0, 5)),
    st.sampled_from([("report",), ("lose",), ("repeat",), ("cut",), ("replace",), ("pass_time",)]),
)


@settings(max_examples=200)
@given(st.lists(EVENTS, max_size=60))
def test_totals_equal_what_was_counted(events: list[tuple[object, ...]]) -> None:
    world = World()
    for name, *arguments in events:
        getattr(world, str(name))(*arguments)
    world.report()
    assert sum(row.words[0] for row in world.table.rows(REQUESTS)) == world.counted
    durations = world.table.rows(DURATION)
    assert sum(sum(row.words[:-1]) for row in durations) == world.counted
    assert sum(row.words[-1] for row in durations) == world.counted * 1_000


@given(st.lists(EVENTS, max_size=40))
def test_totals_never_go_down(events: list[tuple[object, ...]]) -> None:
    world, before = World(), 0
    for name, *arguments in events:
        getattr(world, str(name))(*arguments)
        total = sum(row.words[0] for row in world.table.rows(REQUESTS))
        assert total >= before
        before = total


def test_a_proxy_that_comes_back_after_its_retention_is_not_counted_twice() -> None:
    world = World(retention=timedelta(seconds=60))
    world.count(0, 1)
    world.report()
    world.cut()
    world.pass_time()
    assert len(world.ledger) == 0
    world.count(0, 1)  # while cut off for longer than the retention: lost, and said so
    world.report()
    world.count(0, 1)
    world.report()
    assert sum(row.words[0] for row in world.table.rows(REQUESTS)) == 2
    assert world.ledger.resumed == 1


def test_series_beyond_the_budget_keep_the_total_of_their_reporter() -> None:
    world = World(table=Table(budget=3))
    for code in range(10):
        world.count(code % 2, code)
    world.report()
    rows = world.table.rows(REQUESTS)
    assert len(rows) == 4
    assert rows[-1].labels.startswith('reporter="source",source_workload="other"')
    assert rows[-1].words == [7]
    assert world.table.overflowed["istio_requests_total"] == 7


def test_two_series_of_a_region_may_share_a_row() -> None:
    world = World()
    for tag in ("a", "a", "b"):
        world.workers[0].count("istio_requests_total", reporter="source", not_declared=tag)
    world.report()
    world.workers[0].count("istio_requests_total", reporter="source", not_declared="b")
    world.report()
    assert [row.words for row in world.table.rows(REQUESTS)] == [[4]]
