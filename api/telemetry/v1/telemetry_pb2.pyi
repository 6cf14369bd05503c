from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Node(_message.Message):
    __slots__ = ("id", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Label(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class Series(_message.Message):
    __slots__ = ("id", "kind", "name", "labels", "bounds", "scale")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Series.Kind]
        COUNTER: _ClassVar[Series.Kind]
        HISTOGRAM: _ClassVar[Series.Kind]
    KIND_UNSPECIFIED: Series.Kind
    COUNTER: Series.Kind
    HISTOGRAM: Series.Kind
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    BOUNDS_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    id: int
    kind: Series.Kind
    name: str
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    bounds: _containers.RepeatedScalarFieldContainer[float]
    scale: int
    def __init__(self, id: _Optional[int] = ..., kind: _Optional[_Union[Series.Kind, str]] = ..., name: _Optional[str] = ..., labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ..., bounds: _Optional[_Iterable[float]] = ..., scale: _Optional[int] = ...) -> None: ...

class Values(_message.Message):
    __slots__ = ("epoch", "ids", "words", "dropped")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    ids: _containers.RepeatedScalarFieldContainer[int]
    words: _containers.RepeatedScalarFieldContainer[int]
    dropped: int
    def __init__(self, epoch: _Optional[int] = ..., ids: _Optional[_Iterable[int]] = ..., words: _Optional[_Iterable[int]] = ..., dropped: _Optional[int] = ...) -> None: ...

class ReportRequest(_message.Message):
    __slots__ = ("node", "series", "values")
    NODE_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    node: Node
    series: _containers.RepeatedCompositeFieldContainer[Series]
    values: _containers.RepeatedCompositeFieldContainer[Values]
    def __init__(self, node: _Optional[_Union[Node, _Mapping]] = ..., series: _Optional[_Iterable[_Union[Series, _Mapping]]] = ..., values: _Optional[_Iterable[_Union[Values, _Mapping]]] = ...) -> None: ...

class ReportResponse(_message.Message):
    __slots__ = ("received",)
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    received: int
    def __init__(self, received: _Optional[int] = ...) -> None: ...
