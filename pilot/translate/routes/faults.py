"""Injected faults and cross-origin answers: the two per-route filter settings (TM-22, TM-25)."""

from __future__ import annotations

from typing import Final

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.common.fault.v3 import fault_pb2 as common_fault_pb2
from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2
from envoy.type.v3 import percent_pb2
from meshloom.pilot.model.virtual_service import (
    CorsPolicy,
    FaultAbort,
    FaultDelay,
    HttpFault,
    Percent,
    StringMatch,
    UnmatchedPreflights,
)
from meshloom.pilot.translate.protos import boolean, duration
from meshloom.pilot.translate.routes.matching import string_matcher

FAULT_FILTER: Final = "envoy.filters.http.fault"
CORS_FILTER: Final = "envoy.filters.http.cors"
_PER_PERCENT = 10_000  # in a million


def fraction(percent: Percent | None, default: float = 0.0) -> percent_pb2.FractionalPercent:
    """Percent with a granularity of one in a million."""
    value = default if percent is None else percent.value
    return percent_pb2.FractionalPercent(
        numerator=round(value * _PER_PERCENT), denominator=percent_pb2.FractionalPercent.MILLION
    )


def fault(rule: HttpFault) -> fault_pb2.HTTPFault:
    made = fault_pb2.HTTPFault()
    if rule.delay is not None and rule.delay.fixed_delay is not None:
        made.delay.CopyFrom(_delay(rule.delay))
    if rule.abort is not None:
        made.abort.CopyFrom(_abort(rule.abort))
    return made


def cors(rule: CorsPolicy) -> cors_pb2.CorsPolicy:
    origins = rule.allow_origins or tuple(StringMatch(exact=origin) for origin in rule.allow_origin)
    made = cors_pb2.CorsPolicy(
        allow_origin_string_match=[string_matcher(origin) for origin in origins],
        allow_methods=",".join(rule.allow_methods),
        allow_headers=",".join(rule.allow_headers),
        expose_headers=",".join(rule.expose_headers),
        filter_enabled=base_pb2.RuntimeFractionalPercent(default_value=fraction(None, default=100.0)),
    )
    if rule.max_age is not None:
        made.max_age = str(int(rule.max_age.total_seconds()))
    if rule.allow_credentials is not None:
        made.allow_credentials.CopyFrom(boolean(rule.allow_credentials))
    if rule.unmatched_preflights is UnmatchedPreflights.IGNORE:
        made.forward_not_matching_preflights.CopyFrom(boolean(False))
    return made


def _delay(rule: FaultDelay) -> common_fault_pb2.FaultDelay:
    share = rule.percentage or Percent(value=float(rule.percent or 0))
    made = common_fault_pb2.FaultDelay(percentage=fraction(share))
    if rule.fixed_delay is not None:
        made.fixed_delay.CopyFrom(duration(rule.fixed_delay))
    return made


def _abort(rule: FaultAbort) -> fault_pb2.FaultAbort:
    made = fault_pb2.FaultAbort(percentage=fraction(rule.percentage))
    if rule.grpc_status is not None:
        made.grpc_status = grpc.StatusCode[rule.grpc_status].value[0]
    else:
        made.http_status = rule.http_status or 0
    return made
