"""`meshloom gateway -f FILE`."""

import asyncio
from collections.abc import Sequence

import click
from meshloom.cli.output import output_option, proxy_option


@click.command(short_help="Run an edge gateway from YAML, without any other part of a mesh.")
@click.option("--filename", "-f", "files", multiple=True, required=True, metavar="FILE|DIR")
@click.option("--port", "-p", "ports", multiple=True, metavar="GATEWAY:LOCAL", help="Listen elsewhere.")
@click.option(
    "--labels", "-l", default="istio=ingressgateway", show_default=True, help="Which Gateways it serves."
)
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("--concurrency", default=1, show_default=True, help="Workers; 0: one per processor.")
@proxy_option
@output_option
def command(
    files: Sequence[str],
    ports: Sequence[str],
    labels: str,
    bind: str,
    concurrency: int,
    proxy: str,
    output: str,
) -> None:
    """Run a gateway from Gateway, VirtualService, ServiceEntry, DestinationRule and the like, and nothing
    else.

    The files are read again when they change; a change that is no good is told and changes nothing.

    \b
    Examples:
      meshloom gateway -f edge.yaml
      meshloom gateway -f edge/ --port 80:8080 --port 443:8443 --bind 0.0.0.0
    """
    from meshloom.cli.commands.up import port_map
    from meshloom.cli.local.edge import EdgeOptions, ProxyChoice, run_edge
    from meshloom.runtime.lifecycle import until_stopped
    from meshloom.runtime.log import set_up

    set_up("warning")
    options = EdgeOptions.parse(files, port_map(ports), labels, ProxyChoice(bind, concurrency, proxy))
    asyncio.run(until_stopped(lambda: run_edge(options, output)))
