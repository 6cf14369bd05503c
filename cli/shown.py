"""Tells the person at the terminal what runs where."""

from dataclasses import asdict

import click
from meshloom.cli.context import MeshAddresses
from meshloom.cli.local.mesh import LocalMesh
from meshloom.cli.output import machine


def show_mesh(where: MeshAddresses, mesh: LocalMesh, output: str) -> None:
    """Printed once, when everything serves."""
    copies = [
        {"name": c.name, "namespace": c.spec.namespace, "deployment": c.spec.owner, "address": c.ip}
        for c in mesh.ready()
    ]
    if machine(output, {**asdict(where), "copies": copies}):
        return
    click.secho("The mesh runs.", fg="green", bold=True)
    rows = [
        ("pilot", where.pilot_grpc),
        ("auth", where.auth_grpc),
        ("metrics", f"http://{where.mixer_http}/metrics"),
    ]
    rows += [(f"gateway :{port}", f"http://{address}") for port, address in where.gateway.items()]
    for name, address in rows:
        click.echo(f"  {name:<14}{address}")
    owners: dict[str, int] = {}
    for copy in mesh.ready():
        owners[f"{copy.spec.namespace}/{copy.spec.owner}"] = (
            owners.get(f"{copy.spec.namespace}/{copy.spec.owner}", 0) + 1
        )
    for owner, count in sorted(owners.items()):
        click.echo(f"  {owner:<30}{count} {'copy' if count == 1 else 'copies'}")
    click.echo("Ctrl-C ends it.")
