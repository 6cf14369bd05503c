"""One HTTP route of a VirtualService: its match, its action, and what is done to the traffic."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping

from meshloom.pilot.ingest.checks.routing import check_destination, check_weights
from meshloom.pilot.ingest.checks.shared import check_regex, invalid
from meshloom.pilot.ingest.checks.traffic import check_fault, check_mirrors, check_retries
from meshloom.pilot.ingest.diagnostic import Fault, Path
from meshloom.pilot.model.virtual_service import (
    CorsPolicy,
    DirectResponse,
    Headers,
    HttpMatch,
    HttpRedirect,
    HttpRewrite,
    HttpRoute,
    StringMatch,
)

_HEADER_NAME = re.compile(r":?[-_.A-Za-z0-9!#$%&'*+^`|~]+")
_CLAIM_PREFIX = "@request.auth."
_REDIRECT_CODES = (301, 302, 303, 307, 308)


def check_http_route(route: HttpRoute, delegate: bool) -> Iterator[Fault]:
    """`delegate`: the rule has no hosts and is only ever part of another."""
    yield from _action(route, delegate)
    for index, match in enumerate(route.match):
        yield from _match(match, ("match", index))
    for index, destination in enumerate(route.route):
        at: Path = ("route", index)
        yield from check_destination(destination.destination, (*at, "destination"))
        yield from _headers(destination.headers, (*at, "headers"))
    yield from check_weights([destination.weight for destination in route.route], ("route",))
    yield from _headers(route.headers, ("headers",))
    if route.redirect:
        yield from _redirect(route.redirect, route.match, ("redirect",))
    if route.direct_response:
        yield from _direct_response(route.direct_response, ("directResponse",))
    if route.rewrite:
        yield from _rewrite(route.rewrite, ("rewrite",))
    if route.cors_policy:
        yield from _cors(route.cors_policy, ("corsPolicy",))
    if route.retries:
        yield from check_retries(route.retries, ("retries",))
    if route.fault:
        yield from check_fault(route.fault, ("fault",))
    yield from check_mirrors(route)


def _action(route: HttpRoute, delegate: bool) -> Iterator[Fault]:
    actions = {
        "route": bool(route.route),
        "redirect": route.redirect is not None,
        "directResponse": route.direct_response is not None,
        "delegate": route.delegate is not None,
    }
    given = [name for name, there in actions.items() if there]
    if not given:
        yield Fault((), "HTTP route, redirect or direct_response is required")
    if len(given) > 1:
        yield Fault((given[1],), f"HTTP route cannot contain both {given[0]} and {given[1]}")
    if route.rewrite is not None and route.redirect is not None:
        yield Fault(("rewrite",), "HTTP route cannot contain both rewrite and redirect")
    if route.fault is not None and route.redirect is not None:
        yield Fault(("fault",), "HTTP route cannot contain both fault and redirect")
    if route.delegate is not None and delegate:
        yield Fault(("delegate",), "delegate virtual service cannot itself delegate")
    if route.delegate is not None and not route.delegate.name:
        yield Fault(("delegate", "name"), "Required value", "the delegate VirtualService's name")


def _match(match: HttpMatch, at: Path) -> Iterator[Fault]:
    for name in ("uri", "scheme", "method", "authority"):
        if (value := getattr(match, name)) is not None:
            yield from _string_match(value, (*at, name))
    maps: tuple[tuple[str, Mapping[str, StringMatch]], ...] = (
        ("headers", match.headers),
        ("withoutHeaders", match.without_headers),
        ("queryParams", match.query_params),
    )
    for name, values in maps:
        for key, value in values.items():
            where: Path = (*at, name, key)
            if name != "queryParams":
                yield from _header_name(key, where)
            # `*` is no regular expression, but is kept as a test of presence (semantics 3).
            yield from _string_match(value, where, star_is_presence=True)


def _string_match(match: StringMatch, at: Path, star_is_presence: bool = False) -> Iterator[Fault]:
    given = [name for name in ("exact", "prefix", "regex") if getattr(match, name) is not None]
    if len(given) > 1:
        yield Fault(at, f"only one of exact, prefix and regex can be set, found {' and '.join(given)}")
    if match.prefix == "" and at[-1] == "uri":
        yield invalid((*at, "prefix"), "", "prefix must not be empty", 'prefix: "/" matches every path')
    if match.regex is not None and not (star_is_presence and match.regex == "*"):
        yield from check_regex(match.regex, (*at, "regex"))


def _header_name(name: str, at: Path) -> Iterator[Fault]:
    if name.startswith(_CLAIM_PREFIX):
        return
    if not _HEADER_NAME.fullmatch(name):
        reason = "header name cannot be empty" if not name else "header name is not a valid HTTP token"
        yield invalid(at, name, reason)


def _headers(headers: Headers | None, at: Path) -> Iterator[Fault]:
    if headers is None:
        return
    for side, operations in (("request", headers.request), ("response", headers.response)):
        if operations is None:
            continue
        for verb, names in (("set", operations.set), ("add", operations.add)):
            for name in names:
                yield from _header_name(name, (*at, side, verb, name))
        for index, name in enumerate(operations.remove):
            yield from _header_name(name, (*at, side, "remove", index))


def _redirect(redirect: HttpRedirect, matches: tuple[HttpMatch, ...], at: Path) -> Iterator[Fault]:
    if redirect == HttpRedirect(redirect_code=redirect.redirect_code):
        fields = "uri, prefixRewrite, authority, scheme, port or derivePort"
        yield Fault(at, "redirect must have non-empty values", f"one of {fields}")
    if redirect.uri is not None and redirect.prefix_rewrite is not None:
        yield Fault(at, "only one of uri and prefixRewrite can be set")
    if redirect.port is not None and redirect.derive_port is not None:
        yield Fault(at, "only one of port and derivePort can be set")
    if redirect.redirect_code not in (None, *_REDIRECT_CODES):
        allowed = ", ".join(map(str, _REDIRECT_CODES))
        reason = f"redirect code must be one of {allowed}"
        yield invalid((*at, "redirectCode"), redirect.redirect_code, reason)
    if redirect.scheme not in (None, "", "http", "https"):
        yield invalid((*at, "scheme"), redirect.scheme, "must be http or https")
    if redirect.prefix_rewrite and not all(m.uri is not None and m.uri.prefix is not None for m in matches):
        yield Fault((*at, "prefixRewrite"), "prefixRewrite needs a uri prefix in each match")


def _direct_response(response: DirectResponse, at: Path) -> Iterator[Fault]:
    if not 200 <= response.status <= 599:
        yield invalid((*at, "status"), response.status, "HTTP status must be in range 200..599")
    body = response.body
    if body is None:
        return
    if body.string is not None and body.bytes_ is not None:
        yield Fault((*at, "body"), "only one of string and bytes can be set")
    if body.bytes_ is not None:
        try:
            base64.b64decode(body.bytes_, validate=True)
        except binascii.Error:
            yield invalid((*at, "body", "bytes"), body.bytes_, "must be base64")


def _rewrite(rewrite: HttpRewrite, at: Path) -> Iterator[Fault]:
    if rewrite == HttpRewrite():
        yield Fault(at, "rewrite must specify URI, UriRegexRewrite, or authority")
    if rewrite.uri and rewrite.uri_regex_rewrite:
        yield Fault(at, "rewrite may only contain one of URI or UriRegexRewrite")
    if rewrite.uri_regex_rewrite is not None:
        where: Path = (*at, "uriRegexRewrite")
        if rewrite.uri_regex_rewrite.match is None or rewrite.uri_regex_rewrite.rewrite is None:
            yield Fault(where, "UriRegexRewrite requires both Rewrite and Match fields to be specified")
        if rewrite.uri_regex_rewrite.match is not None:
            yield from check_regex(rewrite.uri_regex_rewrite.match, (*where, "match"))


def _cors(cors: CorsPolicy, at: Path) -> Iterator[Fault]:
    for index, origin in enumerate(cors.allow_origins):
        yield from _string_match(origin, (*at, "allowOrigins", index))
    for name, names in (("allowHeaders", cors.allow_headers), ("exposeHeaders", cors.expose_headers)):
        for index, header in enumerate(names):
            if header != "*":
                yield from _header_name(header, (*at, name, index))
