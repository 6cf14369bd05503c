"""Istio's PeerAuthentication, every field of its schema. Feature S-07."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import msgspec
from meshloom.pilot.model.base import LabelSelector, Schema


class MtlsMode(StrEnum):
    """UNSET inherits from the next wider scope; the mesh's own default is PERMISSIVE."""

    UNSET = "UNSET"
    DISABLE = "DISABLE"
    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"


class MutualTls(Schema, frozen=True):
    mode: MtlsMode = MtlsMode.UNSET


class PeerAuthentication(Schema, frozen=True):
    """`port_level_mtls` keys are workload port numbers in decimal, not service ports."""

    selector: LabelSelector | None = None
    mtls: MutualTls | None = None
    port_level_mtls: Annotated[Mapping[str, MutualTls], msgspec.Meta(min_length=1)] = {}
