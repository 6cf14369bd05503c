"""What every typed object of the mesh is made of: the two Struct bases, identity, origin and metadata.

`Schema` classes mirror a published schema field by field (camelCase outside, snake_case here) and refuse
unknown fields. `Value` classes are our own. Both are frozen: a model is replaced, never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Generic, NewType, TypeVar

import msgspec

Hostname = NewType("Hostname", str)
Namespace = NewType("Namespace", str)
Labels = Mapping[str, str]

PortNumber = Annotated[int, msgspec.Meta(ge=1, le=65535)]
UInt32 = Annotated[int, msgspec.Meta(ge=0, le=4294967295)]
UInt64 = Annotated[int, msgspec.Meta(ge=0)]
Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class Schema(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """Base of the classes that mirror a published schema."""


class Value(msgspec.Struct, frozen=True):
    """Base of our own immutable values."""


class Origin(Value, frozen=True):
    """Where an object was written: a file (or `api`, `registry`) and its first line, from 1."""

    source: str
    line: int = 1

    def __str__(self) -> str:
        return f"{self.source}:{self.line}"


class ObjectKey(Value, frozen=True, order=True):
    """Names one object. API versions share the key; cluster-scoped kinds have no namespace."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


S_co = TypeVar("S_co", covariant=True)


class MeshObject(Value, Generic[S_co], frozen=True, kw_only=True):
    """One accepted object: who it is, what it says, where it was written, and when it was made.

    `created` is in seconds since the epoch, 0.0 where unrecorded; "the oldest wins" compares `age_order`.
    """

    key: ObjectKey
    spec: S_co
    origin: Origin
    labels: Labels = {}
    annotations: Labels = {}
    created: float = 0.0

    @property
    def name(self) -> str:
        return self.key.name

    @property
    def namespace(self) -> Namespace:
        return Namespace(self.key.namespace)

    @property
    def age_order(self) -> tuple[float, str, str]:
        """Sorts oldest first; ties by name and namespace, as Istio does."""
        return (self.created, self.key.name, self.key.namespace)


class LabelSelector(Schema, frozen=True):
    """Istio's `selector` / `workloadSelector` of policies and rules."""

    match_labels: Mapping[str, str] = {}


def labels_match(selector: Labels, labels: Labels) -> bool:
    """Every pair of `selector` is in `labels`; an empty selector matches everything."""
    return selector.items() <= labels.items()
