"""Istio's ServiceEntry and WorkloadEntry, every field of their schemas. Features D-04..D-06."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import msgspec
from meshloom.pilot.model.base import PortNumber, Schema, UInt32

Address = Annotated[str, msgspec.Meta(max_length=64)]


class Location(StrEnum):
    MESH_EXTERNAL = "MESH_EXTERNAL"
    MESH_INTERNAL = "MESH_INTERNAL"


class Resolution(StrEnum):
    """How a service's endpoints are found. Kubernetes services are STATIC, headless ones NONE."""

    NONE = "NONE"
    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"


class WorkloadEntry(Schema, frozen=True):
    """`address` is an IP, a DNS name or `unix://` and a path; without it `network` names where to find it.

    `ports` maps a service's port name to the number used here, and beats the service's targetPort.
    """

    address: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    ports: Annotated[Mapping[str, PortNumber], msgspec.Meta(max_length=128)] = {}
    labels: Annotated[Mapping[str, str], msgspec.Meta(max_length=256)] = {}
    network: str | None = None
    locality: str | None = None
    weight: UInt32 | None = None
    service_account: str | None = None


class ServiceEntryPort(Schema, frozen=True):
    number: PortNumber
    name: str
    protocol: str | None = None
    target_port: PortNumber | None = None


class WorkloadSelector(Schema, frozen=True):
    """ServiceEntry's own kind of selector, with `labels`."""

    labels: Mapping[str, str] = {}


class ServiceEntry(Schema, frozen=True):
    hosts: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=256)]
    addresses: Annotated[tuple[Address, ...], msgspec.Meta(max_length=256)] = ()
    ports: Annotated[tuple[ServiceEntryPort, ...], msgspec.Meta(max_length=256)] = ()
    location: Location = Location.MESH_EXTERNAL
    resolution: Resolution = Resolution.NONE
    endpoints: Annotated[tuple[WorkloadEntry, ...], msgspec.Meta(max_length=4096)] = ()
    workload_selector: WorkloadSelector | None = None
    export_to: tuple[str, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
