"""Host names as rules write them: short, fully qualified or with a leading wildcard (semantics 7, 17)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from meshloom.pilot.model.base import Hostname, Namespace


def resolve_host(host: str, rule_namespace: Namespace, domain: str) -> Hostname:
    """Expands a short name in the rule's own namespace; any dot, a wildcard or an IP is taken literally."""
    if "." in host or host.startswith("*") or is_ip(host) or not host:
        return Hostname(host)
    return Hostname(f"{host}.{rule_namespace}.svc.{domain}")


def is_ip(host: str) -> bool:
    # An address ends in a digit or has a colon; few names do, and this is asked for every destination.
    if ":" not in host and not host[-1:].isdigit():
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def host_matches(pattern: str, host: str) -> bool:
    """`pattern` covers every name that `host` stands for; `*.a.com` does not match `a.com`."""
    if pattern == "*":
        return True
    pattern, host = pattern.lower(), host.lower()
    if pattern.startswith("*"):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return pattern == host


def intersect_hosts(left: str, right: str) -> Hostname | None:
    """The names that two patterns have in common, which is always the narrower of the two, or None."""
    if host_matches(left, right):
        return Hostname(right)
    if host_matches(right, left):
        return Hostname(left)
    return None


def most_specific(patterns: Iterable[Hostname], host: str) -> Hostname | None:
    """Exact beats wildcard; among wildcards the longest wins."""
    matching = [pattern for pattern in patterns if host_matches(pattern, host)]
    return max(matching, key=lambda pattern: (not pattern.startswith("*"), len(pattern)), default=None)
