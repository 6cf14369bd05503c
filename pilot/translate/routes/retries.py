"""Retry policies (R-01..R-03, semantics 20)."""

from __future__ import annotations

from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from meshloom.pilot.model.virtual_service import HttpRetry
from meshloom.pilot.translate.protos import duration, pack, u32

DEFAULT_ATTEMPTS = 2
DEFAULT_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
_HOST_REPICKS = 5
_STATUS_CODES = "retriable-status-codes"


def retry_policy(
    rule: HttpRetry | None, mesh_default: HttpRetry | None
) -> route_components_pb2.RetryPolicy | None:
    """What a rule says, else what the mesh says, else two attempts; a rule is never merged with a default."""
    chosen = rule or mesh_default or HttpRetry()
    attempts = DEFAULT_ATTEMPTS if chosen.attempts is None else chosen.attempts
    if attempts <= 0:
        return None
    made = route_components_pb2.RetryPolicy(num_retries=u32(attempts))
    _conditions(made, chosen.retry_on or DEFAULT_RETRY_ON)
    if chosen.per_try_timeout is not None:
        made.per_try_timeout.CopyFrom(duration(chosen.per_try_timeout))
    if chosen.backoff is not None:
        made.retry_back_off.base_interval.CopyFrom(duration(chosen.backoff))
    if chosen.retry_ignore_previous_hosts is not False:
        made.retry_host_predicate.add(
            name="envoy.retry_host_predicates.previous_hosts",
            typed_config=pack(previous_hosts_pb2.PreviousHostsPredicate()),
        )
        made.host_selection_retry_max_attempts = _HOST_REPICKS
    return made


def _conditions(made: route_components_pb2.RetryPolicy, retry_on: str) -> None:
    """Bare status codes in the list are allowed and mean retriable-status-codes."""
    words = [word.strip() for word in retry_on.split(",") if word.strip()]
    codes = [int(word) for word in words if word.isdigit()]
    named = [word for word in words if not word.isdigit()]
    if codes and _STATUS_CODES not in named:
        named.append(_STATUS_CODES)
    made.retry_on = ",".join(named)
    made.retriable_status_codes.extend(codes)
