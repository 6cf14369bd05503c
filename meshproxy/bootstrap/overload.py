"""The overload manager of the bootstrap, as workers read it, and the one that holds where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from meshloom.meshproxy.bootstrap.document import FieldPath
from meshloom.meshproxy.bootstrap.faults import Fault
from meshloom.meshproxy.bootstrap.runtime import MAX_CONNECTIONS, runtime_values
from meshloom.meshproxy.resources.protos import UnknownType, message_type

Settings = dict[str, Any]
"""As `fastpath/rust/proxy/src/overload/settings.rs` reads it."""

_ACTION = "envoy.overload_actions."
_KEEPALIVE = _ACTION + "disable_http_keepalive"
_REQUESTS = _ACTION + "stop_accepting_requests"
_CONNECTIONS = _ACTION + "stop_accepting_connections"
_REJECT = _ACTION + "reject_incoming_connections"
_SHRINK = _ACTION + "shrink_heap"
ACTIONS = (_KEEPALIVE, _REQUESTS, _CONNECTIONS, _REJECT, _SHRINK)

_MONITORS = "envoy.extensions.resource_monitors."
_CGROUP = _MONITORS + "cgroup_memory.v3.CgroupMemoryConfig"
_GLOBAL_CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"
_DEFAULT_INTERVAL_MS = 1000


def default_settings() -> Settings:
    """What holds where nothing was said: memory of a limited cgroup, and descriptors.

    Keep-alive goes first, which frees what idles; then requests are refused, last of all connections.
    Running out of descriptors refuses no requests: those on connections that are there need few.
    """
    memory, descriptors = "meshloom.cgroup_memory", "meshloom.descriptors"
    monitors = [
        {"name": memory, "kind": "cgroup_memory", "max_bytes": None},
        {"name": descriptors, "kind": "descriptors"},
    ]
    actions = [
        _action(_SHRINK, (memory, 0.9)),
        _action(_KEEPALIVE, (memory, 0.92), (descriptors, 0.9)),
        _action(_REQUESTS, (memory, 0.95)),
        _action(_CONNECTIONS, (memory, 0.98), (descriptors, 0.97)),
    ]
    return {"refresh_ms": 250, "monitors": monitors, "actions": actions}


def settings_of(bootstrap: Any) -> Settings:
    """The settings of a bootstrap without faults."""
    settings = _given(bootstrap)
    limit = runtime_values(bootstrap).get(MAX_CONNECTIONS)
    if limit is not None and all(monitor["kind"] != "connections" for monitor in settings["monitors"]):
        # Envoy's older way to say it; the monitor, where there is one, holds.
        settings["monitors"].append({"name": _GLOBAL_CONNECTIONS, "kind": "connections", "max": int(limit)})
    return settings


def _given(bootstrap: Any) -> Settings:
    if not bootstrap.HasField("overload_manager"):
        return default_settings()
    given = bootstrap.overload_manager
    monitors = [{"name": raw.name, **_monitor(raw)} for raw in given.resource_monitors]
    actions = [
        {"name": raw.name, "triggers": [_trigger(trigger) for trigger in raw.triggers]}
        for raw in given.actions
    ]
    interval = given.refresh_interval.ToMilliseconds() if given.HasField("refresh_interval") else 0
    return {"refresh_ms": interval or _DEFAULT_INTERVAL_MS, "monitors": monitors, "actions": actions}


def overload_faults(bootstrap: Any) -> Iterator[Fault]:
    """What is wrong with the bootstrap's overload manager."""
    manager = bootstrap.overload_manager
    names = [raw.name for raw in manager.resource_monitors]
    for index, raw in enumerate(manager.resource_monitors):
        at: FieldPath = ("overload_manager", "resource_monitors", index)
        if raw.name in names[:index]:
            yield Fault(
                (*at, "name"), f"{raw.name!r} is also the name of resource_monitors[{names.index(raw.name)}]"
            )
        yield from _monitor_faults(raw, (*at, "typed_config"))
    for index, raw in enumerate(manager.actions):
        at = ("overload_manager", "actions", index)
        if raw.name not in ACTIONS:
            yield Fault((*at, "name"), f"{raw.name!r} is not implemented; want one of {', '.join(ACTIONS)}")
        elif raw.name in [other.name for other in manager.actions[:index]]:
            yield Fault((*at, "name"), f"{raw.name!r} is there already")
        if raw.HasField("typed_config"):
            yield Fault((*at, "typed_config"), "is not implemented; take it out")
        if not raw.triggers:
            yield Fault((*at, "triggers"), "want at least one")
        for number, trigger in enumerate(raw.triggers):
            yield from _trigger_faults(trigger, names, (*at, "triggers", number))


def _action(name: str, *thresholds: tuple[str, float]) -> Settings:
    triggers = [{"monitor": monitor, "from": value, "to": value} for monitor, value in thresholds]
    return {"name": name, "triggers": triggers}


def _fixed_heap(config: Any) -> Settings:
    return {"kind": "fixed_heap", "max_bytes": config.max_heap_size_bytes}


def _cgroup(config: Any) -> Settings:
    return {"kind": "cgroup_memory", "max_bytes": config.max_memory_bytes or None}


def _connections(config: Any) -> Settings:
    return {"kind": "connections", "max": config.max_active_downstream_connections}


def _injected(config: Any) -> Settings:
    return {"kind": "injected", "file": config.filename}


_KINDS: Mapping[str, Callable[[Any], Settings]] = {
    _MONITORS + "fixed_heap.v3.FixedHeapConfig": _fixed_heap,
    _CGROUP: _cgroup,
    _MONITORS + "downstream_connections.v3.DownstreamConnectionsConfig": _connections,
    _MONITORS + "injected_resource.v3.InjectedResourceConfig": _injected,
}
# What has to be given, and for what.
_REQUIRED = {
    "max_bytes": "max_heap_size_bytes",
    "max": "max_active_downstream_connections",
    "file": "filename",
}


def _monitor(raw: Any) -> Settings:
    full_name = raw.typed_config.type_url.rpartition("/")[2]
    config = message_type(raw.typed_config.type_url)()
    raw.typed_config.Unpack(config)
    return _KINDS[full_name](config)


def _monitor_faults(raw: Any, at: FieldPath) -> Iterator[Fault]:
    full_name = raw.typed_config.type_url.rpartition("/")[2]
    if full_name not in _KINDS:
        found = full_name or "nothing"
        yield Fault((*at, "@type"), f"{found} is not implemented; want one of {', '.join(_KINDS)}")
        return
    try:
        settings = _monitor(raw)
    except UnknownType as error:
        yield Fault((*at, "@type"), f"{error} is unknown")
        return
    for key, field in _REQUIRED.items():
        missing = key in settings and not settings[key]
        if missing and full_name != _CGROUP:
            yield Fault((*at, field), "must be more than 0" if key != "file" else "give a file")


def _trigger(raw: Any) -> Settings:
    if raw.WhichOneof("trigger_oneof") == "scaled":
        return {
            "monitor": raw.name,
            "from": raw.scaled.scaling_threshold,
            "to": raw.scaled.saturation_threshold,
        }
    return {"monitor": raw.name, "from": raw.threshold.value, "to": raw.threshold.value}


def _trigger_faults(raw: Any, monitors: list[str], at: FieldPath) -> Iterator[Fault]:
    if raw.name not in monitors:
        yield Fault(
            (*at, "name"), f"{raw.name!r} is no resource monitor; want one of {', '.join(monitors) or 'none'}"
        )
    kind = raw.WhichOneof("trigger_oneof")
    if kind is None:
        yield Fault(at, "give threshold or scaled")
        return
    wanted = _trigger(raw)
    for key, field in (("from", "scaling_threshold"), ("to", "saturation_threshold")):
        if not 0 <= wanted[key] <= 1:
            name = "value" if kind == "threshold" else field
            yield Fault((*at, kind, name), f"{wanted[key]} is not from 0 to 1")
            return
    if kind == "scaled" and wanted["from"] >= wanted["to"]:
        yield Fault((*at, "scaled", "saturation_threshold"), "must be more than scaling_threshold")
