"""`meshloom up DIR`."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from meshloom.cli.errors import CliError, Exit
from meshloom.cli.output import output_option, proxy_option

if TYPE_CHECKING:
    from meshloom.cli.local.mesh import MeshOptions
    from meshloom.cli.local.settings import GatewayFile

# Seconds; python start-up of a big mesh on a small machine.
_SETTLED_WITHIN_S = 120.0


@click.command(short_help="Run a whole mesh on this machine from a directory of YAML.")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--images", type=click.Path(dir_okay=False, path_type=Path), help="A meshloom.yaml elsewhere.")
@click.option(
    "--gateway/--no-gateway", default=None, help="Run an ingress gateway (default: if one is described)."
)
@click.option(
    "--gateway-port", "ports", multiple=True, metavar="GATEWAY:LOCAL", help="Local port of a Gateway's port."
)
@click.option("--trust-domain", default="cluster.local", show_default=True)
@click.option("--store", default="", metavar="sqlite:PATH|dir", help="Keep applied objects after the end.")
@click.option("--cert-ttl", default="", metavar="DURATION", help="Life of certificates (default: 24h).")
@proxy_option
@click.option("--log-level", default="warning", show_default=True)
@output_option
def command(
    directory: Path,
    images: Path | None,
    gateway: bool | None,
    ports: Sequence[str],
    trust_domain: str,
    store: str,
    cert_ttl: str,
    proxy: str,
    log_level: str,
    output: str,
) -> None:
    """Run a whole mesh: Auth, Pilot, Mixer, and for each Deployment its copies with their sidecars.

    DIRECTORY holds Kubernetes' and Istio's YAML, read again whenever it changes. A `meshloom.yaml` in it says
    which local program stands for which container image:

    \b
      images:
        "shop/orders:*":
          command: ["{python}", "{dir}/orders.py"]     gets its port as $PORT
          ready: /healthz
      gateway:
        labels: {istio: ingressgateway}
        ports: {80: 8080}

    While it runs, `meshloom apply`, `get`, `proxy-status` and `run` find it by themselves. Ctrl-C ends it,
    and everything it started.

    \b
    Examples:
      meshloom up examples/shop
      meshloom up examples/bookinfo --gateway --gateway-port 8080:9080
      MESHLOOM_HOME=/tmp/other meshloom up rules/
    """
    from meshloom.cli.checks import checked
    from meshloom.cli.context import MeshHome, home
    from meshloom.cli.diagnostics import show
    from meshloom.cli.local.mesh import MeshOptions
    from meshloom.cli.local.settings import LocalSettings
    from meshloom.runtime.lifecycle import until_stopped
    from meshloom.runtime.log import set_up

    set_up(log_level)
    settings = LocalSettings.load(directory)
    if images is not None:
        described = LocalSettings.parse(images)
        settings = replace(settings, programs=described.programs, gateway=described.gateway)
    show(finding for finding in checked([settings.config]) if finding.severity == "error")
    with MeshHome(home()) as folder:
        options = MeshOptions(
            settings,
            folder,
            trust_domain=trust_domain,
            gateway=None if gateway is False else door(settings.gateway, gateway is True, ports),
            store=store,
            cert_ttl=cert_ttl,
            proxy=proxy,
        )
        asyncio.run(until_stopped(lambda: serve(options, output)))


def door(described: "GatewayFile | None", wanted: bool, ports: Sequence[str]) -> "GatewayFile | None":
    """The gateway that was described, or asked for, with its ports moved as the command line says."""
    from meshloom.cli.local.settings import GatewayFile

    found = described or (GatewayFile() if wanted or ports else None)
    if found is None or not ports:
        return found
    return GatewayFile(
        found.labels, {**found.ports, **port_map(ports)}, found.namespace, found.service_account
    )


async def serve(options: "MeshOptions", output: str) -> None:
    """Runs the mesh until it is cancelled; says what is where once it serves."""
    from meshloom.cli.local.mesh import addresses, local_mesh
    from meshloom.cli.shown import show_mesh

    async with local_mesh(options) as mesh:
        await mesh.until_settled(_SETTLED_WITHIN_S)
        show_mesh(addresses(mesh, options), mesh, output)
        await asyncio.Event().wait()


def port_map(pairs: Sequence[str]) -> dict[int, int]:
    """Reads GATEWAY:LOCAL pairs."""
    ports = {}
    for pair in pairs:
        gateway, _, local = pair.partition(":")
        if not (gateway.isdigit() and local.isdigit() and max(int(gateway), int(local)) < 65536):
            raise CliError(f"--gateway-port {pair!r}", Exit.USAGE, "want GATEWAY:LOCAL, for example 80:8080")
        ports[int(gateway)] = int(local)
    return ports
