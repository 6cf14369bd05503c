"""Settings of the connection manager, a listener each, and what is asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.differential.envoy.cases import ANY, Ask, Header, ask, asks, option
from tests.support.bootstrap import TYPE, direct, route, router

ID = "11111111-1111-4111-8111-111111111111"
UNTRUSTED: tuple[Header, ...] = (
    ("x-envoy-internal", "true"),
    ("x-envoy-max-retries", "7"),
    ("x-envoy-retry-on", "5xx"),
    ("x-envoy-upstream-rq-timeout-ms", "700"),
    ("x-envoy-upstream-rq-per-try-timeout-ms", "70"),
    ("x-envoy-expected-rq-timeout-ms", "7"),
    ("x-envoy-force-trace", "true"),
    ("x-envoy-ip-tags", "a"),
    ("x-envoy-external-address", "9.9.9.9"),
    ("x-envoy-original-path", "/mine"),
    ("x-envoy-original-host", "mine"),
    ("x-envoy-decorator-operation", "mine"),
    ("x-envoy-downstream-service-cluster", "mine"),
    ("x-envoy-downstream-service-node", "mine"),
    ("x-envoy-attempt-count", "7"),
    ("x-envoy-unheard-of", "mine"),
)


@dataclass(frozen=True)
class Managed:
    """A listener with these fields of the connection manager, and what it is asked."""

    name: str
    manager: Mapping[str, Any]
    asks: Sequence[Ask]
    routes: Sequence[Mapping[str, Any]] = field(default_factory=lambda: [route(ANY, "origin")])
    hosts: Mapping[str, Any] = field(default_factory=dict)  # fields of the virtual host

    @property
    def host(self) -> str:
        return f"{self.name}.test"


def forwarded(*values: str, proto: str = "https") -> Ask:
    return ask("/", *(("x-forwarded-for", value) for value in values), ("x-forwarded-proto", proto))


FORWARDED = [
    ask("/"),
    forwarded("1.2.3.4"),
    forwarded("1.2.3.4, 10.0.0.1", proto="http"),
    forwarded("10.0.0.1"),
    forwarded("1.2.3.4,5.6.7.8,9.10.11.12"),
    forwarded("1.2.3.4", "5.6.7.8"),
    forwarded("nonsense"),
    forwarded("1.2.3.4:5678"),
    forwarded("::1"),
    forwarded("", proto="ftp"),
]

FORWARDED_PORTS = [ask("/"), ask("/", ("x-forwarded-port", "1")), ask("/", ("x-forwarded-port", "text"))]
PORTS = {"append_x_forwarded_port": True}
DETECTION = {
    "name": "xff",
    "typed_config": {
        "@type": TYPE + "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig",
        "xff_num_trusted_hops": 1,
    },
}
INSIDE = {
    "internal_address_config": {
        "cidr_ranges": [
            {"address_prefix": "10.0.0.0", "prefix_len": 8},
            {"address_prefix": "127.0.0.0", "prefix_len": 8},
        ]
    }
}

ADDRESSES = [
    Managed("xffplain", {}, FORWARDED),
    Managed("xffedge", {"use_remote_address": True}, FORWARDED),
    Managed("xffhop", {"use_remote_address": True, "xff_num_trusted_hops": 1}, FORWARDED),
    Managed("xffhops", {"xff_num_trusted_hops": 2}, FORWARDED),
    Managed("xffskip", {"use_remote_address": True, "skip_xff_append": True}, FORWARDED),
    Managed("xffport", {"use_remote_address": True, "append_x_forwarded_port": True}, FORWARDED_PORTS),
    Managed("xffporthop", {**PORTS, "use_remote_address": True, "xff_num_trusted_hops": 1}, FORWARDED_PORTS),
    Managed("xffportinside", PORTS, FORWARDED_PORTS),
    Managed("xffdetected", {"original_ip_detection_extensions": [DETECTION]}, FORWARDED),
    Managed(
        "inside",
        INSIDE,
        [*FORWARDED, ask("/", *UNTRUSTED), ask("/", *UNTRUSTED, ("x-forwarded-for", "10.0.0.1"))],
    ),
    Managed("insideedge", {**INSIDE, "use_remote_address": True}, [*FORWARDED, ask("/", *UNTRUSTED)]),
    Managed("edge", {"use_remote_address": True}, [ask("/", *UNTRUSTED)]),
    Managed("sidecar", {}, [ask("/", *UNTRUSTED), ask("/", *UNTRUSTED, ("x-forwarded-for", "10.0.0.1"))]),
]

IDS = [
    ask("/"),
    ask("/", ("x-request-id", ID)),
    ask("/", ("x-request-id", "not-a-uuid")),
    ask("/", ("x-request-id", "")),
    # One place says whether the request is traced, and by whose wish.
    *(ask("/", ("x-request-id", f"{ID[:14]}{reason}{ID[15:]}")) for reason in "9abx"),
    *(ask("/", ("x-request-id", "x" * length)) for length in (14, 15, 35, 36, 37)),
]

REQUEST_IDS = [
    Managed("idplain", {}, IDS),
    Managed("idedge", {"use_remote_address": True}, IDS),
    Managed("idkept", {"use_remote_address": True, "preserve_external_request_id": True}, IDS),
    Managed("idkepthop", {"use_remote_address": True, "xff_num_trusted_hops": 1}, IDS),
    Managed("idkeptplain", {"preserve_external_request_id": True}, IDS),
    Managed("idkeptinside", {**INSIDE, "use_remote_address": True}, IDS),
    Managed("idnever", {"generate_request_id": False}, IDS),
    Managed("idalways", {"always_set_request_id_in_response": True}, IDS),
]

TARGETS = asks(
    "/a/../b",
    "/a/./b/.",
    "/a//b",
    "//a///b//",
    "/%61%2e%2E/b",
    "/a%2Fb%2fc",
    "/a%5Cb%5cc",
    "/a\\b",
    "/a%zz",
    "/a%",
    "/a%00b",
    "/../../etc",
    "/a/..",
    "/a?x=/../%2f//y",
    "/a%2f..%2fb?q",
    "/a;b=c/../d",
    "/a/%2e%2e%2fb",
    "/%7euser/%41",
    "/a%20b",
    "/a%c3%A9",
    "/..",
    "/.",
    "/...",
    "/a/...//..",
)

PATH_RULES = [
    Managed("pathraw", {}, TARGETS),
    Managed("pathbase", {"normalize_path": True}, TARGETS),
    Managed("pathmerge", {"merge_slashes": True}, TARGETS),
    Managed("pathboth", {"normalize_path": True, "merge_slashes": True}, TARGETS),
    *(
        Managed(
            f"slashes{number}",
            {"normalize_path": True, "merge_slashes": True, "path_with_escaped_slashes_action": action},
            TARGETS,
        )
        for number, action in enumerate(
            ("KEEP_UNCHANGED", "REJECT_REQUEST", "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD")
        )
    ),
]

OWN = asks("/", "/own-server", "/own-date", "/own-via", "/local")
ORIGIN_OR_LOCAL = [direct({"path": "/local"}, 200, "hello"), route(ANY, "origin")]

IDENTITY = [
    Managed("serverplain", {}, OWN, ORIGIN_OR_LOCAL),
    Managed("servername", {"server_name": "mesh"}, OWN, ORIGIN_OR_LOCAL),
    *(
        Managed(
            f"server{number}",
            {"server_header_transformation": how, "server_name": "mesh"},
            OWN,
            ORIGIN_OR_LOCAL,
        )
        for number, how in enumerate(("OVERWRITE", "APPEND_IF_ABSENT", "PASS_THROUGH"))
    ),
    *(
        Managed(
            f"scheme{scheme}{edge}",
            {"scheme_header_transformation": {"scheme_to_overwrite": scheme}, "use_remote_address": edge},
            [ask("/"), *(ask("/", ("x-forwarded-proto", told)) for told in ("http", "https"))],
            ORIGIN_OR_LOCAL,
        )
        for scheme in ("http", "https")
        for edge in (False, True)
    ),
    Managed("via", {"via": "mesh"}, [*OWN, ask("/", ("via", "1.0 other"))], ORIGIN_OR_LOCAL),
    Managed(
        "quiet",
        {"http_filters": [router(suppress_envoy_headers=True)]},
        [ask("/"), ask("/local"), ask("/rewrite/a")],
        [
            *ORIGIN_OR_LOCAL[:1],
            route(
                {"prefix": "/rewrite"},
                {"cluster": "origin", "prefix_rewrite": "/", "host_rewrite_literal": "h"},
            ),
            route(ANY, "origin"),
        ],
    ),
]

HOSTS = [
    Managed(
        "stripmatching",
        {"strip_matching_host_port": True},
        [Ask(host=host) for host in ("a.test", "a.test:1")],
    ),
    Managed(
        "stripany",
        {"strip_any_host_port": True},
        [Ask(host=host) for host in ("a.test", "a.test:1", "[::1]:80", "[::1]")],
    ),
    Managed(
        "stripdot",
        {"strip_trailing_host_dot": True},
        [Ask(host=host) for host in ("a.test.", "a.test.:80", "a.test")],
    ),
]

UNDERSCORES = [
    Managed(
        f"underscore{number}",
        {"common_http_protocol_options": {"headers_with_underscores_action": action}},
        [ask("/", ("x_under", "1")), ask("/", ("x-plain", "1"))],
    )
    for number, action in enumerate(("ALLOW", "REJECT_REQUEST", "DROP_HEADER"))
]

LATE = [
    option("x-late", "%REQ(x-in)%/%RESPONSE_CODE%/%PROTOCOL%"),
    option("x-status", "%RESPONSE_CODE_DETAILS%/%RESPONSE_FLAGS%"),
]
VALUES = [
    Managed(
        "values",
        {},
        [ask("/", ("x-in", "a"), ("x-in", "b")), ask("/none"), ask("/local")],
        [
            direct({"path": "/local"}, 200, "hello", response_headers_to_add=LATE),
            route({"path": "/none"}, "empty", response_headers_to_add=LATE),
            route(ANY, "origin", response_headers_to_add=LATE, request_headers_to_add=LATE),
        ],
    ),
]

GRPC: tuple[Header, ...] = (("content-type", "application/grpc"), ("te", "trailers"))
GRPC_ROUTES = [
    direct({"path": "/local"}, 200, "hello"),
    direct({"path": "/denied"}, 403, "no 100% sure\n"),
    route({"path": "/none"}, "empty"),
    route({"path": "/dead"}, "dead"),
    route({"path": "/unknown"}, "nowhere"),
    route({"path": "/slow"}, {"cluster": "origin", "timeout": "0.1s"}),
    {"match": {"path": "/elsewhere"}, "redirect": {"path_redirect": "/"}},
    route({"path": "/"}, "origin"),
    *(direct({"path": f"/{code}"}, code) for code in (400, 401, 404, 418, 429, 500, 502, 503, 504)),
]
CALLS = [
    Managed(
        "grpc",
        {},
        [
            ask(path, *GRPC, method="POST", body=b"\0\0\0\0\0")
            for path in (
                *("/local", "/denied", "/none", "/dead", "/unknown", "/slow", "/elsewhere", "/", "/nothing"),
                *(f"/{code}" for code in (400, 401, 404, 418, 429, 500, 502, 503, 504)),
            )
        ]
        + [
            ask("/none", ("content-type", kind))
            for kind in ("application/grpc+proto", "application/grpc-web")
        ],
        GRPC_ROUTES,
    ),
]

MANAGED: list[Managed] = [
    *ADDRESSES,
    *REQUEST_IDS,
    *PATH_RULES,
    *IDENTITY,
    *HOSTS,
    *UNDERSCORES,
    *VALUES,
    *CALLS,
]
