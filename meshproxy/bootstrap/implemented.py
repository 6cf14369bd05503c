"""Which fields of the bootstrap itself mean something here; the rest is refused by path, never ignored.

Resources inside it (listeners, clusters, secrets) are the compiler's to judge: fastpath/rust/xds/fields.txt.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message
from meshloom.meshproxy.bootstrap.document import FieldPath
from meshloom.meshproxy.bootstrap.faults import Fault

ALL = "**"
"""Everything below this field."""

IMPLEMENTED = frozenset(
    {
        # Told to the management server as it is.
        f"node.{ALL}",
        # Judged by the compiler.
        f"static_resources.listeners.{ALL}",
        f"static_resources.clusters.{ALL}",
        f"static_resources.secrets.{ALL}",
        # Judged where they are parsed: resources/source.py.
        f"dynamic_resources.ads_config.{ALL}",
        f"dynamic_resources.lds_config.{ALL}",
        f"dynamic_resources.cds_config.{ALL}",
        # Judged where they are parsed: overload.py.
        "overload_manager.refresh_interval",
        f"overload_manager.resource_monitors.{ALL}",
        f"overload_manager.actions.{ALL}",
        "admin.address.socket_address.protocol",
        "admin.address.socket_address.address",
        "admin.address.socket_address.port_value",
        # For clusters that say nothing of it: resources/resolvers.py.
        f"dns_resolution_config.{ALL}",
        "use_tcp_for_dns_lookups",
        # Settled where resources are read: runtime.py.
        f"layered_runtime.layers.static_layer.{ALL}",
    }
)

WITHOUT_EFFECT = frozenset(
    {
        # Nothing to profile with, and no runtime that could be changed. What is asked of the admin endpoint
        # is not logged; it is a process of its own, outside of all limits on connections.
        "admin.profile_path",
        "admin.access_log_path",
        f"admin.access_log.{ALL}",
        f"admin.socket_options.{ALL}",
        "admin.ignore_global_conn_limit",
        "layered_runtime.layers.name",
        f"layered_runtime.layers.admin_layer.{ALL}",
        # Numbers are kept all the time and read when somebody asks; there is nothing to flush.
        "stats_flush_interval",
        "stats_flush_on_admin",
        # Our tags are Envoy's default tags.
        "stats_config.use_all_default_tags",
        # Every number is kept and told under its whole name; one may filter when asking.
        f"stats_config.stats_tags.{ALL}",
        f"stats_config.stats_matcher.{ALL}",
        f"stats_config.histogram_bucket_settings.{ALL}",
        "stats_server_version_override",
        # The arbiter watches over workers by its own clock.
        f"watchdog.{ALL}",
        f"watchdogs.{ALL}",
        # Our log has a form of its own, our header table no reserved places.
        f"application_log_config.{ALL}",
        f"inline_headers.{ALL}",
        "flags_path",
        "perf_tracing_file_path",
        f"grpc_async_client_manager_config.{ALL}",
        # Buffers are counted for each connection; nothing has to be set up for that.
        f"overload_manager.buffer_factory_config.{ALL}",
        # Only zone-aware routing asks which cluster is our own.
        "cluster_manager.local_cluster_name",
        # Our allocator frees by itself.
        f"memory_allocator_manager.{ALL}",
        # The type says it all; RE2's syntax is what we match with.
        "typed_dns_resolver_config.name",
        "bootstrap_extensions.name",
        "default_regex_engine.name",
    }
)

ONLY_OF_TYPE = {
    "typed_dns_resolver_config.typed_config": (
        "envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig",
        "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
    ),
    "default_regex_engine.typed_config": ("envoy.extensions.regex_engines.v3.GoogleRE2",),
    # Addresses inside the proxy are refused where they are used.
    "bootstrap_extensions.typed_config": (
        "envoy.extensions.bootstrap.internal_listener.v3.InternalListener",
    ),
}


def unimplemented(bootstrap: Message) -> Iterator[Fault]:
    """Every field that is set in the bootstrap and would have to be ignored."""
    yield from _walk(bootstrap, (), "")


def _walk(message: Message, at: FieldPath, pattern: str) -> Iterator[Fault]:
    for field, value in message.ListFields():
        name = f"{pattern}.{field.name}" if pattern else field.name
        path = (*at, field.name)
        if name in _KNOWN or f"{name}.{ALL}" in _KNOWN:
            continue
        if name in ONLY_OF_TYPE:
            yield from _wrong_type(value, path, ONLY_OF_TYPE[name])
        elif not any(known.startswith(f"{name}.") for known in (*_KNOWN, *ONLY_OF_TYPE)):
            yield Fault(path, "is not implemented; take it out")
        elif field.is_repeated:
            for index, child in enumerate(value):
                yield from _walk(child, (*path, index), name)
        else:
            yield from _walk(value, path, name)


def _wrong_type(packed: Any, at: FieldPath, wanted: tuple[str, ...]) -> Iterator[Fault]:
    found = packed.type_url.rpartition("/")[2]
    if found not in wanted:
        yield Fault((*at, "@type"), f"{found} is not implemented; want {' or '.join(wanted)}")


_KNOWN = IMPLEMENTED | WITHOUT_EFFECT
