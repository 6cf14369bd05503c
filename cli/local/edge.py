"""A gateway by itself: one meshproxy, fed by a Pilot of its own that nobody else needs to know of."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import click
import yaml
from meshloom.cli.checks import checked
from meshloom.cli.diagnostics import show
from meshloom.cli.documents import sources
from meshloom.cli.errors import CliError, Exit
from meshloom.cli.local.children import Nanny
from meshloom.cli.local.companions import companions
from meshloom.cli.local.gateway import GatewayPlan, start_gateway
from meshloom.cli.local.plane import Launcher, pilot_flags
from meshloom.cli.local.settings import GatewayFile
from meshloom.cli.local.sidecar import proxy_settings
from meshloom.cli.output import machine


@dataclass(frozen=True, slots=True)
class ProxyChoice:
    """How the one proxy runs: where it listens, with how many workers, and if it is another than
    meshproxy."""

    bind: str
    concurrency: int
    program: str = ""


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """What `meshloom gateway` is asked for."""

    files: Sequence[Path]
    gateway: GatewayFile
    proxy: ProxyChoice

    @classmethod
    def parse(
        cls, files: Sequence[str], ports: Mapping[int, int], labels: str, proxy: ProxyChoice
    ) -> "EdgeOptions":
        """The Gateways in the files say which ports there are; `ports` moves some of them."""
        wanted = dict(pair.split("=", 1) for pair in labels.split(",") if "=" in pair)
        found = {port: port for port in _gateway_ports(files, wanted)}
        if not found:
            raise CliError(
                f"no Gateway in {', '.join(files)} selects {labels}",
                Exit.REFUSED,
                "a Gateway's spec.selector must be among --labels",
            )
        file = GatewayFile(wanted, {**found, **ports})
        return cls([Path(name).absolute() for name in files], file, proxy)


def _gateway_ports(files: Sequence[str], labels: Mapping[str, str]) -> list[int]:
    ports = []
    for source in sources(files):
        try:
            documents = list(yaml.safe_load_all(source.text))
        except yaml.YAMLError as error:
            raise CliError(f"{source.name}: not YAML: {error}", Exit.REFUSED) from error
        for document in documents:
            if isinstance(document, dict) and document.get("kind") == "Gateway":
                spec = document.get("spec") or {}
                if (spec.get("selector") or {}).items() <= labels.items():
                    ports += [int(s["port"]["number"]) for s in spec.get("servers") or [] if s.get("port")]
    return ports


async def run_edge(options: EdgeOptions, output: str) -> None:
    """Serves until cancelled; raises CliError when the configuration is no good to begin with."""
    _check(options)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meshloom-")))
        nanny = await Nanny.start(stack)
        config = _linked(options.files, folder / "config")
        launcher = Launcher(nanny, folder, folder)
        pilot = await launcher.start(
            "pilot", pilot_flags(config, f"sqlite:{folder / 'rules.db'}", "cluster.local")
        )
        async with companions() as beside:
            plan = GatewayPlan(options.gateway, pilot.at("grpc"), bind=options.proxy.bind)
            proxies = proxy_settings(folder, folder, options.proxy.program, options.proxy.concurrency)
            gateway = await start_gateway(plan, nanny, proxies, stack, beside)
            ports = {str(port): gateway.address(port) for port in gateway.ports}
            if not machine(output, {"gateway": ports, "admin": f"{gateway.node.ip}:15000"}):
                for port, address in ports.items():
                    click.echo(f"port {port} of the Gateway: http://{address}")
                click.echo("Ctrl-C ends it.")
            code = await gateway.child.wait()
            raise CliError(f"the gateway ended with {code}", Exit.REFUSED)


def _check(options: EdgeOptions) -> None:
    found = checked(options.files)
    show(found)
    if bad := sum(finding.severity == "error" for finding in found):
        raise CliError(f"{bad} to correct", Exit.REFUSED)


def _linked(files: Sequence[Path], folder: Path) -> Path:
    """A directory of links to the files: Pilot reads directories, and sees changes through links."""
    folder.mkdir()
    for number, path in enumerate(files):
        (folder / (f"{number}-{path.name}" if path.is_file() else f"{number}")).symlink_to(path)
    return folder
