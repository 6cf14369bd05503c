"""Loopback addresses and ports for workloads that share a machine.

Each copy of a workload has an address of its own in 127.1.0.0/16, as a pod has in a cluster: so every
sidecar can listen on the same ports. Several supervisors may run at once; what keeps their choices apart
is an abstract Unix socket named after the address, which the kernel frees with the process that holds it.
"""

import random
import socket
from dataclasses import dataclass

from meshloom.cli.errors import CliError, Exit

_TRIES = 1000


@dataclass(slots=True)
class PodIp:
    """An address that is ours until released."""

    ip: str
    _claim: socket.socket

    def release(self) -> None:
        self._claim.close()

    def __str__(self) -> str:
        return self.ip


def claim_pod_ip() -> PodIp:
    """A loopback address that no other supervisor on this machine uses."""
    for _ in range(_TRIES):
        ip = f"127.1.{random.randint(0, 255)}.{random.randint(1, 254)}"
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0meshloom-pod-{ip}")
        except OSError:
            claim.close()
            continue
        return PodIp(ip, claim)
    raise CliError("no free address in 127.1.0.0/16", Exit.REFUSED, "end some of the meshes on this machine")


def free_port(ip: str = "127.0.0.1") -> int:
    """A TCP port that is free on `ip` now. The kernel hands the same one out again only after many others."""
    with socket.socket() as probe:
        probe.bind((ip, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(ip: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ip, port))
        except OSError:
            return False
    return True
