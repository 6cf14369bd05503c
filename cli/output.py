"""Options that commands share, and what they print: tables for people, JSON or YAML for machines."""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def output_option(command: F) -> F:
    """`-o table|json|yaml`, the same in every command."""
    choice = click.Choice(["table", "json", "yaml"])
    return click.option("--output", "-o", type=choice, default="table", help="For people or for machines.")(
        command
    )


def proxy_option(command: F) -> F:
    """`--proxy PROGRAM`, the same in every command that starts proxies."""
    text = "An Envoy to run in place of meshproxy."
    return click.option("--proxy", default="", metavar="PROGRAM", help=text)(command)


def machine(output: str, value: object) -> bool:
    """Prints `value` as JSON or YAML when asked for; False when it is a person who reads."""
    if output == "json":
        click.echo(json.dumps(value, indent=2))
    elif output == "yaml":
        click.echo(as_yaml(value), nl=False)
    return output != "table"


def as_yaml(value: object) -> str:
    import yaml  # 30 ms that a table does not need

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as their content, as kubectl prints them: easy to read, easy to cut."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
    for number, row in enumerate([list(columns), *cells]):
        line = "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.echo(click.style(line, bold=True) if number == 0 else line)
