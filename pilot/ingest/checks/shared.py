"""Checks that several kinds need: host names, selectors, networks, regular expressions."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from meshloom.pilot.ingest.diagnostic import Fault, Path
from meshloom.pilot.ingest.schema import quoted
from meshloom.pilot.model.hosts import is_ip

_LABEL = re.compile(r"[a-zA-Z0-9](?:[-_a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_GO_ONLY = re.compile(r"\(\?P?<[^=!]|\\[pPQEzC]|\[\[:")
_UNSAFE = (
    (re.compile(r"\(\?(?:=|!|<=|<!)"), "look-around is not supported in RE2"),
    (re.compile(r"\(\?P="), "back-references are not supported in RE2"),
    (re.compile(r"\(\?>"), "atomic groups are not supported in RE2"),
    (re.compile(r"(?<!\\)(?:\\\\)*[*+?}]\+"), "possessive quantifiers are not supported in RE2"),
)
_BACK_REFERENCE = re.compile(r"(?<!\\)(?:\\\\)*\\[1-9]")


def invalid(path: Path, value: object, reason: str, hint: str = "") -> Fault:
    return Fault(path, f"Invalid value: {quoted(value)}: {reason}", hint)


def check_host(host: str, at: Path, ip_allowed: bool = False) -> Iterator[Fault]:
    """A DNS name whose first label may be `*`, or `*` alone; an IP where that makes sense."""
    if host in ("", "*"):
        if not host:
            yield invalid(at, host, "domain name cannot be empty")
        return
    if is_ip(host):
        if not ip_allowed:
            yield invalid(at, host, "must be a host name, not an IP address")
        return
    labels = host.removesuffix(".").split(".")
    if labels[0].startswith("*"):
        labels = [labels[0][1:], *labels[1:]] if len(labels[0]) > 1 else labels[1:]
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        yield invalid(at, host, "domain name is invalid", "labels of letters, digits and -, or *.example.com")


def check_selector(labels: Mapping[str, str], at: Path) -> Iterator[Fault]:
    for name, value in labels.items():
        if not name:
            yield invalid(at, name, "key must not be empty")
        elif "*" in name:
            yield invalid((*at, name), name, "wildcard not allowed in label key match")
        if "*" in value:
            yield invalid((*at, name), value, "wildcard not allowed in label value match")
        elif len(value) > 63:
            yield Fault((*at, name), "Too long: may not be more than 63 characters")


def check_export_to(export_to: Sequence[str], at: Path) -> Iterator[Fault]:
    for index, entry in enumerate(export_to):
        if entry not in (".", "*", "~") and not _NAMESPACE.fullmatch(entry):
            yield invalid((*at, index), entry, "must be '.', '*', '~' or the name of a namespace")
    if len(export_to) > 1 and ("*" in export_to or "~" in export_to):
        yield invalid(at, list(export_to), "'*' and '~' must stand alone")


def check_network(text: str, at: Path) -> Iterator[Fault]:
    """An IP address or a CIDR."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        yield invalid(at, text, "must be an IP address or a CIDR", "for example 10.0.0.0/8")


def check_regex(pattern: str, at: Path) -> Iterator[Fault]:
    """What RE2 certainly refuses, so that matching time stays linear; the proxy has the last word."""
    for unsafe, reason in _UNSAFE:
        if unsafe.search(pattern):
            yield invalid(at, pattern, f"invalid regex: {reason}")
            return
    if _BACK_REFERENCE.search(pattern):
        yield invalid(at, pattern, "invalid regex: back-references are not supported in RE2")
        return
    if _GO_ONLY.search(pattern):
        return  # syntax that RE2 has and Python's re reads otherwise
    try:
        re.compile(re.sub(r"\(\?[imsU-]+\)", "", pattern))
    except re.error as error:
        yield invalid(at, pattern, f"invalid regex: {error}")


def duplicates(values: Iterable[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]
