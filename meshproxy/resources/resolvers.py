"""How names are to be asked for: what a cluster says of it, or the bootstrap for all of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from meshloom.meshproxy.resources.protos import parse

_CARES = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
_DNS_PORT = 53
_LAST_PORT = 65535


class InvalidResolver(Exception):
    """A name server that cannot be asked."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


@dataclass(frozen=True, slots=True)
class Asking:
    """What Envoy's c-ares can be told; left as it is, the system's resolver does the same."""

    by_system: bool = False
    """The system's resolver was asked for by its name."""
    servers: tuple[tuple[str, int], ...] = ()
    """Address and port of each; without any, those of resolv.conf."""
    servers_as_fallback: bool = False
    """Only where resolv.conf names none."""
    tcp: bool = False
    search: bool = True
    """Whether the search domains of resolv.conf are tried."""
    rotate: bool = False
    timeout: int = 0
    """Of one question, in seconds; 0 for what resolv.conf says."""
    tries: int = 0
    """Of one question, at most; 0 for as many as fit into the time that there is."""


def asking_of(owner: Any) -> Asking | None:
    """What a Cluster or a Bootstrap says; None if nothing. Raises InvalidResolver."""
    if owner.HasField("typed_dns_resolver_config"):
        packed = owner.typed_dns_resolver_config.typed_config
        if packed.type_url.rpartition("/")[2] != _CARES:
            return Asking(by_system=True)
        return _of_cares(parse(packed.type_url, packed.value))
    if owner.HasField("dns_resolution_config"):
        config = owner.dns_resolution_config
        return Asking(
            servers=tuple(_servers(config.resolvers, "dns_resolution_config.resolvers")),
            tcp=config.dns_resolver_options.use_tcp_for_dns_lookups,
            search=not config.dns_resolver_options.no_default_search_domain,
        )
    # The oldest way, which a bootstrap has only half of.
    resolvers = getattr(owner, "dns_resolvers", ())
    if not resolvers and not owner.use_tcp_for_dns_lookups:
        return None
    return Asking(servers=tuple(_servers(resolvers, "dns_resolvers")), tcp=owner.use_tcp_for_dns_lookups)


def _of_cares(config: Any) -> Asking:
    return Asking(
        servers=tuple(_servers(config.resolvers, "typed_dns_resolver_config.typed_config.resolvers")),
        servers_as_fallback=config.use_resolvers_as_fallback,
        tcp=config.dns_resolver_options.use_tcp_for_dns_lookups,
        search=not config.dns_resolver_options.no_default_search_domain,
        rotate=config.rotate_nameservers,
        timeout=config.query_timeout_seconds.value,
        tries=config.query_tries.value,
    )


def _servers(resolvers: Any, path: str) -> Iterator[tuple[str, int]]:
    for index, resolver in enumerate(resolvers):
        socket = resolver.socket_address
        at = f"{path}[{index}].socket_address"
        try:
            ipaddress.ip_address(socket.address)
        except ValueError as error:
            reason = f"{socket.address!r} is no IP address, as a name server's has to be"
            raise InvalidResolver(f"{at}.address", reason) from error
        if socket.port_value > _LAST_PORT:
            raise InvalidResolver(f"{at}.port_value", f"want 1 to {_LAST_PORT}, found {socket.port_value}")
        yield socket.address, socket.port_value or _DNS_PORT
