"""`meshloom proxy-config WHAT WORKLOAD`."""

from collections.abc import Callable

import click
from meshloom.cli import dump
from meshloom.cli.output import machine, output_option, table
from meshloom.cli.pilot import pilot_option
from meshloom.cli.proxies import admin_get, find


def _secret_rows(found: list[dump.Json]) -> dump.Rows:
    from meshloom.cli.certificates import secret_rows  # cryptography, which only this one needs

    return secret_rows(found)


_WHAT: dict[str, tuple[Callable[[dump.Json], list[dump.Json]], Callable[[list[dump.Json]], dump.Rows]]] = {
    "listeners": (dump.listeners, dump.listener_rows),
    "routes": (dump.routes, dump.route_rows),
    "clusters": (dump.clusters, dump.cluster_rows),
    "endpoints": (dump.endpoints, dump.endpoint_rows),
    "secrets": (dump.secrets, _secret_rows),
}


@click.command(short_help="Show what one proxy runs with.")
@click.argument("what", type=click.Choice([*_WHAT, *(name[:-1] for name in _WHAT)]))
@click.argument("workload")
@pilot_option
@output_option
def command(what: str, workload: str, pilot: str | None, output: str) -> None:
    """Ask the proxy of WORKLOAD what it runs with, which may lag behind what Pilot has sent.

    WORKLOAD is a name from `meshloom proxy-status`, or its beginning; `.namespace` may follow.

    \b
    Examples:
      meshloom proxy-config routes istio-ingressgateway
      meshloom proxy-config endpoints storefront-v1-0.shop
      meshloom proxy-config secrets orders -o json
    """
    select, rows = _WHAT[what if what in _WHAT else f"{what}s"]
    found = select(admin_get(find(workload, pilot), "/config_dump?include_eds"))
    if not machine(output, found):
        columns, lines = rows(found)
        table(columns, lines)
