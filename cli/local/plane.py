"""The control plane as child processes: auth, pilot and mixer, ready when their address files appear."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from meshloom.cli.errors import CliError, Exit
from meshloom.cli.local.children import Child, Command, Nanny
from meshloom.cli.local.sidecar import environment, tail
from meshloom.runtime.address import Address, read_addresses
from meshloom.runtime.log import Log

log = Log("cli.plane")

_READY_WITHIN_S = 60.0
_POLL_S = 0.02
_RESTART_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Service:
    """One running service and where it listens; comes back at the same addresses when it fails."""

    name: str
    child: Child
    flags: tuple[str, ...]
    bound: dict[str, Address]

    def at(self, endpoint: str) -> str:
        return str(self.bound[endpoint])

    @property
    def flags_again(self) -> tuple[str, ...]:
        """To start it where it was: of a repeated flag the last counts."""
        places = ((f"--{name.replace('_', '-')}-listen", str(at)) for name, at in self.bound.items())
        return (*self.flags, *(word for place in places for word in place))


@dataclass(frozen=True, slots=True)
class Plane:
    auth: Service
    pilot: Service
    mixer: Service


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts services that keep the convention: `--address-path`, and exit 0 on SIGTERM."""

    nanny: Nanny
    folder: Path
    logs: Path

    async def start(self, name: str, flags: Sequence[str]) -> Service:
        """Raises CliError with the end of its log when the service does not come up."""
        addresses, path = self.folder / f"{name}.addresses.json", self.log(name)
        addresses.unlink(missing_ok=True)
        argv = [sys.executable, "-m", f"meshloom.{name}", *flags, "--address-path", str(addresses)]
        child = await self.nanny.spawn(Command(argv, environment(), log=path))
        for _ in range(int(_READY_WITHIN_S / _POLL_S)):
            if addresses.exists():
                return Service(name, child, tuple(flags), read_addresses(addresses))
            if not child.running:
                break
            await asyncio.sleep(_POLL_S)
        raise CliError(f"{name} did not start", Exit.REFUSED, f"its log, {path}, ends:\n{tail(path)}")

    async def keep(self, service: Service) -> None:
        """Starts it again whenever it ends, for ever; proxies serve on with what they have in the meantime.

        Raises CliError when it does not come up again.
        """
        while True:
            code = await service.child.wait()
            log.warning("service_ended", service=service.name, code=code, log=self.log(service.name))
            await asyncio.sleep(_RESTART_PAUSE_S)
            service = await self.start(service.name, service.flags_again)

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


@dataclass(frozen=True, slots=True)
class PlaneSettings:
    """What the control plane of a local mesh is given."""

    config: Path
    store: str
    auth_state: Path
    trust_domain: str = "cluster.local"
    cert_ttl: str = ""


async def start_plane(launcher: Launcher, settings: PlaneSettings) -> Plane:
    """All three at once: each is mostly waiting for its own imports."""
    auth = ["--state-dir", str(settings.auth_state), "--trust-domain", settings.trust_domain]
    auth += ["--grpc-listen", _ANY, "--http-listen", _ANY]
    auth += ["--workload-cert-ttl", settings.cert_ttl] if settings.cert_ttl else []
    mixer = ["--grpc-listen", _ANY, "--http-listen", _ANY]
    async with asyncio.TaskGroup() as tasks:
        starting = [
            tasks.create_task(launcher.start(name, flags), name=name)
            for name, flags in (
                ("auth", auth),
                ("pilot", pilot_flags(settings.config, settings.store, settings.trust_domain)),
                ("mixer", mixer),
            )
        ]
    return Plane(*(task.result() for task in starting))


def pilot_flags(config: Path, store: str, trust_domain: str) -> list[str]:
    """A Pilot on loopback that reads `config` and keeps applied objects in `store`."""
    flags = ["--config-dir", str(config), "--trust-domain", trust_domain]
    flags += ["--grpc-listen", _ANY, "--http-listen", _ANY]
    return [*flags, "--store", store] if store else flags


_ANY = "127.0.0.1:0"
