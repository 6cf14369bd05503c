"""One meshproxy beside a workload, or at the edge: its bootstrap, its process, its readiness."""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from meshloom.cli.errors import CliError, Exit
from meshloom.cli.local.bootstrap import ADMIN_PORT, NodeSpec, Upstreams, bootstrap
from meshloom.cli.local.children import Child, Command, Nanny
from meshloom.cli.local.probe import Probe, until_up

# Python start-up of a dozen proxies on two processors takes a while; a proxy that needs longer is broken.
READY_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """What all proxies of a mesh have in common."""

    folder: Path
    """Private to this run: bootstraps and sockets."""
    logs: Path
    concurrency: int = 1
    drain_s: int = 5
    log_level: str = "warning"
    command: tuple[str, ...] = (sys.executable, "-m", "meshloom.meshproxy")
    """meshproxy, or any other proxy that takes Envoy's bootstrap and flags."""


def proxy_settings(folder: Path, logs: Path, program: str = "", concurrency: int = 1) -> ProxySettings:
    """`program` is another proxy than meshproxy; empty: meshproxy."""
    settings = ProxySettings(folder, logs, concurrency)
    return replace(settings, command=(program,)) if program else settings


async def start_proxy(nanny: Nanny, node: NodeSpec, upstreams: Upstreams, settings: ProxySettings) -> Child:
    """Starts it; `until_ready` says when it serves."""
    path = settings.folder / f"{node.name}.{node.namespace}.json"
    path.write_text(bootstrap(node, upstreams))
    argv = [*settings.command, "-c", str(path), "--disable-hot-restart"]
    argv += ["--concurrency", str(settings.concurrency), "--drain-time-s", str(settings.drain_s)]
    argv += ["-l", settings.log_level]
    log = settings.logs / f"{node.name}.{node.namespace}.proxy.log"
    return await nanny.spawn(Command(argv, environment(), log=log))


async def until_ready(child: Child, node: NodeSpec, log: Path) -> None:
    """Raises CliError when the proxy ends, or is not ready in time."""
    await until_up_or_ended(child, Probe(node.ip, ADMIN_PORT, "/ready"), f"the proxy of {node.name}", log)


async def until_up_or_ended(child: Child, probe: Probe, what: str, log: Path) -> None:
    """Waits for the probe, but not for a program that has ended; raises CliError with the end of its log."""
    up, ended = asyncio.ensure_future(until_up(probe)), asyncio.ensure_future(child.wait())
    try:
        await asyncio.wait({up, ended}, timeout=READY_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        if up.done():
            return
        reason = (
            f"ended with {ended.result()}" if ended.done() else f"was not ready within {READY_WITHIN_S:.0f} s"
        )
        raise CliError(f"{what} {reason}", Exit.REFUSED, f"its log, {log}, ends:\n{tail(log)}")
    finally:
        for waiting in (up, ended):
            waiting.cancel()
        await asyncio.gather(up, ended, return_exceptions=True)


def tail(log: Path, lines: int = 8) -> str:
    """The last lines of a log, for a message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16384))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return "  (empty)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (empty)"


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our own environment without what would steer a proxied program around its sidecar."""
    unwanted = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    env = {name: value for name, value in os.environ.items() if name.lower() not in unwanted}
    return {**env, **(more or {})}
