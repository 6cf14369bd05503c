"""Cluster types given as extensions, in the words of the field `type`, which compiler and DNS read."""

from __future__ import annotations

from typing import Any

from meshloom.meshproxy.resources.protos import CLUSTER, UnknownType, parse

_TYPES = {
    "envoy.cluster.static": "STATIC",
    "envoy.cluster.strict_dns": "STRICT_DNS",
    "envoy.cluster.logical_dns": "LOGICAL_DNS",
    "envoy.cluster.dns": "STRICT_DNS",
    "envoy.cluster.eds": "EDS",
    "envoy.cluster.original_dst": "ORIGINAL_DST",
}
_DNS = "envoy.extensions.clusters.dns.v3.DnsCluster"
# What both messages have, and mean alike.
_SAME = ("dns_refresh_rate", "respect_dns_ttl", "dns_jitter", "typed_dns_resolver_config")


def with_plain_type(type_url: str, body: bytes) -> bytes:
    """The resource; a cluster with one of Envoy's own types in `cluster_type` has it in `type` instead."""
    if type_url != CLUSTER:
        return body
    cluster: Any = parse(type_url, body)
    if not cluster.HasField("cluster_type"):
        return body
    given = cluster.cluster_type
    kind = given.typed_config.type_url.rpartition("/")[2]
    if kind == _DNS:
        try:
            _take_dns(cluster, parse(given.typed_config.type_url, given.typed_config.value))
        except UnknownType:
            return body
    elif not kind and given.name in _TYPES:
        cluster.type = cluster.DiscoveryType.Value(_TYPES[given.name])
    else:
        return body  # the compiler refuses it, with its path
    return bytes(cluster.SerializeToString(deterministic=True))


def _take_dns(cluster: Any, dns: Any) -> None:
    """The fields of Envoy's one cluster for names, whose family has another number."""
    cluster.type = cluster.LOGICAL_DNS if dns.all_addresses_in_single_endpoint else cluster.STRICT_DNS
    for field in _SAME:
        value = getattr(dns, field)
        if dns.DESCRIPTOR.fields_by_name[field].message_type is None:
            setattr(cluster, field, value)
        elif dns.HasField(field):
            getattr(cluster, field).CopyFrom(value)
    if dns.HasField("dns_failure_refresh_rate"):
        for field in ("base_interval", "max_interval"):
            if dns.dns_failure_refresh_rate.HasField(field):
                rate = getattr(cluster.dns_failure_refresh_rate, field)
                rate.CopyFrom(getattr(dns.dns_failure_refresh_rate, field))
    family = dns.DESCRIPTOR.fields_by_name["dns_lookup_family"].enum_type
    name = family.values_by_number[dns.dns_lookup_family].name
    cluster.dns_lookup_family = cluster.DnsLookupFamily.Value("AUTO" if name == "UNSPECIFIED" else name)
