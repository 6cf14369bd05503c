"""What is allowed but surely not meant. Each gives a warning, and the object takes effect as it stands."""

from __future__ import annotations

from collections.abc import Iterator

from meshloom.pilot.ingest.diagnostic import Fault, Path
from meshloom.pilot.model.virtual_service import Headers, HttpFault, HttpMatch, HttpRoute, VirtualService

_ALL_PATHS = ("/",)
_ALL_PATHS_REGEX = (".*", "/.*")


def advise_virtual_service(spec: VirtualService) -> Iterator[Fault]:
    catch_all: int | None = None
    for index, route in enumerate(spec.http):
        at: Path = ("http", index)
        if catch_all is not None:
            reason = f"never reached: http[{catch_all}] before it takes every request"
            yield Fault(at, reason, "move the general rule to the end")
        elif _takes_everything(route):
            catch_all = index
        for number, match in enumerate(route.match):
            if match == HttpMatch(name=match.name):
                hint = "leave match out, or say what to match"
                yield Fault((*at, "match", number), "an empty match block takes every request", hint)
        yield from _fault_advice(route.fault, (*at, "fault"))
        yield from _header_advice(route.headers, (*at, "headers"))
        for number, destination in enumerate(route.route):
            yield from _header_advice(destination.headers, (*at, "route", number, "headers"))


def _takes_everything(route: HttpRoute) -> bool:
    return not route.match or any(_matches_everything(match) for match in route.match)


def _matches_everything(match: HttpMatch) -> bool:
    """Only the path is asked for, and every path will do."""
    if match != HttpMatch(name=match.name, uri=match.uri, ignore_uri_case=match.ignore_uri_case):
        return False
    if match.uri is None:
        return True
    return match.uri.prefix in _ALL_PATHS or match.uri.regex in _ALL_PATHS_REGEX


def _fault_advice(fault: HttpFault | None, at: Path) -> Iterator[Fault]:
    if fault is None:
        return
    hint = "percentage: {value: 100} for everybody"
    if fault.delay is not None and fault.delay.percentage is None and not fault.delay.percent:
        yield Fault((*at, "delay"), "without a percentage nobody is delayed", hint)
    if fault.abort is not None and fault.abort.percentage is None:
        yield Fault((*at, "abort"), "without a percentage nobody is aborted", hint)


def _header_advice(headers: Headers | None, at: Path) -> Iterator[Fault]:
    """Pseudo headers and Host may only be set (semantics 11)."""
    if headers is None or headers.request is None:
        return
    named = [("add", tuple(headers.request.add)), ("remove", headers.request.remove)]
    for verb, names in named:
        for index, name in enumerate(names):
            if name.startswith(":") or name.lower() == "host":
                step = name if verb == "add" else index
                where: Path = (*at, "request", verb, step)
                yield Fault(where, f"{name} cannot be changed by {verb} and stays as it is", "use set")
