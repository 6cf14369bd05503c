"""Which requests a rule is for: VirtualService match blocks as Envoy route matches (semantics 1-6)."""

from __future__ import annotations

from collections.abc import Mapping

from envoy.config.route.v3 import route_components_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from meshloom.pilot.model.virtual_service import HttpMatch, StringMatch

_ANY_REGEX = frozenset({"*", ".*"})
# Conditions with fields of their own; as header names Istio ignores them.
_NOT_HEADERS = frozenset({"uri", "scheme", "method", "authority"})


def route_match(rule: HttpMatch) -> route_components_pb2.RouteMatch:
    made = _path(rule)
    for name, condition in (
        (":method", rule.method),
        (":scheme", rule.scheme),
        (":authority", rule.authority),
    ):
        if condition is not None:
            made.headers.append(_header(name, condition))
    made.headers.extend(_header(name, wanted) for name, wanted in _headers(rule.headers))
    made.headers.extend(_without(name, unwanted) for name, unwanted in _headers(rule.without_headers))
    made.query_parameters.extend(_query(name, wanted) for name, wanted in sorted(rule.query_params.items()))
    return made


def is_catch_all(match: route_components_pb2.RouteMatch) -> bool:
    """Every request matches, so no later rule can."""
    any_path = match.prefix == "/" or match.safe_regex.regex in _ANY_REGEX
    return any_path and not match.headers and not match.query_parameters


def string_matcher(condition: StringMatch, ignore_case: bool = False) -> string_pb2.StringMatcher:
    if condition.exact is not None:
        return string_pb2.StringMatcher(exact=condition.exact, ignore_case=ignore_case)
    if condition.prefix is not None:
        return string_pb2.StringMatcher(prefix=condition.prefix, ignore_case=ignore_case)
    return string_pb2.StringMatcher(safe_regex=regex(condition.regex or ".*"))


def regex(pattern: str) -> regex_pb2.RegexMatcher:
    return regex_pb2.RegexMatcher(regex=pattern)


def _path(rule: HttpMatch) -> route_components_pb2.RouteMatch:
    made = route_components_pb2.RouteMatch(prefix="/")
    match rule.uri:
        case StringMatch(exact=str(path)):
            made.path = path
        case StringMatch(prefix=str(prefix)):
            made.prefix = prefix
        case StringMatch(regex=str(pattern)):
            made.safe_regex.CopyFrom(regex(pattern))
            return made
        case _:
            return made
    if rule.ignore_uri_case:
        made.case_sensitive.value = False
    return made


def _headers(conditions: Mapping[str, StringMatch]) -> list[tuple[str, StringMatch]]:
    return [(name, wanted) for name, wanted in sorted(conditions.items()) if name not in _NOT_HEADERS]


def _is_presence(condition: StringMatch) -> bool:
    """`{}` and, for old rules' sake, `regex: "*"`."""
    return condition == StringMatch() or condition.regex == "*"


def _header(name: str, condition: StringMatch) -> route_components_pb2.HeaderMatcher:
    if _is_presence(condition):
        return route_components_pb2.HeaderMatcher(name=name, present_match=True)
    return route_components_pb2.HeaderMatcher(name=name, string_match=string_matcher(condition))


def _without(name: str, condition: StringMatch) -> route_components_pb2.HeaderMatcher:
    """An absent header counts as empty, so that its absence satisfies the condition."""
    made = _header(name, condition)
    made.invert_match = True
    made.treat_missing_header_as_empty = not _is_presence(condition)
    return made


def _query(name: str, condition: StringMatch) -> route_components_pb2.QueryParameterMatcher:
    if _is_presence(condition):
        return route_components_pb2.QueryParameterMatcher(name=name, present_match=True)
    return route_components_pb2.QueryParameterMatcher(name=name, string_match=string_matcher(condition))
