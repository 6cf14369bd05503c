"""Files and applied objects together: hot reload, last good versions, apply, delete and watch."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from meshloom.pilot.ingest.configuration import (
    Change,
    ChangeKind,
    Configuration,
    HistoryLost,
    Outcome,
)
from meshloom.pilot.ingest.diagnostic import Severity
from meshloom.pilot.ingest.files import FileSource
from meshloom.pilot.model.base import Namespace, ObjectKey
from meshloom.pilot.model.kubernetes import KubernetesService
from meshloom.pilot.store.directory import DirectoryStore

from tests.pilot.ingest.documents import document

A = ObjectKey("Service", "default", "a")
MIDDAY = datetime(2026, 1, 1, 12, tzinfo=UTC)


def service(name: str, port: int) -> str:
    return document("Service", name, {"ports": [{"port": port}]})


def ports(configuration: Configuration) -> dict[str, int]:
    return {
        item.name: item.spec.ports[0].port
        for item in configuration.objects()
        if isinstance(item.spec, KubernetesService)
    }


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    folder.mkdir()
    return folder


@pytest.fixture
def open_configuration(files: Path, tmp_path: Path) -> Callable[[], Configuration]:
    def opened() -> Configuration:
        # A clock that is far ahead: every file has settled.
        source = FileSource(files, now_ns=lambda: 2**62)
        return Configuration(source, DirectoryStore(tmp_path / "applied"), lambda: MIDDAY)

    return opened


def write(path: Path, text: str) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(path)


async def test_files_are_read_again_when_they_change(
    files: Path, open_configuration: Callable[[], Configuration]
) -> None:
    write(files / "a.yaml", service("a", 1) + "---\n" + service("b", 1))
    configuration = open_configuration()
    assert ports(configuration) == {"a": 1, "b": 1}
    write(files / "a.yaml", service("a", 2))
    (files / "deep").mkdir()
    write(files / "deep" / "c.yml", service("c", 3))
    assert await configuration.poll()
    assert ports(configuration) == {"a": 2, "c": 3}
    assert not await configuration.poll()
    (files / "a.yaml").unlink()
    assert await configuration.poll()
    assert ports(configuration) == {"c": 3}


async def test_a_faulty_version_does_not_displace_the_last_good_one(
    files: Path, open_configuration: Callable[[], Configuration]
) -> None:
    write(files / "a.yaml", service("a", 1) + "---\n" + service("b", 1))
    configuration = open_configuration()
    write(files / "a.yaml", service("a", 99999) + "---\n" + service("b", 2))
    await configuration.poll()
    assert ports(configuration) == {"a": 1, "b": 2}
    write(files / "a.yaml", "a: [1,\n---\n" + service("b", 3))
    await configuration.poll()
    assert ports(configuration) == {"a": 1, "b": 3}
    (fault,) = configuration.diagnostics
    assert (fault.severity, fault.source) == (Severity.ERROR, str(files / "a.yaml"))
    write(files / "a.yaml", service("b", 4))
    await configuration.poll()
    assert ports(configuration) == {"b": 4}
    assert configuration.diagnostics == ()


async def test_an_object_may_move_between_files_while_its_old_place_is_faulty(
    files: Path, open_configuration: Callable[[], Configuration]
) -> None:
    write(files / "a.yaml", service("a", 1))
    configuration = open_configuration()
    write(files / "a.yaml", service("a", 99999))
    write(files / "z.yaml", service("a", 2))
    await configuration.poll()
    assert ports(configuration) == {"a": 2}


async def test_a_file_that_is_still_being_written_waits(files: Path, tmp_path: Path) -> None:
    now = 1_000_000_000_000
    source = FileSource(files, now_ns=lambda: now)
    path = files / "a.yaml"
    path.write_text(service("a", 1))
    os.utime(path, ns=(now, now))
    assert not source.poll()
    now += 50_000_000
    assert source.poll()
    path.write_text("")
    os.utime(path, ns=(now, now))
    assert not source.poll()
    assert len(source.views[0].fresh) == 1


async def test_a_directory_that_vanishes_takes_nothing_along(files: Path) -> None:
    write(files / "a.yaml", service("a", 1))
    source = FileSource(files)
    files.rename(files.with_name("elsewhere"))
    with pytest.raises(FileNotFoundError):
        source.poll()
    assert len(source.views[0].fresh) == 1


async def test_of_two_declarations_the_first_file_counts_and_the_second_is_told_so(
    files: Path, open_configuration: Callable[[], Configuration]
) -> None:
    write(files / "1.yaml", service("a", 1))
    write(files / "2.yaml", service("a", 2))
    configuration = open_configuration()
    assert ports(configuration) == {"a": 1}
    (fault,) = configuration.diagnostics
    assert fault.message == f"also declared at {files / '1.yaml'}:1, which is in force"


async def test_apply_tells_what_became_of_each_object(
    open_configuration: Callable[[], Configuration],
) -> None:
    configuration = open_configuration()
    first = await configuration.apply(service("a", 1) + "---\n" + service("b", 1), "x.yaml")
    second = await configuration.apply(service("a", 1) + "---\n" + service("b", 2), "x.yaml")
    assert set(first.outcomes.values()) == {Outcome.CREATED}
    assert [second.outcomes[ObjectKey("Service", "default", n)] for n in "ab"] == [
        Outcome.UNCHANGED,
        Outcome.CONFIGURED,
    ]
    assert ports(open_configuration()) == {"a": 1, "b": 2}


async def test_one_error_and_nothing_is_applied(open_configuration: Callable[[], Configuration]) -> None:
    configuration = open_configuration()
    applied = await configuration.apply(service("a", 1) + "---\n" + service("b", 99999), "x.yaml")
    assert applied.outcomes == {A: Outcome.CREATED, ObjectKey("Service", "default", "b"): Outcome.REJECTED}
    assert [d.path for d in applied.diagnostics] == ["spec.ports[0].port"]
    assert ports(configuration) == {}


async def test_a_dry_run_changes_nothing(open_configuration: Callable[[], Configuration]) -> None:
    configuration = open_configuration()
    applied = await configuration.apply(service("a", 1), "x.yaml", dry_run=True)
    assert applied.outcomes == {A: Outcome.CREATED}
    assert ports(configuration) == {}


async def test_the_same_object_twice_in_one_apply_is_an_error(
    open_configuration: Callable[[], Configuration],
) -> None:
    configuration = open_configuration()
    applied = await configuration.apply(service("a", 1) + "---\n" + service("a", 2), "x.yaml")
    (fault,) = applied.diagnostics
    assert (fault.severity, fault.message) == (Severity.ERROR, "also declared at x.yaml:1")
    assert ports(configuration) == {}


async def test_an_applied_object_keeps_its_namespace_and_time_of_creation(
    open_configuration: Callable[[], Configuration],
) -> None:
    configuration = open_configuration()
    await configuration.apply(service("a", 1), "x.yaml", Namespace("shop"))
    await configuration.apply(service("a", 2), "x.yaml", Namespace("shop"))
    (held,) = open_configuration().list()
    assert held.object.key == ObjectKey("Service", "shop", "a")
    assert held.object.created == MIDDAY.timestamp()


async def test_an_applied_object_wins_over_a_file_and_deleting_it_brings_the_file_back(
    files: Path, open_configuration: Callable[[], Configuration]
) -> None:
    write(files / "a.yaml", service("a", 1))
    configuration = open_configuration()
    await configuration.apply(service("a", 2), "x.yaml")
    assert ports(configuration) == {"a": 2}
    deleted = await configuration.delete([A, ObjectKey("Service", "default", "b")])
    assert ports(configuration) == {"a": 1}
    assert deleted.deleted == {A}
    assert {key.name for key in deleted.not_found} == {"b"}
    assert list(deleted.in_files) == [A]


async def collect(configuration: Configuration, since: int, count: int) -> list[Change]:
    found: list[Change] = []
    async for change in configuration.changes(since):
        found.append(change)
        if len(found) == count:
            break
    return found


async def test_watchers_see_every_change_in_order(open_configuration: Callable[[], Configuration]) -> None:
    configuration = open_configuration()
    watcher = asyncio.create_task(collect(configuration, configuration.revision, 3))
    await configuration.apply(service("a", 1), "x.yaml")
    await configuration.apply(service("a", 2), "x.yaml")
    await configuration.delete([A])
    changes = await asyncio.wait_for(watcher, 5)
    assert [change.kind for change in changes] == [ChangeKind.ADDED, ChangeKind.MODIFIED, ChangeKind.DELETED]
    assert [change.revision for change in changes] == sorted({change.revision for change in changes})
    late = await asyncio.wait_for(collect(configuration, changes[0].revision, 2), 5)
    assert late == changes[1:]


async def test_who_comes_back_too_late_must_list_again(
    open_configuration: Callable[[], Configuration],
) -> None:
    configuration = open_configuration()
    with pytest.raises(HistoryLost):
        await collect(configuration, 0, 1)
    with pytest.raises(HistoryLost):
        await collect(configuration, configuration.revision + 1, 1)


async def test_run_notices_by_itself(files: Path, open_configuration: Callable[[], Configuration]) -> None:
    configuration = open_configuration()
    seen = configuration.revision
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        poller = tasks.create_task(configuration.run(0.01))
        write(files / "a.yaml", service("a", 1))
        assert await configuration.newer(seen) > seen
        poller.cancel()
    assert ports(configuration) == {"a": 1}
