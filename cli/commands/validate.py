"""`meshloom validate -f`: offline."""

from collections.abc import Sequence
from pathlib import Path

import click
from meshloom.cli.diagnostics import show
from meshloom.cli.errors import CliError, Exit
from meshloom.cli.output import machine, output_option


@click.command(short_help="Check YAML without a mesh.")
@click.option("--filename", "-f", "files", multiple=True, required=True, metavar="FILE|DIR")
@click.option("--strict", is_flag=True, help="Warnings are errors.")
@output_option
def command(files: Sequence[str], strict: bool, output: str) -> None:
    """Check files as Pilot would, without one: every field, every rule of the kinds, and references in the
    files.

    Errors keep an object out of the mesh; warnings say what is accepted and has no effect.

    \b
    Examples:
      meshloom validate -f rules/
      meshloom validate -f canary.yaml -o json
    """
    from meshloom.cli.checks import checked  # the models take a moment to import

    paths = [Path(name) for name in files]
    for path in paths:
        if not path.exists():
            raise CliError(f"{path}: no such file or directory", Exit.USAGE)
    findings = checked(paths)
    bad = [f for f in findings if strict or f.severity == "error"]
    if not machine(output, {"valid": not bad, "diagnostics": [f.as_dict() for f in findings]}):
        show(findings)
    if bad:
        raise CliError(f"{len(bad)} to correct", Exit.REFUSED)
    if output == "table":
        click.echo("valid" + (f", with {len(findings)} warnings" if findings else ""))
