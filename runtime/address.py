"""Where a service listens, and how it tells: `host:port` flags in, a file of bound addresses out."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class InvalidAddress(ValueError):
    """A `host:port` that is none. Its text says what would be right."""


@dataclass(frozen=True, slots=True)
class Address:
    """An IP literal or host name, and a TCP port; port 0 asks the kernel for a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `127.0.0.1:15010`, `[::1]:0` or `localhost:80`. Raises InvalidAddress."""
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise InvalidAddress(f"{text!r} is not an address: want host:port, for example 127.0.0.1:15010")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def publish_addresses(path: Path | None, bound: Mapping[str, Address]) -> None:
    """Tell whoever started us where we listen: a JSON object of name to `host:port`.

    The file appears whole or not at all, and only once the service serves, so its appearance is also
    the sign of readiness.
    """
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps({name: str(address) for name, address in bound.items()}) + "\n")
    draft.replace(path)


def read_addresses(path: Path) -> dict[str, Address]:
    """What `publish_addresses` wrote. Raises FileNotFoundError while the service is not ready."""
    raw = json.loads(path.read_text())
    return {name: Address.parse(text) for name, text in raw.items()}
