"""Text to accepted objects and diagnostics: the one door through which configuration enters the mesh."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from meshloom.pilot.ingest.diagnostic import Diagnostic, Fault, Severity
from meshloom.pilot.ingest.documents import Document, InvalidYaml, split_documents
from meshloom.pilot.ingest.kinds import KINDS, NOT_YET, Kind
from meshloom.pilot.ingest.mesh_config import (
    CONFIG_MAP_KEY,
    CONFIG_MAP_NAME,
    MESH_CONFIG_KIND,
    parse_mesh_config,
)
from meshloom.pilot.ingest.place import Place
from meshloom.pilot.ingest.schema import Mismatch, convert, nearest, quoted, unknown_names
from meshloom.pilot.ingest.unimplemented import unimplemented
from meshloom.pilot.model.base import MeshObject, Namespace, ObjectKey, Origin, Value
from meshloom.pilot.model.build import AnyObject
from meshloom.pilot.model.kubernetes import ConfigMap, Kubernetes, ObjectMeta

DEFAULT_NAMESPACE = Namespace("default")
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_TOP_LEVEL = ("apiVersion", "kind", "metadata", "spec", "status")
_LIST_KINDS = ("List",)


class Accepted(Value, frozen=True):
    """An object that may enter the model, the document it was read from, and where that is."""

    object: AnyObject
    document: Mapping[str, Any]
    place: Place


class Parsed(Value, frozen=True, kw_only=True):
    """What a text holds.

    `rejected` names faulty objects whose identity could be read; `unreadable` says that there was text of
    which we cannot even say which objects it meant.
    """

    accepted: tuple[Accepted, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    rejected: frozenset[ObjectKey] = frozenset()
    unreadable: bool = False

    @property
    def has_errors(self) -> bool:
        return any(d.severity is Severity.ERROR for d in self.diagnostics)


def parse_text(text: str, source: str, namespace: Namespace = DEFAULT_NAMESPACE) -> Parsed:
    """Reads any number of YAML or JSON documents. `namespace` is for objects that name none."""
    reader = _Reader(source, namespace)
    for document in split_documents(text):
        reader.read(document)
    return reader.result()


def parse_mesh_config_text(text: str, source: str) -> Parsed:
    """Reads a `mesh.yaml`: one document that is a MeshConfig and nothing else."""
    reader = _Reader(source, DEFAULT_NAMESPACE)
    for document in split_documents(text):
        reader.read_mesh_config(document, ObjectKey(MESH_CONFIG_KIND, "", source))
    return reader.result()


class _Reader:
    """Collects what the documents of one text hold."""

    def __init__(self, source: str, namespace: Namespace) -> None:
        self._source = source
        self._namespace = namespace
        self._accepted: list[Accepted] = []
        self._diagnostics: list[Diagnostic] = []
        self._rejected: set[ObjectKey] = set()
        self._unreadable = False

    def result(self) -> Parsed:
        return Parsed(
            accepted=tuple(self._accepted),
            diagnostics=tuple(self._diagnostics),
            rejected=frozenset(self._rejected),
            unreadable=self._unreadable,
        )

    def read(self, document: Document) -> None:
        value = self._load(document)
        if isinstance(value, Mapping) and value.get("kind") in _LIST_KINDS:
            self._read_list(value.get("items"), document)
        elif value is not None:
            self._read_object(value, Place(self._source, document, ()))

    def _read_list(self, items: Any, document: Document) -> None:
        if not isinstance(items, list):
            self._unreadable = True
            fault = Fault(("items",), f"Invalid value: {quoted(items)}: must be a list")
            self._diagnostics.append(Place(self._source, document, ()).diagnose(fault, Severity.ERROR))
            return
        for index, item in enumerate(items):
            self._read_object(item, Place(self._source, document, ("items", index)))

    def read_mesh_config(self, document: Document, key: ObjectKey) -> None:
        if (value := self._load(document)) is None:
            return
        place = Place(self._source, document, ())
        config, errors, warnings = parse_mesh_config(value)
        self._diagnostics += [place.diagnose(fault, Severity.ERROR, key) for fault in errors]
        self._diagnostics += [place.diagnose(fault, Severity.WARNING, key) for fault in warnings]
        if config is None:
            self._rejected.add(key)
        else:
            self._accepted.append(
                Accepted(MeshObject(key=key, spec=config, origin=place.origin), value, place)
            )

    def _load(self, document: Document) -> Any:
        """None for text that is no YAML, which is on record then."""
        try:
            return document.load()
        except InvalidYaml as error:
            self._unreadable = True
            self._diagnostics.append(
                Diagnostic(
                    severity=Severity.ERROR,
                    source=self._source,
                    line=error.line,
                    message=f"invalid YAML: {error.reason}",
                )
            )
            return None

    def _read_object(self, value: Any, place: Place) -> None:
        if not isinstance(value, Mapping):
            self._unreadable = True
            fault = Fault((), f"a document must be an object, found {quoted(value)}")
            self._diagnostics.append(place.diagnose(fault, Severity.ERROR))
            return
        found = list(_kind_faults(value))
        if found:
            worst = max((severity for severity, _ in found), key=lambda s: s is Severity.ERROR)
            self._unreadable |= worst is Severity.ERROR
            self._diagnostics += [place.diagnose(fault, severity) for severity, fault in found]
            return
        self._read_known(value, _kind_of(value), place)

    def _read_known(self, value: Mapping[str, Any], kind: Kind, place: Place) -> None:
        try:
            metadata = convert(value.get("metadata") or {}, ObjectMeta)
        except Mismatch as error:
            self._unreadable = True
            faults = [fault.under(("metadata",)) for fault in error.faults]
            self._diagnostics += [place.diagnose(fault, Severity.ERROR) for fault in faults]
            return
        namespace = (metadata.namespace or self._namespace) if kind.namespaced else ""
        key = ObjectKey(kind.name, namespace, metadata.name or "")
        faults = [*_metadata_faults(metadata), *_top_level_faults(value, kind)]
        if kind.spec_required and value.get("spec") is None:
            faults.append(Fault(("spec",), "Required value"))
        try:
            spec: Any = convert(_content(value, kind), kind.spec)
            faults += [_in_spec(fault, kind) for fault in kind.check(spec)]
        except Mismatch as error:
            faults += [_in_spec(fault, kind) for fault in error.faults]
        if faults:
            self._rejected.add(key)
            self._unreadable |= not key.name
            self._diagnostics += [place.diagnose(fault, Severity.ERROR, key) for fault in faults]
            return
        for fault in _warnings(value, spec, kind):
            self._diagnostics.append(place.diagnose(fault, Severity.WARNING, key))
        self._accepted.append(Accepted(_object(key, spec, metadata, place.origin), value, place))
        if isinstance(spec, ConfigMap) and key.name == CONFIG_MAP_NAME and CONFIG_MAP_KEY in spec.data:
            line = place.document.line_of((*place.prefix, "data", CONFIG_MAP_KEY))
            inner = Document(spec.data[CONFIG_MAP_KEY], offset=line)
            self.read_mesh_config(inner, ObjectKey(MESH_CONFIG_KIND, key.namespace, key.name))


def _kind_faults(value: Mapping[str, Any]) -> Iterator[tuple[Severity, Fault]]:
    """Why we do not read this kind; nothing where we do."""
    api, name = value.get("apiVersion"), value.get("kind")
    for field, given in (("apiVersion", api), ("kind", name)):
        if not isinstance(given, str) or not given:
            yield Severity.ERROR, Fault((field,), "Required value", "for example kind: VirtualService")
    if not isinstance(api, str) or not isinstance(name, str) or not api or not name:
        return
    group, _, version = api.rpartition("/")
    known = KINDS.get((group, name))
    if known is not None and version not in known.versions:
        supported = ", ".join(f"{group}/{v}" if group else v for v in known.versions)
        yield Severity.ERROR, Fault(("apiVersion",), f"unknown version of {name}: {api}", f"use {supported}")
    elif known is None and name in NOT_YET.get(group, ()):
        yield Severity.WARNING, Fault(("kind",), f"{name} is not implemented yet: the object has no effect")
    elif known is None:
        names = [kind for known_group, kind in KINDS if known_group == group]
        hint = nearest(name, names)
        hint = hint if hint.startswith("did") else ""
        yield Severity.WARNING, Fault(("kind",), f"unknown kind {api} {name}: the object has no effect", hint)


def _kind_of(value: Mapping[str, Any]) -> Kind:
    return KINDS[value["apiVersion"].rpartition("/")[0], value["kind"]]


def _metadata_faults(metadata: ObjectMeta) -> Iterator[Fault]:
    rule = "lower case letters, digits, - and ."
    if not metadata.name:
        yield Fault(("metadata", "name"), "Required value", rule)
    elif not _NAME.fullmatch(metadata.name):
        yield Fault(("metadata", "name"), f'Invalid value: "{metadata.name}": not a valid name', rule)
    if metadata.namespace and not _NAME.fullmatch(metadata.namespace):
        where = ("metadata", "namespace")
        yield Fault(where, f'Invalid value: "{metadata.namespace}": not a valid name', rule)
    if metadata.creation_timestamp and _seconds(metadata.creation_timestamp) is None:
        where = ("metadata", "creationTimestamp")
        yield Fault(where, f'Invalid value: "{metadata.creation_timestamp}": must be an RFC 3339 time')


def _warnings(value: Mapping[str, Any], spec: Any, kind: Kind) -> Iterator[Fault]:
    """What there is to say of an object that is right."""
    for fault in unknown_names(value.get("metadata"), ObjectMeta):
        yield fault.under(("metadata",))
    content = _content(value, kind)
    advice = (*unimplemented(kind.name, content), *kind.advise(spec))
    foreign = unknown_names(content, kind.spec) if issubclass(kind.spec, Kubernetes) else ()
    for fault in (*advice, *foreign):
        yield _in_spec(fault, kind)


def _top_level_faults(value: Mapping[str, Any], kind: Kind) -> Iterator[Fault]:
    if kind.flat:
        return
    for name in value:
        if name not in _TOP_LEVEL:
            yield Fault((str(name),), f'unknown field "{name}"', nearest(str(name), list(_TOP_LEVEL)))


def _content(value: Mapping[str, Any], kind: Kind) -> Mapping[str, Any]:
    """What the kind's type describes. A missing spec is an empty one."""
    if not kind.flat:
        spec = value.get("spec")
        return {} if spec is None else spec
    return {name: inner for name, inner in value.items() if name not in _TOP_LEVEL}


def _in_spec(fault: Fault, kind: Kind) -> Fault:
    return fault if kind.flat else fault.under(("spec",))


def _object(key: ObjectKey, spec: Any, metadata: ObjectMeta, origin: Origin) -> AnyObject:
    created = _seconds(metadata.creation_timestamp) if metadata.creation_timestamp else None
    return MeshObject(
        key=key,
        spec=spec,
        origin=origin,
        labels=metadata.labels,
        annotations=metadata.annotations,
        created=created or 0.0,
    )


def _seconds(timestamp: str) -> float | None:
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return None
