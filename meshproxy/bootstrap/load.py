"""Reads the bootstrap: text in, `Bootstrap` out, or all of its faults at once, each with file and line."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from meshloom.fastpath import _core
from meshloom.meshproxy.bootstrap.document import (
    Document,
    FieldPath,
    UnreadableDocument,
    parse_path,
    path_text,
)
from meshloom.meshproxy.bootstrap.faults import REFUSED, Fault, faults
from meshloom.meshproxy.bootstrap.implemented import unimplemented
from meshloom.meshproxy.bootstrap.lenient import respelled
from meshloom.meshproxy.bootstrap.links import shared_addresses, unknown_clusters, unknown_secrets
from meshloom.meshproxy.bootstrap.overload import overload_faults
from meshloom.meshproxy.bootstrap.runtime import runtime_faults, runtime_values, settle
from meshloom.meshproxy.options import Options
from meshloom.meshproxy.resources.compiled import Compiled, Rejected, compile_resource
from meshloom.meshproxy.resources.protos import CLUSTER, LISTENER, SECRET, load_types_in
from meshloom.meshproxy.resources.resolvers import InvalidResolver, asking_of
from meshloom.meshproxy.resources.source import (
    Grpc,
    InvalidSource,
    Source,
    fetch_timeout,
    parse_api_source,
    parse_config_source,
)


class InvalidBootstrap(Exception):
    """The bootstrap cannot be served; `faults` are lines for people."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What a proxy is told before it can ask anybody."""

    message: Any
    """envoy.config.bootstrap.v3.Bootstrap, as given."""
    node: Any
    """envoy.config.core.v3.Node, with the command line's overrides and who we are."""
    static: tuple[Compiled, ...]
    ads: Grpc | None
    lds: tuple[Source, float] | None
    """Where listeners come from, and how long to wait for the first ones, in seconds."""
    cds: tuple[Source, float] | None
    admin: Any
    """envoy.config.core.v3.Address, or None."""


def load(options: Options) -> Bootstrap:
    """Read, merge and compile everything that the command line names. Raises InvalidBootstrap."""
    from envoy.config.bootstrap.v3 import bootstrap_pb2

    documents = _documents(options)
    report = _Report(documents)
    message = bootstrap_pb2.Bootstrap()
    for document in documents:
        message.MergeFrom(_parse(document, bootstrap_pb2.Bootstrap, report))
    report.end()
    for fault in unimplemented(message):
        report.add(fault.path, fault.reason)
    for fault in overload_faults(message):
        report.add(fault.path, fault.reason)
    try:
        asking_of(message)
    except InvalidResolver as invalid:
        report.add(parse_path(invalid.path), invalid.reason)
    _name_listeners(message.static_resources)
    runtime = runtime_values(message)
    for fault in runtime_faults(runtime):
        report.add(fault.path, fault.reason)
    settle(message.static_resources, runtime)
    static = tuple(_compile_static(message.static_resources, report))
    for fault in (
        *unknown_clusters(message.static_resources),
        *shared_addresses(message.static_resources, static),
        *unknown_secrets(message.static_resources, static),
    ):
        report.add(fault.path, fault.reason)
    dynamic = message.dynamic_resources
    loaded = Bootstrap(
        message=message,
        node=_node(message, options),
        static=static,
        ads=_parsed(dynamic, "ads_config", lambda raw: parse_api_source(raw, ""), report),
        lds=_parsed(dynamic, "lds_config", _timed_source, report),
        cds=_parsed(dynamic, "cds_config", _timed_source, report),
        admin=message.admin.address
        if message.HasField("admin") and message.admin.HasField("address")
        else None,
    )
    report.end()
    return loaded


class _Report:
    """Collects faults as lines `file:line: path: reason`."""

    def __init__(self, documents: Sequence[Document]) -> None:
        # What is given later is merged over what was given before: look there first.
        self._documents = tuple(reversed(documents))
        self._lines: list[tuple[int, str]] = []

    def add(self, path: FieldPath, reason: str) -> None:
        for document in self._documents:
            if path and document.line_of(path[:1]) is not None:
                self.add_in(document, path, reason)
                return
        self.add_in(self._documents[-1], path, reason)

    def add_in(self, document: Document, path: FieldPath, reason: str) -> None:
        line = document.line_of(path)
        where = f"{document.name}:{line}" if line else document.name
        text = f"{where}: {path_text(path)}: {reason}" if path else f"{where}: {reason}"
        self._lines.append((line or 0, text))

    def end(self) -> None:
        """Raises InvalidBootstrap if there was a fault."""
        if self._lines:
            # In the order of the file, as one reads and mends it.
            raise InvalidBootstrap([text for _, text in sorted(self._lines, key=lambda entry: entry[0])])


def _documents(options: Options) -> list[Document]:
    try:
        documents = [Document.read(options.config_path)] if options.config_path else []
        if options.config_yaml:
            documents.append(Document.parse("--config-yaml", options.config_yaml))
    except UnreadableDocument as error:
        raise InvalidBootstrap([str(error)]) from error
    return documents


def _parse(document: Document, message_type: Any, report: _Report) -> Any:
    message = message_type()
    load_types_in(document.content)
    try:
        json_format.ParseDict(document.content, message)
        return message
    except REFUSED:
        # Spelled as only Envoy's own parser takes it, or wrong: few files are either.
        content = respelled(document.content, message_type.DESCRIPTOR)
    try:
        return json_format.ParseDict(content, message_type())
    except REFUSED as error:
        for fault in list(faults(content, message_type.DESCRIPTOR)) or [Fault((), str(error))]:
            report.add_in(document, fault.path, fault.reason)
        return message_type()


def _name_listeners(static: Any) -> None:
    """A listener needs no name of its own; here it gets one that is the same in every process."""
    taken = {listener.name for listener in static.listeners}
    for index, listener in enumerate(static.listeners):
        if not listener.name:
            listener.name = next(
                name for n in itertools.count() if (name := f"listener_{index + n}") not in taken
            )
            taken.add(listener.name)


def _compile_static(resources: Any, report: _Report) -> Iterable[Compiled]:
    for field, type_url in (("clusters", CLUSTER), ("secrets", SECRET), ("listeners", LISTENER)):
        seen: dict[str, int] = {}
        for index, raw in enumerate(getattr(resources, field)):
            at: FieldPath = ("static_resources", field, index)
            try:
                compiled = compile_resource(type_url, raw.SerializeToString(deterministic=True), "")
            except Rejected as fault:
                report.add((*at, *parse_path(fault.path)), fault.reason)
                continue
            if compiled.name in seen and compiled.name:
                report.add(
                    (*at, "name"), f"{compiled.name!r} is also the name of {field}[{seen[compiled.name]}]"
                )
            seen.setdefault(compiled.name, index)
            yield compiled


def _parsed(owner: Any, field: str, parse: Callable[[Any], Any], report: _Report) -> Any:
    if not owner.HasField(field):
        return None
    try:
        return parse(getattr(owner, field))
    except InvalidSource as fault:
        report.add(("dynamic_resources", field, *parse_path(fault.path)), fault.reason)
        return None


def _timed_source(raw: Any) -> tuple[Source, float]:
    return parse_config_source(raw), fetch_timeout(raw)


def _node(message: Any, options: Options) -> Any:
    node = type(message.node)()
    node.CopyFrom(message.node)
    node.id = options.service_node or node.id
    node.cluster = options.service_cluster or node.cluster
    if options.service_zone:
        node.locality.zone = options.service_zone
    node.user_agent_name = "meshproxy"
    numbers = [int(part) for part in _core.__version__.split(".")[:3]]
    build = node.user_agent_build_version.version
    build.major_number, build.minor_number, build.patch = (*numbers, 0, 0)[:3]
    return node
