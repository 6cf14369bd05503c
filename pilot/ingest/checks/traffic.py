"""Retries, faults and mirrors of an HTTP route."""

from __future__ import annotations

from collections.abc import Iterator

from meshloom.pilot.ingest.checks.routing import check_destination
from meshloom.pilot.ingest.checks.shared import invalid
from meshloom.pilot.ingest.diagnostic import Fault, Path
from meshloom.pilot.ingest.schema import nearest
from meshloom.pilot.model.virtual_service import HttpFault, HttpRetry, HttpRoute, Percent

RETRY_ON = frozenset(
    {
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "retriable-4xx",
        "refused-stream",
        "retriable-status-codes",
        "retriable-headers",
        "envoy-ratelimited",
        "http3-post-connect-failure",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    }
)
GRPC_STATUSES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)


def check_retries(retries: HttpRetry, at: Path) -> Iterator[Fault]:
    if retries.attempts is not None and retries.attempts < 0:
        yield invalid((*at, "attempts"), retries.attempts, "attempts cannot be negative")
    if retries.attempts == 0 and (retries.per_try_timeout or retries.retry_on or retries.backoff):
        yield Fault(at, "http retry policy configured when attempts are set to 0 (disabled)")
    for condition in (retries.retry_on or "").split(","):
        name = condition.strip()
        if name and name not in RETRY_ON and not (name.isdigit() and 100 <= int(name) <= 599):
            hint = nearest(name, sorted(RETRY_ON))
            yield invalid((*at, "retryOn"), name, "not a valid retryOn policy", hint)


def check_fault(fault: HttpFault, at: Path) -> Iterator[Fault]:
    if fault.abort is None and fault.delay is None:
        yield Fault(at, "HTTP fault injection must have an abort and/or a delay")
    if (abort := fault.abort) is not None:
        where: Path = (*at, "abort")
        given = [v for v in (abort.http_status, abort.grpc_status, abort.http2_error) if v is not None]
        if len(given) != 1:
            yield Fault(where, "exactly one of httpStatus, grpcStatus and http2Error must be set")
        if abort.http_status is not None and not 200 <= abort.http_status <= 599:
            yield invalid((*where, "httpStatus"), abort.http_status, "HTTP status must be in range 200..599")
        if abort.grpc_status is not None and abort.grpc_status not in GRPC_STATUSES:
            hint = nearest(abort.grpc_status, list(GRPC_STATUSES))
            yield invalid((*where, "grpcStatus"), abort.grpc_status, "gRPC status is not supported", hint)
        yield from _percent(abort.percentage, (*where, "percentage"))
    if (delay := fault.delay) is not None:
        where = (*at, "delay")
        if (delay.fixed_delay is None) == (delay.exponential_delay is None):
            yield Fault(where, "exactly one of fixedDelay and exponentialDelay must be set")
        if delay.percent is not None and not 0 <= delay.percent <= 100:
            yield invalid((*where, "percent"), delay.percent, "percentage is not in range 0..100")
        yield from _percent(delay.percentage, (*where, "percentage"))


def check_mirrors(route: HttpRoute) -> Iterator[Fault]:
    if route.mirror is not None and route.mirrors:
        yield Fault(("mirrors",), "HTTP route cannot contain both mirror and mirrors")
    if route.mirror is not None:
        yield from check_destination(route.mirror, ("mirror",))
    for index, mirror in enumerate(route.mirrors):
        at: Path = ("mirrors", index)
        yield from check_destination(mirror.destination, (*at, "destination"))
        yield from _percent(mirror.percentage, (*at, "percentage"))
    yield from _percent(route.mirror_percentage, ("mirrorPercentage",))
    spellings = {"mirrorPercent": route.mirror_percent, "mirror_percent": route.mirror_percent_snake}
    for name, percent in spellings.items():
        if percent is not None and percent > 100:
            yield invalid((name,), percent, "mirror percent must have a max value of 100")


def _percent(percent: Percent | None, at: Path) -> Iterator[Fault]:
    if percent is not None and not 0 <= percent.value <= 100:
        yield invalid((*at, "value"), percent.value, "percentage is not in range 0..100")
