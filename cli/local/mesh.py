"""A whole mesh of local processes: the control plane, a gateway, and the copies that its Deployments ask for.

`meshloom up` shows it to a person, `meshloom demo` and the tests drive it. One supervising process hosts the
identities, SDS sockets and registry streams of all workloads; everything else is a child of the nanny.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from meshloom.cli.context import MeshAddresses, MeshHome
from meshloom.cli.errors import CliError, Exit
from meshloom.cli.local.children import Nanny
from meshloom.cli.local.companions import Companions, companions
from meshloom.cli.local.deployments import Key, Running, Start, Stop, Wanted, plan
from meshloom.cli.local.gateway import Gateway, GatewayPlan, start_gateway
from meshloom.cli.local.identity import IdentitySource
from meshloom.cli.local.latest import Latest
from meshloom.cli.local.plane import Launcher, Plane, PlaneSettings, start_plane
from meshloom.cli.local.rules import follow_deployments
from meshloom.cli.local.settings import GatewayFile, LocalSettings, WorkloadSpec
from meshloom.cli.local.sidecar import proxy_settings
from meshloom.cli.local.workload import Copy, Phase, Surroundings
from meshloom.runtime.log import Log

log = Log("cli.mesh")


@dataclass(frozen=True, slots=True)
class MeshOptions:
    """What one run of a mesh is asked for."""

    settings: LocalSettings
    home: MeshHome
    trust_domain: str = "cluster.local"
    gateway: GatewayFile | None = None
    store: str = ""
    """Where applied objects are kept; empty: in a database of the mesh's folder, made anew for this run."""
    cert_ttl: str = ""
    """Life of the workloads' certificates; empty: the CA's default of a day."""
    proxy: str = ""
    """Another proxy than meshproxy: a program that takes Envoy's bootstrap and flags."""


class LocalMesh:
    """A mesh that runs. Made by `local_mesh`."""

    def __init__(self, plane: Plane, around: Surroundings, gateway: Gateway | None) -> None:
        self.plane, self.around, self.gateway = plane, around, gateway
        self.copies: dict[str, Copy] = {}
        self.changed = Latest(0)
        """Counts up whenever a copy changes its phase or another set of copies is wanted."""
        self._desired: Mapping[Key, Wanted] | None = None
        self._lives: set[asyncio.Task[None]] = set()
        self._failures: dict[Key, Failures] = {}

    @property
    def settled(self) -> bool:
        """Every Deployment with a local program has its copies, and all of them serve."""
        if self._desired is None:
            return False
        wanted = sum(want.replicas for want in self._desired.values() if want.spec)
        return len(self.copies) == len(self.ready()) == wanted

    def ready(self) -> list[Copy]:
        return [copy for copy in self.copies.values() if copy.phase.value is Phase.READY]

    async def until_settled(self, within: float) -> None:
        """Raises CliError naming the copies that do not come up."""
        try:
            async with asyncio.timeout(within):
                await self.changed.until(lambda _: self.settled)
        except TimeoutError:
            late = [c.name for c in self.copies.values() if c.phase.value is not Phase.READY]
            message = f"not ready within {within:.0f} s: {', '.join(late) or 'no workload at all'}"
            raise CliError(message, Exit.REFUSED, f"the logs are in {self.around.proxies.logs}") from None

    async def until_known(self) -> None:
        """Waits for Pilot's first word on what is wanted."""
        await self.changed.until(lambda _: self._desired is not None)

    def want(self, desired: Mapping[Key, Wanted]) -> None:
        """Another set of copies from now on."""
        self._desired = desired
        self.bump()

    async def reconcile(self, beside: Companions) -> None:
        """Starts and stops copies as Deployments and failures ask for; runs until cancelled."""
        async for _ in self.changed.changes():
            running = {
                name: Running(copy.spec, copy.phase.value is Phase.READY)
                for name, copy in self.copies.items()
                if not copy.asked_to_stop
            }
            for action in plan(self._desired or {}, running):
                match action:
                    case Start(spec) if not self._failed_lately(spec):
                        copy = Copy(spec, self.around)
                        self.copies[copy.name] = copy
                        life = beside.start(self._live(copy), copy.name)
                        self._lives.add(life)
                        life.add_done_callback(self._lives.discard)
                    case Stop(name):
                        self.copies[name].stop()

    async def stop(self) -> None:
        """Ends every copy in order, all at the same time."""
        self.want({})
        for copy in list(self.copies.values()):
            copy.stop()
        if self._lives:
            await asyncio.wait(self._lives, timeout=_STOP_WITHIN_S)

    def bump(self) -> None:
        self.changed.put(self.changed.value + 1)

    async def _live(self, copy: Copy) -> None:
        """One copy from start to end. Its failure is an event and a later restart, never the mesh's end."""
        started, code = time.monotonic(), 1
        copy.phase.on_change = self.bump
        try:
            code = await copy.run()
        except CliError as error:
            log.error("copy_failed", copy=copy.name, reason=f"{error} {error.hint}")
        finally:
            del self.copies[copy.name]
        self.bump()
        if not copy.asked_to_stop:
            failures = self._failures.setdefault((copy.spec.namespace, copy.spec.owner), Failures())
            pause = failures.back_off(time.monotonic(), started)
            log.warning("copy_ended", copy=copy.name, code=code, restart_in=f"{pause:.1f}s")
            await asyncio.sleep(pause)
            self.bump()

    def _failed_lately(self, spec: WorkloadSpec) -> bool:
        failures = self._failures.get((spec.namespace, spec.owner))
        return failures is not None and time.monotonic() < failures.until


@dataclass(slots=True)
class Failures:
    """How often the copies of one Deployment ended by themselves, and until when none is started."""

    count: int = 0
    until: float = 0.0

    def back_off(self, now: float, started: float) -> float:
        """Counts one; returns the pause in seconds: half a second, doubling, at most half a minute."""
        self.count = 0 if now - started > _STABLE_S else self.count + 1
        pause: float = min(_FIRST_RESTART_S * 2 ** max(0, self.count - 1), _LONGEST_RESTART_S)
        self.until = now + pause
        return pause


@asynccontextmanager
async def local_mesh(options: MeshOptions) -> AsyncIterator[LocalMesh]:
    """Starts a mesh; when the block ends, so does everything that was started. Raises CliError."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meshloom-")))
        nanny = await Nanny.start(stack)
        launcher = Launcher(nanny, folder, options.home.logs)
        plane = await start_plane(launcher, _plane_settings(options, folder))
        async with (
            grpc.aio.insecure_channel(plane.pilot.at("grpc"), _RECONNECT) as channel,
            companions() as beside,
        ):
            around = _surroundings(options, nanny, channel, plane, folder)
            for service in (plane.auth, plane.pilot, plane.mixer):
                beside.start(launcher.keep(service), service.name)
            gateway = await _gateway(options, around, stack, beside)
            mesh = LocalMesh(plane, around, gateway)
            beside.start(mesh.reconcile(beside), "reconcile")
            beside.start(follow_deployments(channel, options.settings, mesh.want), "deployments")
            await mesh.until_known()
            options.home.publish(addresses(mesh, options))
            try:
                yield mesh
            finally:
                await mesh.stop()


def addresses(mesh: LocalMesh, options: MeshOptions) -> MeshAddresses:
    """Where everything is, for other commands and for the person who started it."""
    plane, gateway = mesh.plane, mesh.gateway
    return MeshAddresses(
        pid=os.getpid(),
        trust_domain=options.trust_domain,
        pilot_grpc=plane.pilot.at("grpc"),
        pilot_http=plane.pilot.at("http"),
        auth_grpc=plane.auth.at("grpc"),
        mixer_grpc=plane.mixer.at("grpc"),
        mixer_http=plane.mixer.at("http"),
        gateway={str(port): gateway.address(port) for port in gateway.ports} if gateway else {},
        auth_state=str(options.home.state),
    )


def _plane_settings(options: MeshOptions, folder: Path) -> PlaneSettings:
    store = options.store or f"sqlite:{folder / 'rules.db'}"
    return PlaneSettings(
        config=options.settings.config,
        store=store,
        auth_state=options.home.state,
        trust_domain=options.trust_domain,
        cert_ttl=options.cert_ttl,
    )


def _surroundings(
    options: MeshOptions, nanny: Nanny, channel: grpc.aio.Channel, plane: Plane, folder: Path
) -> Surroundings:
    identities = IdentitySource.local(options.trust_domain, plane.auth.at("grpc"), options.home.state)
    return Surroundings(
        nanny=nanny,
        channel=channel,
        identities=identities,
        pilot=plane.pilot.at("grpc"),
        mixer=plane.mixer.at("grpc"),
        proxies=proxy_settings(folder, options.home.logs, options.proxy),
    )


async def _gateway(
    options: MeshOptions, around: Surroundings, stack: AsyncExitStack, beside: Companions
) -> Gateway | None:
    if options.gateway is None:
        return None
    wanted = GatewayPlan(options.gateway, around.pilot, around.mixer, around.identities)
    return await start_gateway(wanted, around.nanny, around.proxies, stack, beside)


# A Pilot that comes back waits a moment for the workloads before it tells proxies who is there.
_RECONNECT = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]
_FIRST_RESTART_S = 0.5
_LONGEST_RESTART_S = 30.0
# A copy that ran this long had come up; its next failure starts the back-off anew.
_STABLE_S = 30.0
_STOP_WITHIN_S = 15.0
