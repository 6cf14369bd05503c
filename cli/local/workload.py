"""One copy of a workload: the program, its sidecar, its identity and its place in the registry.

Order matters. Up: register (not ready) to learn where services are; start sidecar and program together; tell
Pilot "healthy" when both serve. Down: tell Pilot "draining" so that no new request is sent; let the
sidecar finish what it has; end the program last.
"""

import asyncio
import secrets
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import grpc
from meshloom.api.registry.v1 import registry_pb2
from meshloom.cli.errors import CliError, Exit
from meshloom.cli.local.addresses import claim_pod_ip, free_port
from meshloom.cli.local.bootstrap import NodeSpec, Upstreams
from meshloom.cli.local.children import Child, Command, Nanny
from meshloom.cli.local.companions import Companions, companions
from meshloom.cli.local.identity import IdentitySource
from meshloom.cli.local.latest import Latest
from meshloom.cli.local.probe import Probe, is_up, until_up
from meshloom.cli.local.registration import Assigned, Health, hold
from meshloom.cli.local.settings import WorkloadSpec
from meshloom.cli.local.sidecar import (
    ProxySettings,
    environment,
    start_proxy,
    until_ready,
    until_up_or_ended,
)

# How long the other proxies may take to hear that a workload drains, before its sidecar stops listening.
LEAVE_ROTATION_S = 1.0
_PROGRAM_STOP_S = 5.0
_REGISTERED_WITHIN_S = 20.0


class Phase(StrEnum):
    """Where a copy is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every workload of a mesh shares."""

    nanny: Nanny
    channel: grpc.aio.Channel
    identities: IdentitySource
    pilot: str
    mixer: str
    proxies: ProxySettings


@dataclass(frozen=True, slots=True)
class Processes:
    program: Child
    sidecar: Child


class Copy:
    """One copy. `run` is its whole life; the rest asks about it or hastens it."""

    def __init__(
        self,
        spec: WorkloadSpec,
        around: Surroundings,
        *,
        foreground: bool = False,
        local_ports: Mapping[int, int] | None = None,
    ) -> None:
        """`foreground`: the program has our terminal, and starts only once its sidecar serves."""
        self.spec = spec
        self.name = f"{spec.owner}-{secrets.token_hex(3)}"
        self.phase = Latest(Phase.STARTING)
        self.ip = ""
        self.processes: Processes | None = None
        self._around = around
        self._foreground = foreground
        self._local_ports = local_ports or {}
        self._health = Latest(Health.STARTING)
        self._assigned: Latest[Assigned | None] = Latest(None)
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Asks for an orderly end; `run` returns when it is over."""
        self._stop.set()

    @property
    def asked_to_stop(self) -> bool:
        return self._stop.is_set()

    def kill(self) -> None:
        """Ends program and sidecar at once, as a machine that loses power would."""
        if self.processes is not None:
            self.processes.program.signal(signal.SIGKILL)
            self.processes.sidecar.signal(signal.SIGKILL)

    async def run(self) -> int:
        """The copy's life. Returns the program's exit code; raises CliError when it does not come up."""
        try:
            async with AsyncExitStack() as stack, companions() as beside:
                pod = claim_pod_ip()
                stack.callback(pod.release)
                self.ip = pod.ip
                life = beside.start(self._live(stack, beside), name=f"life-{self.name}")
                await asyncio.wait({life, beside.start(self._stop.wait(), "stop")}, return_when=_FIRST)
                if not life.done():
                    return await self._drain()
                code: int = await life
                return code
        finally:
            self.kill()
            self.phase.put(Phase.ENDED)

    async def _live(self, stack: AsyncExitStack, beside: Companions) -> int:
        spec, around = self.spec, self._around
        ports = {port: self._local_ports.get(port) or free_port() for port in spec.ports}
        socket = around.proxies.folder / f"{self.name}.{spec.namespace}.sock"
        await around.identities.serve(spec.namespace, spec.service_account, socket, stack, beside)
        node = self._node(ports)
        registration = beside.start(
            hold(around.channel, self._entry(), self._health, self._assigned), "registry"
        )
        assigned = await self._registered()
        upstreams = Upstreams(around.pilot, socket, around.mixer)
        sidecar = await start_proxy(around.nanny, node, upstreams, around.proxies)
        if self._foreground:
            await until_ready(sidecar, node, self._log("proxy"))
        program = await around.nanny.spawn(self._command(assigned, ports))
        processes = self.processes = Processes(program, sidecar)
        await self._until_ready(node, processes, ports)
        self._health.put(Health.HEALTHY)
        self.phase.put(Phase.READY)
        if probe := self._probe(ports):
            beside.start(self._watch_health(probe), "health")
        code = await first_end(program, sidecar)
        registration.cancel()  # the stream's end takes the copy out of rotation at once
        if self._foreground and sidecar.running:
            await sidecar.stop(around.proxies.drain_s + 2.0)
        return code

    async def _registered(self) -> Assigned:
        try:
            async with asyncio.timeout(_REGISTERED_WITHIN_S):
                assigned = await self._assigned.until(lambda found: found is not None)
        except TimeoutError:
            raise CliError(
                f"{self.name}: Pilot at {self._around.pilot} did not take its registration", Exit.UNREACHABLE
            ) from None
        assert assigned is not None
        return assigned

    def _command(self, assigned: Assigned, ports: Mapping[int, int]) -> Command:
        program = self.spec.program
        variables = {"HOSTNAME": self.name, "POD_IP": self.ip, **assigned.env, **self.spec.env, **program.env}
        if ports:
            variables["PORT"] = str(next(iter(ports.values())))
            variables |= {f"PORT_{container}": str(port) for container, port in ports.items()}
        log = None if self._foreground else self._log("program")
        return Command(program.argv, environment(variables), program.cwd, log, tty=self._foreground)

    async def _until_ready(self, node: NodeSpec, processes: Processes, ports: Mapping[int, int]) -> None:
        await until_ready(processes.sidecar, node, self._log("proxy"))
        if (probe := self._probe(ports)) and self._foreground:
            await until_up(probe)  # however long it takes: it is the user's program
        elif probe:
            await until_up_or_ended(processes.program, probe, self.name, self._log("program"))

    async def _watch_health(self, probe: Probe) -> None:
        failures = 0
        while True:
            await asyncio.sleep(_HEALTH_PERIOD_S)
            failures = 0 if await is_up(probe) else failures + 1
            told = Health.UNHEALTHY if failures >= _UNHEALTHY_AFTER else Health.HEALTHY
            if self._health.value in (Health.HEALTHY, Health.UNHEALTHY) and told is not self._health.value:
                self._health.put(told)

    async def _drain(self) -> int:
        """Out of the rotation, then the sidecar's last requests, then the program."""
        if self.processes is None:
            return 0
        if self.phase.value is Phase.READY:
            self.phase.put(Phase.DRAINING)
            self._health.put(Health.DRAINING)
            await asyncio.sleep(LEAVE_ROTATION_S)
        await self.processes.sidecar.stop(self._around.proxies.drain_s + 2.0)
        return await self.processes.program.stop(_PROGRAM_STOP_S)

    def _probe(self, ports: Mapping[int, int]) -> Probe | None:
        return next((Probe("127.0.0.1", port, self.spec.program.ready_path) for port in ports.values()), None)

    def _log(self, of: str) -> Path:
        return self._around.proxies.logs / f"{self.name}.{self.spec.namespace}.{of}.log"

    def _node(self, ports: Mapping[int, int]) -> NodeSpec:
        return NodeSpec(
            role="sidecar",
            ip=self.ip,
            name=self.name,
            namespace=self.spec.namespace,
            owner=self.spec.owner,
            labels=self.spec.labels,
            service_account=self.spec.service_account,
            app_ports=ports,
        )

    def _entry(self) -> registry_pb2.Workload:
        return registry_pb2.Workload(
            name=self.name,
            namespace=self.spec.namespace,
            address=self.ip,
            ports=[registry_pb2.Port(number=port) for port in self.spec.ports],
            labels=self.spec.labels,
            service_account=self.spec.service_account,
            owner=self.spec.owner,
            weight=1,
            mesh_tls=True,
        )


async def first_end(program: Child, sidecar: Child) -> int:
    """Waits for either to end. The program's own code counts; a lost sidecar is a failure of the copy."""
    ends = [asyncio.ensure_future(program.wait()), asyncio.ensure_future(sidecar.wait())]
    try:
        await asyncio.wait(ends, return_when=_FIRST)
        return ends[0].result() if ends[0].done() else SIDECAR_LOST
    finally:
        for end in ends:
            end.cancel()


# The exit code of a copy whose sidecar ended under it (a signal's negative number cannot be meant).
SIDECAR_LOST = 70
_FIRST = asyncio.FIRST_COMPLETED
_HEALTH_PERIOD_S = 2.0
_UNHEALTHY_AFTER = 3
