"""Cases that meshproxy and Envoy must decide alike: a virtual host each, and the requests sent to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.bootstrap import direct, route

Header = tuple[str, str]
ANY: dict[str, Any] = {"prefix": "/"}


@dataclass(frozen=True)
class Ask:
    """One request to a case's virtual host."""

    target: str = "/"
    headers: tuple[Header, ...] = ()
    method: str = "GET"
    body: bytes = b""
    host: str = ""  # the case's own where empty


@dataclass(frozen=True)
class Case:
    """A virtual host `<name>.test` with these routes, and what it is asked."""

    name: str
    routes: Sequence[Mapping[str, Any]]
    asks: Sequence[Ask]
    virtual_host: Mapping[str, Any] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return f"{self.name}.test"


def ask(target: str = "/", *headers: Header, method: str = "GET", body: bytes = b"") -> Ask:
    return Ask(target, headers, method, body)


def asks(*targets: str) -> list[Ask]:
    return [ask(target) for target in targets]


def header_case(name: str, matcher: Mapping[str, Any], *values: str | None) -> Case:
    """A route that needs the header `x-k` to match, asked with each value (None: the header is absent)."""
    match = {**ANY, "headers": [{"name": "x-k", **matcher}]}
    sent = [ask("/") if value is None else ask("/", ("x-k", value)) for value in values]
    return Case(name, [direct(match, 201, "matched"), direct(ANY, 202, "rest")], sent)


def repeated_case(name: str, header: str, matcher: Mapping[str, Any]) -> Case:
    """A route that needs the header to match, asked with several lines of it."""
    match = {**ANY, "headers": [{"name": header, **matcher}]}
    lines = [("a", "b"), ("b", "a"), ("a,b",), ("a", "a"), ("1", "9"), ("", "a"), ("a", "")]
    sent = [ask("/", *((header, value) for value in values)) for values in lines]
    return Case(name, [direct(match, 201, "matched"), direct(ANY, 202, "rest")], sent)


def query_case(name: str, matcher: Mapping[str, Any], *targets: str) -> Case:
    match = {**ANY, "query_parameters": [{"name": "k", **matcher}]}
    return Case(name, [direct(match, 201, "matched"), direct(ANY, 202, "rest")], asks(*targets))


def exact(value: str) -> dict[str, Any]:
    return {"string_match": {"exact": value}}


def option(name: str, value: str, action: str = "APPEND_IF_EXISTS_OR_ADD") -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": action}


PATHS = [
    Case(
        "exact", [direct({"path": "/foo"}, 201), direct(ANY, 202)], asks("/foo", "/foo?q=1", "/foo/", "/Foo")
    ),
    Case(
        "prefix", [direct({"prefix": "/foo"}, 201), direct(ANY, 202)], asks("/foo", "/foobar", "/fo", "/FOO")
    ),
    Case(
        "separated",
        [direct({"path_separated_prefix": "/v2"}, 201), direct(ANY, 202)],
        asks("/v2", "/v2/x", "/v2example", "/v2?x", "/v2/"),
    ),
    Case(
        "ignorecase",
        [direct({"prefix": "/foo", "case_sensitive": False}, 201), direct(ANY, 202)],
        asks("/FOO", "/FooBar", "/fo"),
    ),
    Case(
        "regex",
        [direct({"safe_regex": {"regex": "/rx/[a-z]+"}}, 201), direct(ANY, 202)],
        asks("/rx/abc", "/rx/abc/d", "/rx/abc?x=1", "/rx/ABC"),
    ),
    Case(
        "order",
        [direct({"prefix": "/a"}, 201), direct({"prefix": "/a/b"}, 202), direct({"path": "/a/b"}, 203)],
        asks("/a/b", "/a", "/b"),
    ),
    Case("noroute", [direct({"path": "/only"}, 201)], asks("/other")),
]

HEADERS = [
    header_case("hexact", exact("v"), "v", "V", "vv", None),
    header_case("hprefix", {"string_match": {"prefix": "v"}}, "v1", "xv", None),
    header_case("hsuffix", {"string_match": {"suffix": "v"}}, "1v", "vx", None),
    header_case("hcontains", {"string_match": {"contains": "v"}}, "1v1", "x", None),
    header_case("hignore", {"string_match": {"exact": "Value", "ignore_case": True}}, "vALUE", "valu"),
    header_case("hregex", {"string_match": {"safe_regex": {"regex": "curl"}}}, "curl", "curl/7.88.1"),
    header_case("hpresent", {"present_match": True}, "x", "", None),
    header_case("habsent", {"present_match": False}, "x", None),
    header_case("hrange", {"range_match": {"start": "-5", "end": "10"}}, "-5", "9", "10", "x", "5x", None),
    header_case("hinvert", {**exact("v"), "invert_match": True}, "v", "w", None),
    header_case(
        "hwithout",
        {**exact("v"), "invert_match": True, "treat_missing_header_as_empty": True},
        "v",
        "w",
        None,
    ),
    *(
        repeated_case(f"hlines{number}", name, matcher)
        for number, (name, matcher) in enumerate(
            (name, matcher)
            # Envoy looks at the lines of most headers one by one, and joins those of some.
            for name in ("x-k", "accept", "user-agent", "cookie")
            for matcher in (
                exact("a,b"),
                exact("b"),
                {"string_match": {"suffix": "a"}},
                {"string_match": {"contains": ","}},
                {**exact("a"), "invert_match": True},
                {"range_match": {"start": "1", "end": "5"}},
            )
        )
    ),
    Case(
        "hmethod",
        [direct({**ANY, "headers": [{"name": ":method", **exact("POST")}]}, 201), direct(ANY, 202)],
        [ask("/"), ask("/", method="POST", body=b"x")],
    ),
    Case(
        "hauthority",
        [
            direct({**ANY, "headers": [{"name": ":authority", **exact("hauthority.test")}]}, 201),
            direct(ANY, 202),
        ],
        [ask("/")],
    ),
]

QUERIES = [
    query_case("qpresent", {"present_match": True}, "/?k", "/?k=1", "/?x=1&k=2", "/?kk=1", "/"),
    query_case("qexact", {"string_match": {"exact": "v"}}, "/?k=v", "/?k=vv", "/?x=v", "/?k=v&k=w"),
    query_case("qempty", {"string_match": {"exact": ""}}, "/?k", "/?k=", "/?k=1", "/"),
    query_case("qregex", {"string_match": {"safe_regex": {"regex": "[0-9]+"}}}, "/?k=12", "/?k=12a"),
]

REWRITES = [
    Case(
        "prefixrewrite",
        [route({"prefix": "/foo"}, {"cluster": "origin", "prefix_rewrite": "/"})],
        asks("/foo/bar", "/foobar", "/foo", "/foo?q=1"),
    ),
    Case(
        "exactrewrite",
        [route({"path": "/foo"}, {"cluster": "origin", "prefix_rewrite": "/bar"})],
        asks("/foo", "/foo?q=1"),
    ),
    Case(
        "regexrewrite",
        [
            route(
                ANY,
                {
                    "cluster": "origin",
                    "regex_rewrite": {
                        "pattern": {"regex": "^/service/([^/]+)(/.*)$"},
                        "substitution": "\\2/instance/\\1",
                    },
                },
            )
        ],
        asks("/service/foo/v1/api", "/service/foo/v1/api?q=/service/x/y", "/other"),
    ),
    Case(
        "hostrewrite",
        [
            route(
                ANY,
                {
                    "cluster": "origin",
                    "host_rewrite_literal": "other.example",
                    "append_x_forwarded_host": True,
                },
            )
        ],
        asks("/"),
    ),
    Case(
        "hostheader",
        [route(ANY, {"cluster": "origin", "host_rewrite_header": "x-host"})],
        [ask("/", ("x-host", "h.example"))],
    ),
]


def redirect(match: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    return {"match": match, "redirect": fields}


REDIRECTS = [
    Case("rempty", [redirect(ANY)], asks("/p?q=1")),
    Case("rhost", [redirect(ANY, host_redirect="new.example")], asks("/p?q=1")),
    Case("rpath", [redirect(ANY, path_redirect="/new")], asks("/p?q=1")),
    Case("rpathquery", [redirect(ANY, path_redirect="/new?a=b")], asks("/p?q=1")),
    Case("rstrip", [redirect(ANY, path_redirect="/new", strip_query=True)], asks("/p?q=1")),
    Case("rprefix", [redirect({"prefix": "/r/"}, prefix_rewrite="/z")], asks("/r/a/b", "/r/a?q=1")),
    Case("rhttps", [redirect(ANY, https_redirect=True)], asks("/p")),
    Case("rport", [redirect(ANY, port_redirect=8443, scheme_redirect="https")], asks("/p")),
    Case("rcode", [redirect(ANY, host_redirect="x.example", response_code="PERMANENT_REDIRECT")], asks("/p")),
]

MUTATIONS = [
    Case(
        "reqadd",
        [
            route(
                ANY,
                "origin",
                request_headers_to_add=[
                    option("x-a", "route"),
                    option("x-b", "%REQ(x-in)%-%PROTOCOL%", "OVERWRITE_IF_EXISTS_OR_ADD"),
                    option("x-c", "only-new", "ADD_IF_ABSENT"),
                    option("x-d", "only-old", "OVERWRITE_IF_EXISTS"),
                ],
                request_headers_to_remove=["x-gone"],
            )
        ],
        [ask("/", ("x-in", "v"), ("x-gone", "1"), ("x-a", "own"), ("x-c", "own"), ("x-d", "own")), ask("/")],
        {"request_headers_to_add": [option("x-a", "vhost")]},
    ),
    Case(
        "respadd",
        [
            route(
                ANY,
                "origin",
                response_headers_to_add=[option("x-r", "route"), option("x-code", "%RESPONSE_CODE%")],
                response_headers_to_remove=["x-origin"],
            )
        ],
        asks("/"),
        {"response_headers_to_add": [option("x-r", "vhost")]},
    ),
    Case("directadd", [direct(ANY, 200, "hello", response_headers_to_add=[option("x-r", "1")])], asks("/")),
]

WEIGHTS = [
    Case(
        "headerchoice",
        [
            route(
                ANY,
                {
                    "weighted_clusters": {
                        "clusters": [{"name": "origin", "weight": 30}, {"name": "second", "weight": 70}],
                        "header_name": "x-pick",
                    }
                },
            )
        ],
        [ask("/", ("x-pick", value)) for value in ("0", "29", "30", "99", "100", "129", "4294967295")],
    ),
    Case(
        "clusterheader",
        [route(ANY, {"cluster_header": "x-cluster"})],
        [ask("/", ("x-cluster", name)) for name in ("origin", "second", "nowhere")] + [ask("/")],
    ),
    Case("nocluster", [route(ANY, {"cluster": "nowhere"})], asks("/")),
    Case("emptycluster", [route(ANY, {"cluster": "empty"})], asks("/")),
    Case("deadcluster", [route(ANY, {"cluster": "dead"})], asks("/")),
]

FORWARDING = [
    Case(
        "plain",
        [route(ANY, "origin")],
        [
            ask("/p?q=1", ("x-own", "1")),
            ask("/", method="HEAD"),
            ask("/", method="POST", body=b"hello"),
            ask("/", ("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https")),
            ask("/", ("x-request-id", "11111111-1111-4111-8111-111111111111")),
            ask("/", ("connection", "x-secret, close"), ("x-secret", "1"), ("keep-alive", "timeout=5")),
            ask("/", ("te", "trailers, gzip")),
            ask("/", ("proxy-connection", "keep-alive"), ("proxy-authorization", "Basic eA==")),
            ask("/", ("x-envoy-internal", "true"), ("x-envoy-max-retries", "3")),
            ask("/", ("x-envoy-expected-rq-timeout-ms", "1"), ("x-envoy-decorator-operation", "x")),
            ask("/a/../b//c/%2e%2e/d"),
            ask("*", method="OPTIONS"),
            ask("/", method="PUT"),
            ask("/", method="DELETE"),
            ask("/", method="PATCH", body=b"x" * 5000),
        ],
    ),
    Case(
        "upstreamstatus",
        [route(ANY, "origin")],
        [
            ask(f"/status/{code}")
            for code in (200, 201, 204, 206, 299, 301, 304, 400, 404, 429, 500, 503, 600, 999)
        ],
    ),
    Case(
        "upstreamheaders",
        [route(ANY, "origin")],
        # Not /hop-headers: Envoy forwards response fields that Connection names, we do not (RFC 9110 7.6.1).
        asks("/set-cookies", "/own-server", "/own-date"),
    ),
]

ROUTING: list[Case] = [*PATHS, *HEADERS, *QUERIES, *REWRITES, *REDIRECTS, *MUTATIONS, *WEIGHTS, *FORWARDING]
