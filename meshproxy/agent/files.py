"""Resources in files: a DiscoveryResponse as YAML, JSON or binary, followed as it is replaced.

A file is looked at once a second: three `stat` calls cost less than a watch descriptor is worth, and they see
every way of replacing a file (rename, symlink swap, write in place).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from meshloom.meshproxy.agent.dialect import Change
from meshloom.meshproxy.bootstrap.document import Document, UnreadableDocument, path_text
from meshloom.meshproxy.bootstrap.faults import faults
from meshloom.meshproxy.resources.protos import SECRET, load_types_in
from meshloom.meshproxy.resources.references import inline_files
from meshloom.meshproxy.resources.source import File
from meshloom.runtime.log import Log

POLL_S = 1.0

log = Log("files")


class UnreadableResources(Exception):
    """A file holds no resources of the type that is looked for in it; the message names file and line."""


@dataclass(slots=True)
class FileSource:
    """Follows one file. `run` ends only when cancelled."""

    source: File
    type_url: str
    complete: bool
    """Whether the file names everything there is of its type."""
    take: Callable[[Change], str | None]
    failed: Callable[[str], None]

    async def run(self) -> None:
        seen: object = None
        others: tuple[str, ...] = ()
        while True:
            signature = _signature((self.source.path, self.source.watched_directory, *others))
            if signature != seen:
                seen = signature
                others = self._read()
                # What the secrets in it name counts from now on.
                seen = _signature((self.source.path, self.source.watched_directory, *others))
            await asyncio.sleep(POLL_S)

    def _read(self) -> tuple[str, ...]:
        """Take in the file as it is now; returns the files that its resources name in turn."""
        try:
            change = read_resources(self.source.path, self.type_url, complete=self.complete)
            error = self.take(change)
        except UnreadableResources as fault:
            self.failed(str(fault))
            return ()
        if error is not None:
            self.failed(f"{self.source.path}: {error}")
        return named_files(change)


def read_resources(path: str, type_url: str, *, complete: bool) -> Change:
    """Read a DiscoveryResponse. Raises UnreadableResources."""
    response = _response(path)
    wrong = [packed.type_url for packed in response.resources if packed.type_url != type_url]
    if wrong:
        raise UnreadableResources(f"{path}: holds a {wrong[0]}, want {type_url}")
    content = b"".join(packed.value for packed in response.resources)
    version = response.version_info or hashlib.sha256(content).hexdigest()[:16]
    resources = tuple(("", version, packed.value) for packed in response.resources)
    return Change(type_url, version, resources, complete=complete)


def named_files(change: Change) -> tuple[str, ...]:
    """The certificate and key files that secrets name: they may change without the file that names them."""
    names: list[str] = []

    def collect(source: Any) -> bytes:
        names.append(source.filename)
        return b""

    if change.type_url == SECRET:
        for _, _, body in change.resources:
            inline_files(change.type_url, body, collect)
    return tuple(dict.fromkeys(name for name in names if name))


def _response(path: str) -> Any:
    from envoy.service.discovery.v3 import discovery_pb2

    if path.endswith((".pb", ".bin")):
        try:
            return discovery_pb2.DiscoveryResponse.FromString(Path(path).read_bytes())
        except (OSError, DecodeError) as error:
            raise UnreadableResources(f"{path}: {error}") from error
    try:
        document = Document.read(path)
    except UnreadableDocument as error:
        raise UnreadableResources(str(error)) from error
    load_types_in(document.content)
    response = discovery_pb2.DiscoveryResponse()
    try:
        return json_format.ParseDict(document.content, response)
    except (json_format.ParseError, TypeError, AttributeError) as error:
        found = [
            f"{path}:{document.line_of(fault.path) or 1}: {path_text(fault.path)}: {fault.reason}"
            for fault in faults(document.content, discovery_pb2.DiscoveryResponse.DESCRIPTOR)
        ]
        raise UnreadableResources("; ".join(found) or f"{path}: {error}") from error


def _signature(paths: Iterable[str]) -> tuple[object, ...]:
    return tuple(_stat(path) for path in paths if path)


def _stat(path: str) -> object:
    try:
        found = os.stat(path)
    except OSError as error:
        return error.errno
    return (found.st_ino, found.st_mtime_ns, found.st_size)
