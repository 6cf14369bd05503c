"""Which port of its sidecar a workload dials for each service port, where no traffic is captured.

The number is told to programs at their start (`REVIEWS_SERVICE_PORT` and the like), so a service port that
has one keeps it for as long as it exists. A new one starts from a hash of its name, which gives the same
numbers after a restart of Pilot in all but the rare case of a collision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from meshloom.pilot.model.base import Value
from meshloom.pilot.model.mesh import MeshModel, ServicePortKey
from meshloom.pilot.model.protocol import Protocol

HTTP_PROXY_PORT = 15002
FIRST_PORT = 20000
# Ends below the ports that Linux gives to outgoing connections (32768), which could be taken.
PORT_COUNT = 12000


class OutboundPorts(Value, frozen=True):
    """Immutable; `extended` makes the next one."""

    by_key: Mapping[ServicePortKey, int] = {}

    def extended(self, model: MeshModel) -> OutboundPorts:
        """Keeps the numbers of `model`'s service ports and adds the missing ones; the rest become free.

        With more than `PORT_COUNT` / 2 service ports the last ones get none: the HTTP proxy reaches them.
        """
        keys = [
            ServicePortKey(service.namespace, service.hostname, port.number)
            for service in model.services
            for port in service.ports
            if port.protocol is not Protocol.UDP
        ]
        kept = {key: self.by_key[key] for key in keys if key in self.by_key}
        # Programs listen on target ports at the very address that the numbers are for.
        reserved = {port.target_port or port.number for service in model.services for port in service.ports}
        taken = set(kept.values()) | {port for port in reserved if isinstance(port, int)}
        for key in keys:
            if key not in kept and len(kept) < PORT_COUNT // 2:
                kept[key] = _free_port(key, taken)
                taken.add(kept[key])
        return self if kept == self.by_key else OutboundPorts(kept)


def _free_port(key: ServicePortKey, taken: set[int]) -> int:
    digest = hashlib.blake2b(f"{key.namespace}/{key.hostname}:{key.port}".encode(), digest_size=8).digest()
    slot = int.from_bytes(digest, "big") % PORT_COUNT
    while FIRST_PORT + slot in taken:
        slot = (slot + 1) % PORT_COUNT
    return FIRST_PORT + slot
