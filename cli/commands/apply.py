"""`meshloom apply -f`."""

from collections.abc import Sequence

import click
from meshloom.api.config.v1 import config_pb2
from meshloom.cli.diagnostics import Finding, show
from meshloom.cli.documents import sources
from meshloom.cli.errors import CliError, Exit
from meshloom.cli.output import machine, output_option
from meshloom.cli.pilot import Rules, pilot_channel, pilot_option

CHANGES = {
    config_pb2.ApplyResult.CREATED: "created",
    config_pb2.ApplyResult.CONFIGURED: "configured",
    config_pb2.ApplyResult.UNCHANGED: "unchanged",
    config_pb2.ApplyResult.REJECTED: "rejected",
}
_COLORS = {"created": "green", "configured": "green", "rejected": "red"}


@click.command(short_help="Create or change rules, services and workloads.")
@click.option("--filename", "-f", "files", multiple=True, required=True, metavar="FILE|DIR|-")
@click.option("--namespace", "-n", default="default", help="For objects that name none.", show_default=True)
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@pilot_option
@output_option
def command(files: Sequence[str], namespace: str, dry_run: bool, pilot: str | None, output: str) -> None:
    """Create or change the objects in YAML or JSON files.

    A file is applied whole or not at all: one bad object in it, and nothing of it changes.

    \b
    Examples:
      meshloom apply -f canary.yaml
      meshloom apply -f rules/ --dry-run
      cat rule.yaml | meshloom apply -f -
    """
    found = list(sources(files))
    with pilot_channel(pilot) as channel:
        rules = Rules(channel)
        responses = [
            rules.apply(
                config_pb2.ApplyRequest(
                    documents=source.text, source=source.name, default_namespace=namespace, dry_run=dry_run
                )
            )
            for source in found
        ]
    report([r for response in responses for r in response.results], dry_run, output)
    findings = [finding(d) for response in responses for d in response.diagnostics]
    if output == "table":
        show(findings)
    rejected = any(f.severity == "error" for f in findings) or any(
        r.change == config_pb2.ApplyResult.REJECTED for response in responses for r in response.results
    )
    if rejected:
        raise CliError("not applied", Exit.REFUSED, "" if output == "table" else _first_error(findings))


def report(results: Sequence[config_pb2.ApplyResult], dry_run: bool, output: str) -> None:
    rows = [
        {
            "kind": result.key.kind,
            "namespace": result.key.namespace,
            "name": result.key.name,
            "change": CHANGES.get(result.change, "unknown"),
        }
        for result in results
    ]
    if machine(output, {"results": rows, "dry_run": dry_run}):
        return
    for row in rows:
        change = click.style(row["change"], fg=_COLORS.get(row["change"]))
        suffix = " (dry run)" if dry_run else ""
        click.echo(f"{row['kind'].lower()}/{row['name']} in {row['namespace']} {change}{suffix}")


def finding(diagnostic: config_pb2.Diagnostic) -> Finding:
    return Finding(
        severity="error" if diagnostic.severity == config_pb2.Diagnostic.ERROR else "warning",
        source=diagnostic.source,
        line=diagnostic.line,
        path=diagnostic.path,
        message=diagnostic.message,
        hint=diagnostic.hint,
        about=f"{diagnostic.object.kind}/{diagnostic.object.name}" if diagnostic.object.kind else "",
    )


def _first_error(findings: Sequence[Finding]) -> str:
    return next(
        (f"{f.source}:{f.line}: {f.path}: {f.message}" for f in findings if f.severity == "error"), ""
    )
