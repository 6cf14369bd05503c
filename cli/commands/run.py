"""`meshloom run --workload NAME -- CMD`."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from meshloom.cli.errors import CliError, Exit
from meshloom.cli.output import proxy_option
from meshloom.cli.pilot import pilot_option


@click.command(
    short_help="Run one program with a sidecar beside it.", context_settings={"ignore_unknown_options": True}
)
@click.option("--workload", required=True, metavar="NAME", help="Its name in the mesh.")
@click.option("--namespace", "-n", default="default", show_default=True)
@click.option("--service-account", default="default", show_default=True, help="Who it is: its identity.")
@click.option(
    "--labels", "-l", default="", metavar="K=V,...", help="What services select it by (default: app=NAME)."
)
@click.option("--port", "-p", "ports", multiple=True, metavar="PORT[:LOCAL]", help="A port it serves.")
@click.option("--ready", default="", metavar="PATH", help="Answers 200 when the program serves.")
@click.option("--auth", metavar="HOST:PORT", help="The CA (default: the mesh that runs here).")
@click.option(
    "--token-file", type=click.Path(path_type=Path), help="Registration token, with --auth and --root-cert."
)
@click.option("--root-cert", type=click.Path(path_type=Path), help="The CA's root certificate.")
@click.option("--mixer", metavar="HOST:PORT", help="Where to report telemetry.")
@click.option("--trust-domain", default="", help="Default: that of the mesh that runs here.")
@pilot_option
@proxy_option
@click.argument("cmd", nargs=-1, required=True, type=click.UNPROCESSED)
def command(**given: object) -> None:
    """Run CMD as a workload of the mesh, and end with its exit code.

    Its sidecar is started first. CMD then finds other services by <SERVICE>_SERVICE_HOST and _PORT, or by
    name through http_proxy; and it is found once it listens. Of `--port 9080:3000` the mesh knows 9080,
    and CMD listens on 127.0.0.1:3000; of `--port 9080` CMD gets a free local port as $PORT. Signals go to
    CMD; when it has ended, the sidecar finishes what it has and ends too.

    \b
    Examples:
      meshloom run --workload hello --port 8000:8000 -- python -m http.server 8000
      meshloom run --workload batch --service-account batch -- ./import.sh
    """
    from meshloom.cli.local.alone import RunOptions, run_alone
    from meshloom.runtime.log import set_up

    set_up("error")
    options = RunOptions.parse(given)
    code = asyncio.run(run_alone(options))
    sys.exit(128 - code if code < 0 else code)


def ports_of(texts: Sequence[str]) -> dict[int, int]:
    """Reads PORT[:LOCAL]; LOCAL 0 is any free one."""
    ports = {}
    for text in texts:
        port, _, local = text.partition(":")
        if not port.isdigit() or (local and not local.isdigit()):
            raise CliError(f"--port {text!r}", Exit.USAGE, "want PORT or PORT:LOCAL, for example 9080:3000")
        ports[int(port)] = int(local or 0)
    return ports
