"""PeerAuthentication: the rules of its schema's CEL expressions."""

from __future__ import annotations

from collections.abc import Iterator

from meshloom.pilot.ingest.checks.shared import check_selector, invalid
from meshloom.pilot.ingest.diagnostic import Fault, Path
from meshloom.pilot.model.peer_authentication import PeerAuthentication


def check_peer_authentication(spec: PeerAuthentication) -> Iterator[Fault]:
    labels = spec.selector.match_labels if spec.selector else {}
    yield from check_selector(labels, ("selector", "matchLabels"))
    if spec.port_level_mtls and not labels:
        hint = "name the workloads in selector.matchLabels"
        yield Fault(("portLevelMtls",), "portLevelMtls requires selector", hint)
    for port in spec.port_level_mtls:
        at: Path = ("portLevelMtls", port)
        if not (port.isascii() and port.isdigit()):
            yield invalid(at, port, f"type conversion error from '{port}' to 'int'", "a workload port number")
        elif not 1 <= int(port) <= 65535:
            yield invalid(at, port, "port must be between 1-65535")
