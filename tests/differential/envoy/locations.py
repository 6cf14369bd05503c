"""Redirects, required TLS and direct responses: a listener each, and what is asked of it."""

from __future__ import annotations

from typing import Any

from tests.differential.envoy.cases import ANY, Ask, ask, redirect
from tests.differential.envoy.managers import GRPC, INSIDE, Managed
from tests.support.bootstrap import direct

Json = dict[str, Any]
AUTHORITIES = ("a.test", "a.test:80", "a.test:443", "a.test:8080", "[::1]:8080", "[::1]", "A.Test:80")
PROTOCOLS = ("http", "https", "ftp", "HTTPS")
INTERNAL = ("x-forwarded-for", "10.0.0.1")
EXTERNAL = ("x-forwarded-for", "1.2.3.4")


def from_hosts(*paths: str) -> list[Ask]:
    """Every path asked of every authority, told to have come by HTTP and by HTTPS."""
    return [
        Ask(path, (("x-forwarded-proto", proto),), host=host)
        for path in paths
        for host in AUTHORITIES
        for proto in PROTOCOLS[:2]
    ]


REWRITING = {"pattern": {"regex": "^/(.*)/x"}, "substitution": "/y/\\1"}
CODES = ("MOVED_PERMANENTLY", "FOUND", "SEE_OTHER", "TEMPORARY_REDIRECT", "PERMANENT_REDIRECT")
TARGETS: dict[str, Json] = {
    "empty": {},
    "https": {"https_redirect": True},
    "http": {"scheme_redirect": "http"},
    "scheme": {"scheme_redirect": "https"},
    "port": {"port_redirect": 8443},
    "port80": {"port_redirect": 80},
    "host": {"host_redirect": "new.test"},
    "hostport": {"host_redirect": "new.test:99"},
    "hosthttps": {"host_redirect": "new.test:80", "https_redirect": True},
    "httpsport": {"https_redirect": True, "port_redirect": 443},
    "path": {"path_redirect": "/new"},
    "pathquery": {"path_redirect": "/new?c=d"},
    "pathstrip": {"path_redirect": "/new?c=d", "strip_query": True},
    "regex": {"regex_rewrite": REWRITING},
    "strip": {"strip_query": True},
    "prefix": {"prefix_rewrite": "/"},
    **{code.lower(): {"response_code": code} for code in CODES},
}
REDIRECTS = [
    Managed(
        f"redirect{name}",
        {},
        [*from_hosts("/a/x?a=b"), ask("/a/x", method="POST", body=b"abc"), ask("/a/x?", method="HEAD")],
        [redirect(ANY, **fields)],
    )
    for name, fields in TARGETS.items()
]
FROM_EACH = [
    Ask("/p?a=b", (*way, ("x-forwarded-proto", proto)), host=host)
    for way in ((), (INTERNAL,), (EXTERNAL,))
    for proto in PROTOCOLS
    for host in ("a.test", "a.test:8080")
] + [ask("/p", method="POST", body=b"abc"), ask("/p", *GRPC, method="POST", body=b"\0\0\0\0\0")]
SECURED = [
    Managed(f"tls{need.lower()}{name}", manager, FROM_EACH, hosts={"require_tls": need})
    for need in ("NONE", "EXTERNAL_ONLY", "ALL")
    for name, manager in (
        ("", {}),
        ("edge", {"use_remote_address": True}),
        ("hop", {"use_remote_address": True, "xff_num_trusted_hops": 1}),
        ("inside", {**INSIDE, "use_remote_address": True}),
        ("insidehop", INSIDE),
    )
]
DIRECT = [
    Managed(
        f"direct{status}{'with' if body else 'without'}",
        {},
        [ask("/"), ask("/", method="HEAD"), ask("/", method="POST", body=b"abc")],
        [direct(ANY, status, body)],
    )
    for status in (200, 201, 205, 299, 300, 301, 304, 399, 400, 404, 599)
    for body in ("", "hello")
    if (status, body) != (304, "hello")  # Envoy sends this body, and leaves its client out of step
]

LOCATIONS = [*REDIRECTS, *SECURED, *DIRECT]
