"""Tasks that live as long as a block of code: they end with it, and it ends when one of them fails."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from meshloom.auth.errors import AuthError
from meshloom.cli.errors import CliError, Exit


class Companions:
    """Starts tasks beside the block."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: list[asyncio.Task[Any]] = []

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = self._group.create_task(work, name=name)
        self._tasks.append(task)
        return task

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()


@asynccontextmanager
async def companions() -> AsyncIterator[Companions]:
    """Raises the first failure of block or tasks as itself, not as a group."""
    try:
        async with asyncio.TaskGroup() as group:
            beside = Companions(group)
            try:
                yield beside
            finally:
                beside.cancel()
    except BaseExceptionGroup as failures:
        raise _first(failures) from None


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    failure = failures.exceptions[0]
    if isinstance(failure, BaseExceptionGroup):
        return _first(failure)
    if isinstance(failure, AuthError):
        return CliError(f"no identity from the CA: {failure}", Exit.REFUSED)
    return failure
