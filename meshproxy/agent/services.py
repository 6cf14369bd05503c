"""What the agent serves beside the configuration: the admin endpoint and the report to Mixer."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import traceback
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
TRY_AGAIN_S = 0.1
EXIT_FAILED = 70

log = Log("agent")


async def run_services(agent: Agent, telemetry: list[int], ended: asyncio.Event) -> None:
    """Run the agent and all beside it until `ended`. Raises OSError when a stranger has the admin address."""
    regions = [Region.map(fd) for fd in telemetry]
    for fd in telemetry:
        os.close(fd)
    admin_settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    admin = _keep_admin(agent, View.of(agent, regions), admin_settled)
    tasks = [asyncio.create_task(admin, name="admin"), *_start_report(agent, regions)]
    tasks.append(asyncio.create_task(_leave_when_alone(agent, ended), name="leave-when-alone"))
    try:
        # Before the first bundle goes out: a start that cannot be whole should not be half.
        await admin_settled
        tasks.append(asyncio.create_task(agent.run(), name="agent"))
        for task in tasks:
            task.add_done_callback(_end_on_failure)
        await ended.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_admin(agent: Agent, view: View, settled: asyncio.Future[None]) -> None:
    """Serve the admin endpoint; while a generation of ours still has the address, wait for it."""
    if agent.bootstrap.admin is None:
        settled.set_result(None)
        return
    where = agent.bootstrap.admin.socket_address
    address = Address(where.address, where.port_value)
    while not agent.handed_over.is_set():
        try:
            async with serve_http(address, functools.partial(answer, view)) as bound:
                log.info("admin_serves", address=bound)
                _tell_address(agent.options.admin_address_path, bound)
                agent.admin_bound = (bound.host, bound.port)
                _settle(settled)
                await agent.handed_over.wait()
        except OSError as error:
            if not settled.done() and not _has_predecessor(agent, address):
                settled.set_exception(error)
                return
            _settle(settled)
            await asyncio.sleep(TRY_AGAIN_S)


def _settle(settled: asyncio.Future[None]) -> None:
    if not settled.done():
        settled.set_result(None)


def _has_predecessor(agent: Agent, address: Address) -> bool:
    """Whether who has the address is one of us who will go."""
    if agent.options.restart_epoch or agent.version:
        return True
    line = orphans.find(address.host, address.port)
    if line is not None:
        line.close()
    return line is not None


def _end_on_failure(task: asyncio.Task[None]) -> None:
    """A bug in the agent: say so and end; the arbiter starts another, the workers notice nothing."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("agent_failed", error="".join(traceback.format_exception(error)))
        os._exit(EXIT_FAILED)


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
        held = [(bound["address"], bound["bound_port"]) for bound in agent.fleet.bound]
        for address, port in held + ([agent.admin_bound] if agent.admin_bound else []):
            with contextlib.suppress(OSError):  # somebody answers there already
                listening = orphans.listen(address, port)
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
            agent.handed_over.set()
            agent.fleet.end_orphans()
    finally:
        writer.close()


def _start_report(agent: Agent, regions: list[Region]) -> list[asyncio.Task[None]]:
    metadata = agent.bootstrap.node.metadata.fields
    if METADATA_KEY not in metadata:  # asking for it would put it there
        return []
    reporter = Reporter(metadata[METADATA_KEY].string_value, agent.bootstrap.node.id, regions)
    return [asyncio.create_task(reporter.run(), name="telemetry-report")]
