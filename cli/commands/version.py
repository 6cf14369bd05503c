"""`meshloom version`."""

import json
import platform
from importlib.metadata import PackageNotFoundError, version

import click


@click.command(short_help="Show the version.")
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text")
def command(output: str) -> None:
    """Show the version of Meshloom and of the Python it runs on."""
    try:
        ours = version("meshloom")
    except PackageNotFoundError:
        ours = "unknown (running from a checkout that is not installed: `make setup`)"
    facts = {"meshloom": ours, "python": platform.python_version(), "platform": platform.machine()}
    click.echo(json.dumps(facts) if output == "json" else f"meshloom {ours}, Python {facts['python']}")
