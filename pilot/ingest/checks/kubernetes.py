"""Kubernetes Services and Deployments, as far as a mistake in them misroutes traffic."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from meshloom.pilot.ingest.checks.shared import duplicates
from meshloom.pilot.ingest.diagnostic import Fault
from meshloom.pilot.model.base import labels_match
from meshloom.pilot.model.kubernetes import Deployment, KubernetesService, Secret


def check_service(spec: KubernetesService) -> Iterator[Fault]:
    if len(spec.ports) > 1:
        for index, port in enumerate(spec.ports):
            if not port.name:
                hint = "ports of a service with several need names"
                yield Fault(("ports", index, "name"), "Required value", hint)
    for name in duplicates(port.name for port in spec.ports if port.name):
        yield Fault(("ports",), f'Duplicate value: "{name}"')
    if spec.type == "ExternalName" and not spec.external_name:
        yield Fault(("externalName",), "Required value", "the DNS name that the service stands for")


def check_secret(spec: Secret) -> Iterator[Fault]:
    """Values are never shown."""
    for name, value in spec.data.items():
        try:
            base64.b64decode("".join(value.split()), validate=True)
        except ValueError:
            yield Fault(("data", name), "Invalid value: must be base64", "plain text goes to stringData")


def check_deployment(spec: Deployment) -> Iterator[Fault]:
    labels = spec.template.metadata.labels
    if not labels_match(spec.selector.match_labels, labels):
        yield Fault(("template", "metadata", "labels"), "`selector` does not match template `labels`")
    if spec.replicas < 0:
        yield Fault(("replicas",), f"Invalid value: {spec.replicas}: must be greater than or equal to 0")
