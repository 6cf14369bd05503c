"""A resource that the core accepts, and what has to be known of it to subscribe, bind and resolve."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from meshloom.fastpath import _core
from meshloom.meshproxy.resources.cluster_types import with_plain_type
from meshloom.meshproxy.resources.protos import UnknownType, parse
from meshloom.meshproxy.resources.references import Reference, inline_files, references
from meshloom.meshproxy.resources.resolvers import InvalidResolver, asking_of
from meshloom.meshproxy.resources.source import InvalidSource

MAX_INLINED_FILE = 16 * 1024 * 1024


class Rejected(Exception):
    """A resource cannot be accepted; the last good one stays in force."""

    def __init__(self, name: str, path: str, reason: str) -> None:
        super().__init__(": ".join(part for part in (name, path, reason) if part))
        self.name, self.path, self.reason = name, path, reason


@dataclass(frozen=True, slots=True)
class Compiled:
    type_url: str
    name: str
    version: str
    body: bytes
    """The message as workers get it: every file's content in place of its name."""
    received: bytes
    """The message as it was given, for whoever asks what is configured."""
    listen: tuple[Mapping[str, Any], ...] = ()
    references: tuple[Reference, ...] = ()
    dns_hosts: tuple[str, ...] = ()


def compile_resource(type_url: str, body: bytes, version: str) -> Compiled:
    """Compile one resource as a worker will. Raises Rejected, naming the field at fault."""
    name = ""
    try:
        inlined = inline_files(type_url, with_plain_type(type_url, body), read_data_source)
        summary = _core.check(type_url, inlined)
        name = summary.name
        if summary.dns_targets:
            asking_of(parse(type_url, inlined))
        return Compiled(
            type_url=type_url,
            name=name,
            version=version,
            body=inlined,
            received=body,
            listen=tuple(_listen(each) for each in summary.listens),
            references=references(type_url, inlined),
            dns_hosts=tuple(dict.fromkeys(target.host for target in summary.dns_targets)),
        )
    except _core.InvalidResource as error:
        raise Rejected(name_of(type_url, body), error.path, error.reason) from error
    except (InvalidSource, InvalidResolver) as error:
        raise Rejected(name, error.path, error.reason) from error
    except UnreadableData as error:
        raise Rejected(name_of(type_url, body), "", str(error)) from error
    except (UnknownType, DecodeError) as error:
        raise Rejected(name, "", f"cannot be decoded as {type_url}: {error}") from error


class UnreadableData(Exception):
    """A file or environment variable that a resource names cannot be read."""


def read_data_source(source: Any) -> bytes:
    """The content that a DataSource names. Raises UnreadableData."""
    if source.WhichOneof("specifier") == "environment_variable":
        value = os.environ.get(source.environment_variable)
        if value is None:
            raise UnreadableData(f"environment variable {source.environment_variable} is not set")
        return value.encode()
    try:
        with Path(source.filename).open("rb") as file:
            content = file.read(MAX_INLINED_FILE + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UnreadableData(f"{source.filename}: {getattr(error, 'strerror', error)}") from error
    if len(content) > MAX_INLINED_FILE:
        raise UnreadableData(f"{source.filename}: longer than {MAX_INLINED_FILE} bytes")
    return content


def name_of(type_url: str, body: bytes) -> str:
    """The name in a resource that may not compile; empty when it cannot be found."""
    try:
        message = parse(type_url, body)
    except (UnknownType, DecodeError):
        return ""
    return str(getattr(message, "name", "") or getattr(message, "cluster_name", ""))


def _listen(listen: _core.Listen) -> Mapping[str, Any]:
    """As JSON, without what is as always."""
    where: dict[str, Any] = {"address": listen.host, "port": listen.port, "backlog": listen.backlog}
    options = [[level, name, value.hex(), when] for level, name, value, when in listen.options]
    extras = {"ipv4_compat": listen.ipv4_compat, "mode": listen.mode, "options": options}
    return where | {name: value for name, value in extras.items() if value}
