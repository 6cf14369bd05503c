"""How a service starts and ends: one event loop, one top task, signals that ask it to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine

import uvloop

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def stop_signal() -> None:
    """Wait for SIGTERM or SIGINT. A second one ends the process at once, as the default action does."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    def ask() -> None:
        asked.set()
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, ask)
    await asked.wait()


async def until_stopped(serve: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run `serve` until it ends by itself or a stop signal cancels it."""
    service = asyncio.create_task(serve(), name="service")
    stop = asyncio.create_task(stop_signal(), name="stop-signal")
    await asyncio.wait({service, stop}, return_when=asyncio.FIRST_COMPLETED)
    if service.done():
        stop.cancel()
        service.result()
        return
    service.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await service


def run_service(serve: Callable[[], Coroutine[object, object, None]]) -> int:
    """The body of every service's `main`: returns the exit code, 0 after a stop signal."""
    uvloop.run(until_stopped(serve))
    return 0
