"""`meshloom demo`."""

import asyncio
import json
import sys
from pathlib import Path

import click
from meshloom.cli.errors import Exit


@click.command(short_help="Run the shop, change it under load, and measure what happens.")
@click.option(
    "--output", "-o", type=click.Choice(["text", "json"]), default="text", help="For people or machines."
)
@click.option("--example", type=click.Path(file_okay=False, path_type=Path), help="Another shop than ours.")
@click.option("--rate", default=40.0, show_default=True, help="Requests per second under load.")
@click.option("--keep-logs", is_flag=True, help="Leave the folder with the logs.")
def command(output: str, example: Path | None, rate: float, keep_logs: bool) -> None:
    """Run a whole mesh on the shop of examples/shop, and show in six steps what a mesh is for.

    A canary by browser, scaling out, a copy killed under load, a rollout under load, identities, measurement.
    Every number is measured in this run. The exit code is 1 when one of the promises is broken.

    \b
    Examples:
      meshloom demo
      meshloom demo --output json | jq .rollout
    """
    from meshloom.cli.demo.report import Report
    from meshloom.cli.demo.run import DemoOptions, find_example, run_demo
    from meshloom.cli.demo.screen import Screen
    from meshloom.runtime.lifecycle import until_stopped
    from meshloom.runtime.log import set_up

    set_up("error")
    screen = Screen(quiet=output == "json")
    reports: list[Report] = []

    async def demo() -> None:
        reports.append(await run_demo(DemoOptions(find_example(example), rate, keep_logs), screen))

    asyncio.run(until_stopped(demo))
    if not reports:
        sys.exit(Exit.INTERRUPTED)
    report = reports[0]
    screen.end(report)
    if output == "json":
        click.echo(json.dumps(report.as_dict(), indent=2))
    if report.broken():
        sys.exit(Exit.REFUSED)
