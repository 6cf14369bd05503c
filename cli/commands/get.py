"""`meshloom get KIND [NAME]`."""

import json
from collections.abc import Sequence
from typing import Any

import click
from meshloom.api.config.v1 import config_pb2
from meshloom.cli.errors import CliError, Exit
from meshloom.cli.kinds import kind_of
from meshloom.cli.output import machine, output_option, table
from meshloom.cli.pilot import Rules, pilot_channel, pilot_option


@click.command(short_help="Show what the mesh is configured with.")
@click.argument("kind")
@click.argument("name", default="")
@click.option("--namespace", "-n", default="", help="Default: all of them.")
@pilot_option
@output_option
def command(kind: str, name: str, namespace: str, pilot: str | None, output: str) -> None:
    """Show objects of one KIND: all of them, or the one of that NAME.

    \b
    Examples:
      meshloom get virtualservices
      meshloom get vs storefront -n shop -o yaml
      meshloom get all
    """
    wanted = "" if kind.lower() == "all" else kind_of(kind)
    with pilot_channel(pilot) as channel:
        objects = Rules(channel).list(wanted, namespace, name)
    if name and not objects:
        place = f"namespace {namespace}" if namespace else "any namespace"
        raise CliError(f"no {wanted or 'object'} {name!r} in {place}", Exit.REFUSED)
    documents: list[dict[str, Any]] = [json.loads(found.document) for found in objects]
    shown: object = documents[0] if name and len(documents) == 1 else {"kind": "List", "items": documents}
    if not machine(output, shown):
        _show(objects, documents, several_kinds=not wanted)


def _show(
    objects: Sequence[config_pb2.Object], documents: Sequence[dict[str, Any]], *, several_kinds: bool
) -> None:
    if not objects:
        click.echo("none found", err=True)
        return
    rows = [
        [
            found.key.namespace or "-",
            f"{found.key.kind.lower()}/{found.key.name}" if several_kinds else found.key.name,
            summary(found.key.kind, document.get("spec") or {}),
            found.origin,
        ]
        for found, document in zip(objects, documents, strict=True)
    ]
    table(["NAMESPACE", "NAME", "SAYS", "FROM"], rows)


def summary(kind: str, spec: dict[str, Any]) -> str:
    """The few words that tell one object of a kind from another."""
    match kind:
        case "VirtualService":
            return f"hosts {', '.join(spec.get('hosts', []))}"
        case "DestinationRule":
            subsets = ", ".join(s.get("name", "") for s in spec.get("subsets", []))
            return f"host {spec.get('host', '')}" + (f", subsets {subsets}" if subsets else "")
        case "Gateway":
            ports = ", ".join(str(s.get("port", {}).get("number", "")) for s in spec.get("servers", []))
            return f"ports {ports}"
        case "Service":
            return "ports " + ", ".join(str(p.get("port", "")) for p in spec.get("ports", []))
        case "ServiceEntry":
            return f"hosts {', '.join(spec.get('hosts', []))}"
        case "Deployment":
            return f"replicas {spec.get('replicas', 1)}"
        case "PeerAuthentication":
            return f"mtls {(spec.get('mtls') or {}).get('mode', 'UNSET')}"
    return ""
