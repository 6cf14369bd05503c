"""What the agent serves beside the configuration: the admin endpoint and the report to Mixer."""

from __future__ import annotations

import asyncio
import functools
import os
from pathlib import Path

from meshloom.fastpath.telemetry import Region
from meshloom.meshproxy.admin.pages import answer
from meshloom.meshproxy.admin.view import View
from meshloom.meshproxy.agent.agent import Agent
from meshloom.meshproxy.telemetry.report import METADATA_KEY, Reporter
from meshloom.runtime.address import Address
from meshloom.runtime.http import serve_http
from meshloom.runtime.log import Log

log = Log("agent")


async def run_services(agent: Agent, telemetry: list[int], ended: asyncio.Event) -> None:
    """Serve until `ended`. Raises OSError when the admin address cannot be had."""
    regions = [Region.map(fd) for fd in telemetry]
    for fd in telemetry:
        os.close(fd)
    reporting = _start_report(agent, regions)
    try:
        await _serve_admin(agent, View.of(agent, regions), ended)
    finally:
        if reporting is not None:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)


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


def _start_report(agent: Agent, regions: list[Region]) -> asyncio.Task[None] | None:
    metadata = agent.bootstrap.node.metadata.fields
    if METADATA_KEY not in metadata:  # asking for it would put it there
        return None
    reporter = Reporter(metadata[METADATA_KEY].string_value, agent.bootstrap.node.id, regions)
    return asyncio.create_task(reporter.run(), name="telemetry-report")
