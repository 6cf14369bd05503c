"""`meshloom proxy-status`."""

import click
from meshloom.cli.errors import CliError, Exit
from meshloom.cli.output import machine, output_option, table
from meshloom.cli.pilot import pilot_option
from meshloom.cli.proxies import TYPES, ConnectedProxy, connected


@click.command(short_help="Show which proxies are connected and what they have accepted.")
@click.argument("workload", default="")
@pilot_option
@output_option
def command(workload: str, pilot: str | None, output: str) -> None:
    """Show every proxy that Pilot serves, and for each type of resource if the proxy has accepted the newest.

    SYNCED: accepted. STALE: sent, not yet answered. ERROR: refused, the old one serves on; the reason
    follows. The exit code is 1 when any proxy has refused its configuration.
    """
    proxies = [p for p in connected(pilot) if p.name.startswith(workload)]
    rows = [{"name": p.name, **p.status, "client": p.client, "errors": list(p.errors)} for p in proxies]
    if not machine(output, rows):
        _show(proxies)
    if any(p.errors for p in proxies):
        raise CliError("a proxy has refused its configuration", Exit.REFUSED)


def _show(proxies: list[ConnectedProxy]) -> None:
    table(["NAME", *TYPES, "PROXY"], [[p.name, *p.status.values(), p.client] for p in proxies])
    for proxy in proxies:
        for error in proxy.errors:
            click.secho(f"{proxy.name}: {error}", fg="red", err=True)
