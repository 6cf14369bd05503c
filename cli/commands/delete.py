"""`meshloom delete`."""

from collections.abc import Sequence

import click
from meshloom.api.config.v1 import config_pb2
from meshloom.cli.commands.apply import finding
from meshloom.cli.diagnostics import show
from meshloom.cli.documents import sources
from meshloom.cli.errors import CliError, Exit
from meshloom.cli.kinds import kind_of
from meshloom.cli.output import machine, output_option
from meshloom.cli.pilot import Rules, pilot_channel, pilot_option


@click.command(short_help="Take objects out of the mesh.")
@click.argument("kind", default="")
@click.argument("names", nargs=-1)
@click.option("--filename", "-f", "files", multiple=True, metavar="FILE|DIR|-", help="Whatever these define.")
@click.option("--namespace", "-n", default="default", show_default=True)
@click.option("--ignore-not-found", is_flag=True, help="Succeed when there is nothing to delete.")
@pilot_option
@output_option
def command(
    kind: str,
    names: Sequence[str],
    files: Sequence[str],
    namespace: str,
    ignore_not_found: bool,
    pilot: str | None,
    output: str,
) -> None:
    """Delete objects by KIND and NAME, or those that files define.

    \b
    Examples:
      meshloom delete vs storefront -n shop
      meshloom delete -f canary.yaml
    """
    keys = [*_named(kind, names, namespace), *_defined(files, namespace)]
    if not keys:
        raise CliError("nothing named", Exit.USAGE, "give KIND NAME, or -f FILE")
    with pilot_channel(pilot) as channel:
        response = Rules(channel).delete(keys)
    deleted, missing = map(_rows, (response.deleted, response.not_found))
    findings = [finding(diagnostic) for diagnostic in response.diagnostics]
    shown = {"deleted": deleted, "not_found": missing, "diagnostics": [f.as_dict() for f in findings]}
    if not machine(output, shown):
        for row in deleted:
            click.echo(f"{row['kind'].lower()}/{row['name']} in {row['namespace']} deleted")
        show(findings)
    if missing and not ignore_not_found:
        raise CliError("not found: " + ", ".join(map(_spoken, missing)), Exit.REFUSED)
    if len(deleted) + len(missing) < len(keys):
        raise CliError("a file declares what was to be deleted", Exit.REFUSED, "take it out of that file")


def _spoken(row: dict[str, str]) -> str:
    return f"{row['kind'].lower()}/{row['name']} in {row['namespace']}"


def _named(kind: str, names: Sequence[str], namespace: str) -> list[config_pb2.ObjectKey]:
    if not kind:
        return []
    if not names:
        raise CliError(f"which {kind}?", Exit.USAGE, f"meshloom delete {kind} NAME")
    return [config_pb2.ObjectKey(kind=kind_of(kind), namespace=namespace, name=name) for name in names]


def _defined(files: Sequence[str], namespace: str) -> list[config_pb2.ObjectKey]:
    import yaml  # 30 ms that `delete KIND NAME` does not need

    keys = []
    for source in sources(files):
        try:
            documents = [d for d in yaml.safe_load_all(source.text) if isinstance(d, dict)]
        except yaml.YAMLError as error:
            raise CliError(f"{source.name}: not YAML: {error}", Exit.REFUSED) from error
        for document in documents:
            metadata = document.get("metadata") or {}
            keys.append(
                config_pb2.ObjectKey(
                    api_version=str(document.get("apiVersion", "")),
                    kind=str(document.get("kind", "")),
                    namespace=str(metadata.get("namespace", namespace)),
                    name=str(metadata.get("name", "")),
                )
            )
    return keys


def _rows(keys: Sequence[config_pb2.ObjectKey]) -> list[dict[str, str]]:
    return [{"kind": key.kind, "namespace": key.namespace, "name": key.name} for key in keys]
