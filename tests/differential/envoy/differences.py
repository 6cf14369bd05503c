"""Where meshproxy and Envoy differ on purpose, each with its reason. Whatever is not here must be equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.differential.envoy.observe import Headers, Seen


@dataclass(frozen=True)
class LeftOut:
    """A request of a case by its number, and what Envoy passes on of the response and meshproxy does not."""

    case: str
    ask: int
    reason: str
    headers: Headers

    def applied_to(self, envoys: Seen) -> Seen:
        """What meshproxy is to do, from what Envoy did."""
        left_out = set(self.headers)
        assert left_out <= set(envoys.headers), f"{self.case}: Envoy does as meshproxy: drop this entry"
        headers = tuple(header for header in envoys.headers if header not in left_out)
        return Seen(envoys.status, headers, envoys.body, envoys.upstream)


OUTCOMES = [
    LeftOut(
        "upstreamheaders",
        3,
        "RFC 9110 7.6.1: what Connection nominates ends at the next hop",
        (("x-hop", "1"),),
    ),
]


@dataclass(frozen=True)
class Stricter:
    """How meshproxy answers a conversation that Envoy goes on with, or refuses in other words."""

    statuses: tuple[int, ...]
    reason: str


CONVERSATIONS = {
    "badversion": Stricter((505,), "RFC 9110 15.6.6: a version that is not spoken is a 505, not a 426"),
    "elevennohost": Stricter((400,), "every refusal of the codec says its reason phrase in the body"),
    "expectother": Stricter(
        (417,), "RFC 9110 10.1.1: no other expectation can be met on the upstream's behalf"
    ),
    "fragment": Stricter((400,), "every refusal of the codec says its reason phrase in the body"),
    "interim101": Stricter((502,), "RFC 9110 15.2.2: nobody asked for another protocol"),
    **{
        f"interim{code}": Stricter(
            (code, 200), "RFC 9110 15.2: a proxy passes interim responses on; Envoy drops them"
        )
        for code in (102, 103, 199)
    },
    "largepath": Stricter((414,), "RFC 9110 15.5.15: it is the target that is too long"),
}

# Parts of lawful requests of which Envoy makes something else.
LAWFUL = {
    b"GET http://b.test?y ": "RFC 9112 3.2.1: it asks for /?y; Envoy answers 404",
    b"OPTIONS http://b.test HTTP": "RFC 9112 3.2.4: the last proxy asks with an asterisk; Envoy with a slash",
    b"OPTIONS http://b.test:81 HTTP": "the same",
    b"OPTIONS http://b.test?x ": "as GET",
    b"Connection: host, x-own": "only Host is kept from being named away; Envoy refuses the request",
    b"GET http://b.test:/x ": "RFC 3986 3.2.3: an empty port is lawful; Envoy answers 400",
    b"Host: a.test:\r\n": "the same, but it should be left out; Envoy passes it on",
    b"Host: [::1]:\r\n": "the same",
    b"M-SEARCH ": "a registered method; Envoy's parser has been taught without its hyphen",
    b"Upgrade: websocket\r\nContent-Length: 5": "an upgrade with a body is none; Envoy answers 403",
}

KEEPING = ("KEEP_UNCHANGED", "IMPLEMENTATION_SPECIFIC_DEFAULT")
# Targets that Envoy passes on where it normalises paths, and keeps escaped slashes.
CLIMBING = dict.fromkeys(
    ("/a%2f..%2fb?q", "/a/%2e%2e%2fb"),
    "400: a server that decodes the slashes would serve /b, which no policy has seen",
)

# Calls of HTTP/2 whose outcome is another one, by name, or by name and mix of versions.
HTTP2 = {
    "interim": "RFC 9110 15.2: a proxy passes interim responses on; Envoy drops them",
    "responsetrailers-2to1": "trailers are always passed on; Envoy needs enable_trailers towards HTTP/1",
    "grpcto1": "the same",
    "goawaynow": "RFC 9113 8.7: what a GOAWAY says was not dealt with is sent again; Envoy answers 503",
    "hopback": "RFC 9110 7.6.1: what Connection nominates ends at the next hop",
}

# Lines of the access log that are left out of the comparison, by a part of them.
LOG_LINES = {
    " path_normalization_failed ": (
        "the path is logged as it was asked for, so that an attack can be seen; Envoy logs it half unescaped"
    ),
    " http1.unexpected_underscore ": "the method, path and host were read and are logged; Envoy logs `-`",
    " low_version ": "the same",
    **{f" {target} ": reason for target, reason in CLIMBING.items()},
    " /a/..%2fb ": "the same, as Envoy has normalised it",
    " http1.": "details of what the codec refuses tell more here than `http1.codec_error` (docs/http1.md)",
    **{f"{name} ": difference.reason for name, difference in CONVERSATIONS.items()},
    **{f"{name} " if "to" in name else f"{name}-": reason for name, reason in HTTP2.items()},
}

# Formats of access logs in which the lines differ.
FORMATS = {
    "body": "LOCAL_REPLY_BODY is what the client was told; Envoy knows it in its mappers alone",
}

# Not to be seen in these tests: an idempotent request that meets the end of a kept connection goes out once
# more where no retry policy speaks of resets (RFC 9112 9.3.1). Envoy answers 503.


def wanted(case: str, ask: int, envoys: Seen) -> Seen:
    """What meshproxy is to do where Envoy did this."""
    for difference in OUTCOMES:
        if (difference.case, difference.ask) == (case, ask):
            envoys = difference.applied_to(envoys)
    return envoys


def climbs(manager: Mapping[str, Any], target: str) -> bool:
    """meshproxy refuses this target where the connection manager has these fields, and Envoy does not."""
    keeps = manager.get("path_with_escaped_slashes_action", "KEEP_UNCHANGED") in KEEPING
    return target in CLIMBING and keeps and bool(manager.get("normalize_path"))


def comparable(lines: Sequence[str]) -> list[str]:
    """The lines in an order of their own, without those that are meant to differ."""
    return sorted(line for line in lines if not any(part in line for part in LOG_LINES))
