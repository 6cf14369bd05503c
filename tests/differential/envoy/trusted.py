"""What a trusted caller may ask for in headers: retries and timeouts; and limits to what is tried again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.differential.envoy.cases import ANY, Ask, Case, Header, ask
from tests.differential.envoy.failures import retry_case
from tests.support.bootstrap import route

ON: Header = ("x-envoy-retry-on", "5xx")
GRPC: tuple[Header, ...] = (("content-type", "application/grpc"), ("te", "trailers"))
LIMIT = "x-envoy-upstream-rq-timeout-ms"
PER_TRY = "x-envoy-upstream-rq-per-try-timeout-ms"
ALTERNATIVE: Header = ("x-envoy-upstream-rq-timeout-alt-response", "1")


def most(value: str) -> Header:
    return ("x-envoy-max-retries", value)


def numbered(*asks: Ask) -> list[Ask]:
    """The same, told apart by the origin."""
    return [replace(one, target=f"{one.target}/{number}") for number, one in enumerate(asks)]


def on(words: str, *headers: Header, status: str = "503") -> Ask:
    return ask(f"/fail/1/{status}", ("x-envoy-retry-on", words), *headers)


CODES = "x-envoy-retriable-status-codes"
NAMES = "x-envoy-retriable-header-names"
RETRIED = numbered(
    ask("/fail/1/503"),
    ask("/fail/1/503", ON),
    ask("/fail/2/503", ON),
    ask("/fail/2/503", ON, most("2")),
    ask("/fail/1/503", ON, most("0")),
    ask("/fail/1/503", ON, most("text")),
    ask("/fail/1/503", ON, most("-1")),
    ask("/fail/2/503", ON, most(" 2 ")),
    ask("/fail/2/503", ON, most("2"), most("3")),
    ask("/fail/1/503", most("2")),
    on("5XX"),
    on("5xx,nonsense"),
    on(" gateway-error , reset"),
    on("gateway-error reset"),
    on(""),
    on("retriable-4xx"),
    on("retriable-4xx", status="409"),
    on("retriable-status-codes"),
    on("retriable-status-codes", (CODES, "418,503")),
    on("retriable-status-codes", (CODES, "418, 503 ")),
    on("retriable-status-codes", (CODES, "x,503")),
    on("reset", (CODES, "503")),
    on("retriable-headers"),
    on("retriable-headers", (NAMES, "x-retry-me")),
    on("retriable-headers", (NAMES, "X-Other, X-Retry-Me")),
    on("reset", (NAMES, "x-retry-me")),
    on("envoy-ratelimited", status="ratelimited"),
    on("5xx", status="ratelimited"),
    ask("/fail/1/503", ("x-envoy-retry-grpc-on", "unavailable")),
    ask("/fail/1/503", ("x-envoy-hedge-on-per-try-timeout", "true"), ON),
    ask("/fail/1/503", ("x-envoy-is-timeout-retry", "true"), ON),
)
SLOW = numbered(
    ask("/fail/9/slow", (LIMIT, "150")),
    ask("/fail/9/slow", (LIMIT, "text")),
    ask("/fail/9/slow", (LIMIT, " 150 ")),
    ask("/fail/9/slow", (LIMIT, "150"), (LIMIT, "300")),
    ask("/fail/9/slow", (LIMIT, "0")),
    ask("/fail/9/slow", (PER_TRY, "150")),
    ask("/fail/1/slow", (PER_TRY, "150"), ON),
    ask("/fail/9/slow", (LIMIT, "200"), (PER_TRY, "150"), ON),
    ask("/fail/9/slow", (LIMIT, "150"), (PER_TRY, "200")),
    ask("/fail/9/slow", (LIMIT, "150"), ALTERNATIVE),
    ask("/fail/9/slow", (PER_TRY, "150"), ALTERNATIVE),
    ask("/fail/9/slow", (LIMIT, "150"), (ALTERNATIVE[0], "")),
    ask("/fail/9/slow", (LIMIT, "150"), ALTERNATIVE, *GRPC),
    ask("/fail/9/slow", ALTERNATIVE),
    ask("/fail/9/503", ALTERNATIVE),
)


def again(**fields: Any) -> dict[str, Any]:
    return {"retry_on": "5xx", **fields}


LARGE = b"x" * 3000
SHORT = {"per_request_buffer_limit_bytes": 1000}
LIMITED = [
    Case(
        name,
        [route(ANY, {"cluster": "origin", "retry_policy": again()}, **by_route)],
        [
            ask(f"/fail/1/503/{number}", method="POST", body=body)
            for number, body in enumerate((LARGE, LARGE[:1000], LARGE[:1001], b""))
        ],
        by_host,
    )
    for name, by_host, by_route in (
        ("buffered", {}, {}),
        ("hostbuffered", SHORT, {}),
        ("routebuffered", {}, SHORT),
        ("widerbuffered", SHORT, {"per_request_buffer_limit_bytes": 5000}),
    )
]


def waits(name: str, longest: str, form: str = "SECONDS", header: str = "x-retry-me") -> Case:
    reset = {"reset_headers": [{"name": header, "format": form}], "max_interval": longest}
    return retry_case(name, again(rate_limited_retry_back_off=reset), ask("/fail/1/503/a"))


UNIX = "UNIX_TIMESTAMP"
WAITING = [
    waits("waits", "3s"),
    waits("waitstoolong", "0.5s"),
    waits("waitstill", "3s", UNIX),
    waits("waitsnot", "3s", header="x-absent"),
]
ASKED = {"retriable_request_headers": [{"name": "x-again", "present_match": True}]}
CONDITIONS = [
    retry_case(
        "rasked",
        again(**ASKED),
        *numbered(
            ask("/fail/1/503"),
            ask("/fail/1/503", ("x-again", "1")),
            ask("/fail/1/503", ON),
            ask("/fail/1/503", ON, ("x-again", "1")),
            ask("/fail/3/503", most("3"), ("x-again", "1")),
        ),
    ),
    retry_case("ridle", again(per_try_idle_timeout="0.15s"), ask("/fail/1/slow/a"), ask("/fail/9/slow/b")),
    retry_case(
        "rlimited", {"retry_on": "envoy-ratelimited"}, ask("/fail/1/ratelimited/a"), ask("/fail/1/429/b")
    ),
    *(
        retry_case(
            f"rby{word}",
            {"retry_on": word},
            *(Ask(f"/fail/1/{how}/{word}", (), "POST") for how in ("reset", "garbage", "504")),
        )
        for word in (
            "gateway-error",
            "reset-before-request",
            "connect-failure",
            "refused-stream",
            "5xx",
            "reset",
        )
    ),
    *(
        Case(
            f"rdead{word}",
            [route(ANY, {"cluster": "dead", "retry_policy": {"retry_on": word, "num_retries": 1}})],
            [ask("/")],
        )
        for word in ("gateway-error", "reset-before-request", "reset", "5xx", "refused-stream")
    ),
    retry_case(
        "rover", again(num_retries=1), *numbered(ask("/fail/3/503", most("3")), ask("/fail/3/503", most("0")))
    ),
    retry_case(
        "rcount", again(num_retries=0), *numbered(ask("/fail/1/503", ON), ask("/fail/1/503", ON, most("1")))
    ),
]
TRUSTED = [
    Case("asked", [route(ANY, "origin")], [*RETRIED, *SLOW]),
    *LIMITED,
    *WAITING,
    *CONDITIONS,
]
