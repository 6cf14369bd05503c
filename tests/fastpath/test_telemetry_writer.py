"""The Rust writer and the Python reader meet in one file, also when the writer is killed at any moment."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from meshloom.fastpath.telemetry import Region, RegionUnreadable

from tests.support.region_writer import mapped, region_file, region_writer, write

LENGTH = 1 << 20
KILLS = 40


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return region_file(tmp_path / "region", LENGTH)


def requests(region: Region) -> int:
    return sum(region.words_of(n)[0] for n, s in enumerate(region.series) if s.base == "istio_requests_total")


def durations(region: Region) -> int:
    name = "istio_request_duration_milliseconds"
    return sum(sum(region.words_of(n)[:-1]) for n, s in enumerate(region.series) if s.base == name)


def test_python_reads_what_rust_wrote(file: Path) -> None:
    assert write(file, 50) == "Made"
    region = mapped(file)
    region.poll()
    assert region.dropped == 0
    assert (requests(region), durations(region), region.generation, region.heartbeat) == (50, 50, 1, 50)


def test_counts_survive_a_writer_that_is_killed_at_any_moment(file: Path) -> None:
    region, chance, before = mapped(file), random.Random(4), 0
    for life in range(1, KILLS + 1):
        process = subprocess.Popen([region_writer(), file, "0"], stdout=subprocess.DEVNULL)
        try:
            wait_for_life(region, life)
            spin(chance.random() * 0.004)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        region.poll()
        assert requests(region) >= before
        assert abs(requests(region) - durations(region)) <= life  # each life may end between the two
        before = requests(region)
    assert region.rebuilds == 0


def test_a_damaged_region_is_made_anew_and_counted(file: Path) -> None:
    chance = random.Random(5)
    for life in range(1, 20):
        write(file, 20)
        damage(file, chance)
        found = write(file, 1)
        region = mapped(file)
        region.poll()
        assert requests(region) >= 1
        assert found.startswith(("Adopted", "Rebuilt")), (life, found)


def damage(file: Path, chance: random.Random) -> None:
    with file.open("r+b") as raw:
        for _ in range(chance.randint(1, 64)):
            raw.seek(chance.choice([chance.randrange(2_048), chance.randrange(LENGTH)]))
            raw.write(chance.randbytes(1))


def wait_for_life(region: Region, generation: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            region.poll()
        except RegionUnreadable:
            continue
        if region.generation >= generation:
            return
    raise AssertionError("the writer did not take the region over")


def spin(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
