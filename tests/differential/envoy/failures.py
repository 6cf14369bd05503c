"""How an upstream can fail, and the routes that deal with it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.differential.envoy.cases import ANY, Ask, Case, ask
from tests.support.bootstrap import FAULT, route
from tests.support.origin import Answer, Received, answer


class FailingOrigin:
    """Fails as the path says: /fail/<times>/<status|reset|close|slow>/<anything that tells requests apart>.

    The first `times` requests for one URL and proxy (header x-proxy) fail, later ones get 200.
    """

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def __call__(self, received: Received) -> Answer:
        _, kind, *rest = received.target.split("?")[0].split("/")
        if kind != "fail":
            return answer(200, b"fine")
        with self._lock:
            key = (received.header("x-proxy") or "", f"{received.header('host')}{received.target}")
            self._seen[key] += 1
            failing = self._seen[key] <= int(rest[0])
        return failure(rest[1]) if failing else answer(200, b"fine")


def failure(how: str) -> Answer:
    match how:
        case "reset":
            return Answer(then="reset")
        case "close":
            return Answer(then="close")
        case "partial":
            return Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", then="close")
        case "garbage":
            return Answer(b"this is not HTTP\r\n\r\n", then="close")
        case "slow":
            return Answer(answer(200, b"late").data, wait=0.8)
        case "ratelimited":
            return answer(429, b"failed", ("X-Envoy-RateLimited", "true"))
        case status:
            return answer(int(status), b"failed", ("X-Retry-Me", "1"))


def retry_case(name: str, policy: Mapping[str, Any], *asks: Ask, **action: Any) -> Case:
    policy = {"retry_back_off": {"base_interval": "0.002s"}, **policy}
    return Case(name, [route(ANY, {"cluster": "origin", "retry_policy": policy, **action})], asks)


def fault_case(name: str, per_route: Mapping[str, Any], *asks: Ask, **action: Any) -> Case:
    config = {"envoy.filters.http.fault": {"@type": FAULT, **per_route}}
    return Case(
        name,
        [route(ANY, {"cluster": "origin", **action}, typed_per_filter_config=config)],
        asks or [ask("/")],
    )


ALWAYS = {"numerator": 100, "denominator": "HUNDRED"}

RETRIES = [
    retry_case("r5xx", {"retry_on": "5xx", "num_retries": 2}, ask("/fail/2/503/a"), ask("/fail/3/500/b")),
    retry_case("rone", {"retry_on": "5xx"}, ask("/fail/1/503/a"), ask("/fail/2/503/b")),
    retry_case("rgateway", {"retry_on": "gateway-error"}, ask("/fail/1/502/a"), ask("/fail/1/500/b")),
    retry_case(
        "rreset", {"retry_on": "reset"}, ask("/fail/1/reset/a"), ask("/fail/1/503/b"), ask("/fail/1/close/c")
    ),
    # POST: an idempotent request that meets a dying kept connection is sent again by us (differences.py).
    retry_case(
        "rnone", {"retry_on": "connect-failure"}, ask("/fail/1/503/a"), Ask("/fail/1/reset/b", (), "POST")
    ),
    retry_case("r4xx", {"retry_on": "retriable-4xx"}, ask("/fail/1/409/a"), ask("/fail/1/404/b")),
    retry_case(
        "rcodes",
        {"retry_on": "retriable-status-codes", "retriable_status_codes": [418, 503]},
        ask("/fail/1/418/a"),
        ask("/fail/1/503/b"),
        ask("/fail/1/500/c"),
        Ask("/fail/1/reset/d", (), "POST"),
    ),
    retry_case(
        "rheaders",
        {
            "retry_on": "retriable-headers",
            "retriable_headers": [{"name": "x-retry-me", "present_match": True}],
        },
        ask("/fail/1/500/a"),
    ),
    retry_case("rpost", {"retry_on": "5xx"}, ask("/fail/1/503/a", method="POST", body=b"payload")),
    retry_case("rzero", {"retry_on": "5xx", "num_retries": 0}, ask("/fail/1/503/a")),
    retry_case(
        "rpertry",
        {"retry_on": "5xx", "num_retries": 1, "per_try_timeout": "0.2s"},
        ask("/fail/1/slow/a"),
        ask("/fail/2/slow/b"),
    ),
    Case(
        "rdead",
        [route(ANY, {"cluster": "dead", "retry_policy": {"retry_on": "connect-failure", "num_retries": 2}})],
        [ask("/")],
    ),
]

PLAIN_FAILURES = [
    Case(
        "noretry",
        [route(ANY, "origin")],
        [ask("/fail/9/reset/a"), ask("/fail/9/close/b"), ask("/fail/9/garbage/c"), ask("/fail/9/503/d")],
    ),
    Case(
        "timeout",
        [route(ANY, {"cluster": "origin", "timeout": "0.2s"})],
        [ask("/fail/9/slow/a"), ask("/fine")],
    ),
    Case(
        "notimeout",
        [route(ANY, {"cluster": "origin", "timeout": "0s"})],
        [ask("/fail/9/slow/a")],
    ),
    Case("closed", [route(ANY, "dead")], [ask("/"), ask("/", method="POST", body=b"x")]),
    Case("none", [route(ANY, "empty")], [ask("/")]),
    Case("unknown", [route(ANY, "nowhere")], [ask("/")]),
]

FAULTS = [
    fault_case("abort", {"abort": {"http_status": 418, "percentage": ALWAYS}}),
    fault_case("abort400", {"abort": {"http_status": 400, "percentage": ALWAYS}}),
    fault_case("abortnever", {"abort": {"http_status": 418, "percentage": {"numerator": 0}}}),
    fault_case("delay", {"delay": {"fixed_delay": "0.2s", "percentage": ALWAYS}}),
    fault_case("delaytimeout", {"delay": {"fixed_delay": "0.3s", "percentage": ALWAYS}}, timeout="0.1s"),
    fault_case(
        "delayabort",
        {
            "delay": {"fixed_delay": "0.1s", "percentage": ALWAYS},
            "abort": {"http_status": 503, "percentage": ALWAYS},
        },
        retry_policy={"retry_on": "5xx"},
    ),
    fault_case(
        "faultheader",
        {
            "abort": {"http_status": 555, "percentage": ALWAYS},
            "headers": [{"name": "x-user", "string_match": {"exact": "jason"}}],
        },
        ask("/", ("x-user", "jason")),
        ask("/", ("x-user", "kate")),
        ask("/"),
    ),
]

RESILIENCE: list[Case] = [*RETRIES, *PLAIN_FAILURES, *FAULTS]
