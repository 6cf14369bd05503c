"""Short ways for tests to say what configuration is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshloom.pilot.ingest.diagnostic import Diagnostic, Severity
from meshloom.pilot.ingest.parse import Parsed, parse_text
from meshloom.pilot.model.build import build_model
from meshloom.pilot.model.mesh import MeshModel, Workload
from meshloom.pilot.store.text import dump_yaml

NETWORKING = "networking.istio.io/v1"
_VERSIONS = {"PeerAuthentication": "security.istio.io/v1", "Deployment": "apps/v1"}
_CORE = ("Service", "Namespace", "ServiceAccount", "ConfigMap", "Secret")


def document(kind: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> str:
    """One YAML document, `name` being `name` or `namespace/name`."""
    namespace, _, local = name.rpartition("/")
    version = "v1" if kind in _CORE else _VERSIONS.get(kind, NETWORKING)
    meta = {"name": local, **({"namespace": namespace} if namespace else {}), **metadata}
    return dump_yaml({"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec})


def parse(*documents: str) -> Parsed:
    return parse_text("---\n".join(documents), "test.yaml")


def model(*documents: str, workloads: tuple[Workload, ...] = ()) -> MeshModel:
    """A model of documents that must all be right."""
    parsed = parse(*documents)
    assert not parsed.has_errors, parsed.diagnostics
    return build_model((accepted.object for accepted in parsed.accepted), workloads)


def errors(parsed: Parsed) -> list[Diagnostic]:
    return [d for d in parsed.diagnostics if d.severity is Severity.ERROR]


def warnings(parsed: Parsed) -> list[Diagnostic]:
    return [d for d in parsed.diagnostics if d.severity is Severity.WARNING]


def faults(kind: str, spec: Mapping[str, Any]) -> list[str]:
    """`path: message` of each error of one object."""
    return [f"{d.path}: {d.message}" for d in errors(parse(document(kind, "default/tested", spec)))]
