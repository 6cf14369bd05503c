"""One program with its sidecar, outside of any `up`: what `meshloom run` does."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from meshloom.auth.identity.client import TokenFile
from meshloom.cli.context import home, pilot_address, running_mesh
from meshloom.cli.errors import CliError, Exit
from meshloom.cli.local.children import Nanny
from meshloom.cli.local.identity import IdentitySource
from meshloom.cli.local.settings import Program, WorkloadSpec
from meshloom.cli.local.sidecar import proxy_settings
from meshloom.cli.local.workload import Copy, Surroundings

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """One program to run, and the mesh to run it in."""

    spec: WorkloadSpec
    local_ports: Mapping[int, int]
    pilot: str
    mixer: str
    identities: IdentitySource
    proxy: str = ""

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> "RunOptions":
        """From the command's options; raises CliError that says which are missing."""
        from meshloom.cli.commands.run import ports_of

        ports = ports_of(given["ports"])
        name = given["workload"]
        spec = WorkloadSpec(
            namespace=given["namespace"],
            owner=name,
            labels=_labels(given["labels"], name),
            service_account=given["service_account"],
            program=Program(tuple(given["cmd"]), {}, Path.cwd(), given["ready"]),
            ports=tuple(ports),
        )
        mesh = running_mesh()
        mixer = given["mixer"] or (mesh.mixer_grpc if mesh else "")
        pilot = pilot_address(given["pilot"])
        return cls(spec, ports, pilot, mixer, _identities(given), given["proxy"])


def _identities(given: Mapping[str, Any]) -> IdentitySource:
    mesh = running_mesh()
    if given["auth"]:
        if not (given["token_file"] and given["root_cert"]):
            raise CliError("--auth needs --token-file and --root-cert", Exit.USAGE)
        tokens = TokenFile(given["token_file"])
        domain = given["trust_domain"] or "cluster.local"
        return IdentitySource.remote(domain, given["auth"], given["root_cert"], tokens)
    if mesh is None:
        raise CliError(
            f"no mesh is running from {home()}",
            Exit.UNREACHABLE,
            "start one with `meshloom up DIR`, or name --pilot, --auth, --token-file and --root-cert",
        )
    domain = given["trust_domain"] or mesh.trust_domain
    return IdentitySource.local(domain, mesh.auth_grpc, Path(mesh.auth_state))


def _labels(text: str, name: str) -> dict[str, str]:
    labels = {"app": name}
    for pair in filter(None, text.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise CliError(f"--labels {text!r}", Exit.USAGE, "want K=V,K=V, for example app=hello,version=v1")
        labels[key.strip()] = value.strip()
    return labels


async def run_alone(options: RunOptions) -> int:
    """Returns the program's exit code; negative for the signal that ended it. Raises CliError."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meshloom-")))
        logs = home() / "log"
        logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        nanny = await Nanny.start(stack)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(options.pilot))
        around = Surroundings(
            nanny,
            channel,
            options.identities,
            options.pilot,
            options.mixer,
            proxy_settings(folder, logs, options.proxy),
        )
        copy = Copy(options.spec, around, foreground=True, local_ports=options.local_ports)
        _forward_signals(copy)
        try:
            return await copy.run()
        finally:
            _take_back_terminal()


def _forward_signals(copy: Copy) -> None:
    """What we are sent is meant for the program; before it runs, it means: give up."""
    loop = asyncio.get_running_loop()

    def forward(number: int) -> None:
        if copy.processes is None:
            copy.stop()
        else:
            copy.processes.program.signal(number)

    for number in _FORWARDED:
        loop.add_signal_handler(number, forward, number)


def _take_back_terminal() -> None:
    if os.isatty(0):
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(0, os.getpgrp())
