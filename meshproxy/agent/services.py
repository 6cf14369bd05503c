"""What the agent serves beside the configuration: the admin endpoint and the report to Mixer."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from pathlib import Path

from meshloom.fastpath.telemetry import Region
from meshloom.meshproxy import orphans
from meshloom.meshproxy.admin.pages import answer
from meshloom.meshproxy.admin.view import View
from meshloom.meshproxy.agent.agent import Agent
from meshloom.meshproxy.telemetry.report import METADATA_KEY, Reporter
from meshloom.runtime.address import Address
from meshloom.runtime.http import serve_http
from meshloom.runtime.log import Log

LOOK_AGAIN_S = 1.0

log = Log("agent")


async def run_services(agent: Agent, telemetry: list[int], ended: asyncio.Event) -> None:
    """Serve until `ended`. Raises OSError when the admin address cannot be had."""
    regions = [Region.map(fd) for fd in telemetry]
    for fd in telemetry:
        os.close(fd)
    beside = [asyncio.create_task(_leave_when_alone(agent, ended), name="leave-when-alone")]
    beside += _start_report(agent, regions)
    try:
        await _serve_admin(agent, View.of(agent, regions), ended)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def _serve_admin(agent: Agent, view: View, ended: asyncio.Event) -> None:
    if agent.bootstrap.admin is None:
        await ended.wait()
        return
    where = agent.bootstrap.admin.socket_address
    async with serve_http(Address(where.address, where.port_value), functools.partial(answer, view)) as bound:
        log.info("admin_serves", address=bound)
        _tell_address(agent.options.admin_address_path, bound)
        await ended.wait()


def _tell_address(path: str, bound: Address) -> None:
    """Envoy's form: the address alone."""
    if path:
        draft = Path(f"{path}.{os.getpid()}")
        draft.write_text(str(bound))
        draft.replace(path)


async def _leave_when_alone(agent: Agent, ended: asyncio.Event) -> None:
    """An arbiter that was killed leaves us with its workers; the last of them to go takes us along."""
    await agent.relay.lost.wait()
    async with contextlib.AsyncExitStack() as stack:
        for bound in agent.fleet.bound:
            with contextlib.suppress(OSError):  # somebody answers there already
                listening = orphans.listen(bound["address"], bound["bound_port"])
                successor = functools.partial(_hear_successor, agent)
                await stack.enter_async_context(await asyncio.start_unix_server(successor, sock=listening))
        while agent.fleet.any_alive():
            await asyncio.sleep(LOOK_AGAIN_S)
        ended.set()


async def _hear_successor(agent: Agent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A new arbiter that listens where we do; when it serves, it says so."""
    try:
        if await reader.read(len(orphans.LEAVE)) == orphans.LEAVE:
            log.info("successor_serves")
            agent.fleet.end_orphans()
    finally:
        writer.close()


def _start_report(agent: Agent, regions: list[Region]) -> list[asyncio.Task[None]]:
    metadata = agent.bootstrap.node.metadata.fields
    if METADATA_KEY not in metadata:  # asking for it would put it there
        return []
    reporter = Reporter(metadata[METADATA_KEY].string_value, agent.bootstrap.node.id, regions)
    return [asyncio.create_task(reporter.run(), name="telemetry-report")]
