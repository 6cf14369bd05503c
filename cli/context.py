"""Which mesh a command speaks to: a running `meshloom up` leaves its addresses where other commands find
them.

The folder is $MESHLOOM_HOME, else ./.meshloom if there is one, else ~/.meshloom.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from meshloom.cli.errors import CliError, Exit

_NAME = "mesh.json"


@dataclass(frozen=True, slots=True)
class MeshAddresses:
    """Where the parts of a running mesh are, as `host:port`."""

    pid: int
    trust_domain: str
    pilot_grpc: str
    pilot_http: str
    auth_grpc: str
    mixer_grpc: str
    mixer_http: str
    gateway: Mapping[str, str]
    """Gateway port -> local address; empty without a gateway."""
    auth_state: str
    """The CA's state directory: its root, and the key that signs registration tokens."""


def home() -> Path:
    """The folder of the mesh that commands speak to."""
    if given := os.environ.get("MESHLOOM_HOME"):
        return Path(given).absolute()
    here = Path.cwd() / ".meshloom"
    return here if here.is_dir() else Path.home() / ".meshloom"


def running_mesh(folder: Path | None = None) -> MeshAddresses | None:
    """The mesh that runs from the folder now, or None."""
    path = (folder or home()) / _NAME
    try:
        found = MeshAddresses(**json.loads(path.read_text()))
        os.kill(found.pid, 0)
    except (OSError, ValueError, TypeError):
        return None  # none, one that ended without a word, or one of another version
    return found


def pilot_address(given: str | None) -> str:
    """Pilot's gRPC address: from the flag (or $MESHLOOM_PILOT), else from the running mesh."""
    if given:
        return given
    if (mesh := running_mesh()) is None:
        raise CliError(
            f"no mesh is running from {home()}",
            Exit.UNREACHABLE,
            "start one with `meshloom up DIR`, or name Pilot with --pilot HOST:PORT",
        )
    return mesh.pilot_grpc


class MeshHome(AbstractContextManager["MeshHome"]):
    """The folder of a mesh that is about to run here. One at a time: the lock lives as long as the
    process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs, self.state = folder / "log", folder / "auth"
        self._lock: IO[str] | None = None

    def __enter__(self) -> "MeshHome":
        for folder in (self.folder, self.logs, self.state):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CliError(
                f"a mesh is already running from {self.folder}",
                Exit.REFUSED,
                "end it first, or run this one with another folder in MESHLOOM_HOME",
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        (self.folder / _NAME).unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()

    def publish(self, addresses: MeshAddresses) -> None:
        draft = self.folder / f".{_NAME}"
        draft.write_text(json.dumps(asdict(addresses), indent=1) + "\n")
        draft.replace(self.folder / _NAME)
