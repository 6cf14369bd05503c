"""When a batch of changes is due."""

from __future__ import annotations

import asyncio

from meshloom.pilot.xds.debounce import Batch, Changes, DebounceSettings, due_at

SETTINGS = DebounceSettings(quiet=0.1, longest=10)


def test_a_lone_change_is_due_after_a_quiet_moment() -> None:
    assert due_at(Batch(first=5.0, last=5.0), SETTINGS) == 5.1


def test_changes_without_end_are_pushed_all_the_same() -> None:
    assert due_at(Batch(first=5.0, last=14.99), SETTINGS) == 15.0


async def test_many_changes_make_one_batch() -> None:
    now = 5.0
    changes = Changes(SETTINGS, lambda: now)
    for _ in range(100):
        changes.note()
    now = 5.2

    assert await changes.next_batch() == Batch(first=5.0, last=5.0)
    waiting = asyncio.ensure_future(changes.next_batch())
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
