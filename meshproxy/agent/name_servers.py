"""Name servers asked by ourselves: for the time to live of answers, or because a configuration names others.

The hosts file comes first and resolv.conf (servers, search domains, ndots) holds, as they do for the system's
resolver; both are read anew for each question, so that a change of either is seen. Not imported before
somebody needs it: most proxies never do.
"""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver
from meshloom.meshproxy.agent.names import Found, Unanswered, chosen
from meshloom.meshproxy.resources.resolvers import Asking

HOSTS = Path("/etc/hosts")
RESOLV_CONF = Path("/etc/resolv.conf")
DEFAULT_SERVER = ("127.0.0.1", 53)
"""As every resolver's where resolv.conf names none (resolv.conf(5))."""
DEFAULT_TRIES = 4
"""c-ares'."""

_KINDS = {"V4_ONLY": ("A",), "V6_ONLY": ("AAAA",), "ALL": ("A", "AAAA"), "V4_PREFERRED": ("A", "AAAA")}
_AUTO = ("AAAA", "A")


class NameServers:
    """Its `ask` is an `Ask`."""

    def __init__(self, asking: Asking, hosts: Path = HOSTS, resolv_conf: Path = RESOLV_CONF) -> None:
        self._asking = asking
        self._hosts = hosts
        self._resolv_conf = resolv_conf

    async def ask(self, host: str, family: str) -> Found:
        """The addresses of a name, with the shortest time to live of all records that led to them."""
        if literal := _literal(host):
            return Found(_of_family([literal], family), 0)
        listed = await asyncio.to_thread(_listed, self._hosts, host) or _loopback(host)
        if addresses := _of_family(listed, family):
            return Found(addresses, 0)
        try:
            resolver = await asyncio.to_thread(self._resolver)
        except (dns.exception.DNSException, OSError) as error:
            raise Unanswered(f"{self._resolv_conf}: {error}") from error
        return await self._query(resolver, host, family)

    async def _query(self, resolver: dns.asyncresolver.Resolver, host: str, family: str) -> Found:
        addresses: list[str] = []
        ttls: list[int] = []
        failure: Exception | None = None
        for kind in _KINDS.get(family, _AUTO):
            try:
                answer = await resolver.resolve(
                    host, kind, tcp=self._asking.tcp, raise_on_no_answer=False, search=self._asking.search
                )
            except dns.resolver.NXDOMAIN:
                # There are servers that say so of a name that only lacks this kind of address.
                continue
            except (dns.exception.DNSException, OSError) as error:
                failure = error
                continue
            if answer.rrset is not None:
                addresses += [record.address for record in answer.rrset]
                ttls.append(answer.chaining_result.minimum_ttl)
                if family != "ALL":
                    break
        if failure is not None and not addresses:
            raise Unanswered(str(failure)) from failure
        return Found(tuple(dict.fromkeys(addresses)), min(ttls, default=0))

    def _resolver(self) -> dns.asyncresolver.Resolver:
        asking = self._asking
        resolver = dns.asyncresolver.Resolver(configure=False)
        named = [dns.nameserver.Do53Nameserver(*server) for server in asking.servers or (DEFAULT_SERVER,)]
        try:
            resolver.read_resolv_conf(self._resolv_conf)
        except (dns.resolver.NoResolverConfiguration, ValueError):  # or not one that has an address
            resolver.nameservers = named
        if asking.servers and not asking.servers_as_fallback:
            resolver.nameservers = named
        resolver.rotate = resolver.rotate or asking.rotate
        if asking.timeout:
            resolver.timeout = asking.timeout
        if asking.timeout or asking.tries:
            resolver.lifetime = resolver.timeout * (asking.tries or DEFAULT_TRIES)
        return resolver


def _literal(host: str) -> str | None:
    if "%" in host:  # an address of one link only, which no endpoint can have
        return None
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def _of_family(addresses: list[str], family: str) -> tuple[str, ...]:
    v6 = [address for address in addresses if ":" in address]
    return chosen([address for address in addresses if ":" not in address], v6, family)


def _loopback(host: str) -> list[str]:
    """No name server is to be asked for these (RFC 6761 6.3)."""
    local = host.removesuffix(".").lower().rpartition(".")[2] == "localhost"
    return ["127.0.0.1", "::1"] if local else []


def _listed(hosts: Path, host: str) -> list[str]:
    """The addresses of a name in the hosts file (hosts(5)), or none."""
    try:
        text = hosts.read_text(errors="replace")
    except OSError:
        return []
    wanted = host.removesuffix(".").lower()
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return [
        literal
        for fields in lines
        if wanted in (name.lower() for name in fields[1:]) and (literal := _literal(fields[0]))
    ]
