from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Port(_message.Message):
    __slots__ = ("number", "name")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    number: int
    name: str
    def __init__(self, number: _Optional[int] = ..., name: _Optional[str] = ...) -> None: ...

class Workload(_message.Message):
    __slots__ = ("name", "namespace", "address", "ports", "labels", "service_account", "owner", "locality", "weight", "mesh_tls")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    LOCALITY_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    MESH_TLS_FIELD_NUMBER: _ClassVar[int]
    name: str
    namespace: str
    address: str
    ports: _containers.RepeatedCompositeFieldContainer[Port]
    labels: _containers.ScalarMap[str, str]
    service_account: str
    owner: str
    locality: str
    weight: int
    mesh_tls: bool
    def __init__(self, name: _Optional[str] = ..., namespace: _Optional[str] = ..., address: _Optional[str] = ..., ports: _Optional[_Iterable[_Union[Port, _Mapping]]] = ..., labels: _Optional[_Mapping[str, str]] = ..., service_account: _Optional[str] = ..., owner: _Optional[str] = ..., locality: _Optional[str] = ..., weight: _Optional[int] = ..., mesh_tls: _Optional[bool] = ...) -> None: ...

class HealthUpdate(_message.Message):
    __slots__ = ("status", "reason")
    class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATUS_UNSPECIFIED: _ClassVar[HealthUpdate.Status]
        HEALTHY: _ClassVar[HealthUpdate.Status]
        UNHEALTHY: _ClassVar[HealthUpdate.Status]
        DRAINING: _ClassVar[HealthUpdate.Status]
    STATUS_UNSPECIFIED: HealthUpdate.Status
    HEALTHY: HealthUpdate.Status
    UNHEALTHY: HealthUpdate.Status
    DRAINING: HealthUpdate.Status
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    status: HealthUpdate.Status
    reason: str
    def __init__(self, status: _Optional[_Union[HealthUpdate.Status, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class Deregister(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RegistrationRequest(_message.Message):
    __slots__ = ("register", "health", "deregister")
    REGISTER_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    DEREGISTER_FIELD_NUMBER: _ClassVar[int]
    register: Workload
    health: HealthUpdate
    deregister: Deregister
    def __init__(self, register: _Optional[_Union[Workload, _Mapping]] = ..., health: _Optional[_Union[HealthUpdate, _Mapping]] = ..., deregister: _Optional[_Union[Deregister, _Mapping]] = ...) -> None: ...

class ServiceAddress(_message.Message):
    __slots__ = ("service", "fqdn", "port_name", "service_port", "address", "port")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    FQDN_FIELD_NUMBER: _ClassVar[int]
    PORT_NAME_FIELD_NUMBER: _ClassVar[int]
    SERVICE_PORT_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    service: str
    fqdn: str
    port_name: str
    service_port: int
    address: str
    port: int
    def __init__(self, service: _Optional[str] = ..., fqdn: _Optional[str] = ..., port_name: _Optional[str] = ..., service_port: _Optional[int] = ..., address: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...

class RegistrationResponse(_message.Message):
    __slots__ = ("services", "http_proxy")
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    HTTP_PROXY_FIELD_NUMBER: _ClassVar[int]
    services: _containers.RepeatedCompositeFieldContainer[ServiceAddress]
    http_proxy: str
    def __init__(self, services: _Optional[_Iterable[_Union[ServiceAddress, _Mapping]]] = ..., http_proxy: _Optional[str] = ...) -> None: ...
