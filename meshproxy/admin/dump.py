"""`/config_dump`: what is configured, in the shape of envoy.admin.v3.ConfigDump. No private keys."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from google.protobuf import json_format
from meshloom.meshproxy.admin.view import View
from meshloom.meshproxy.agent.store import DNS_PREFIX, Accepted
from meshloom.meshproxy.resources.compiled import Compiled
from meshloom.meshproxy.resources.protos import (
    CLUSTER,
    ENDPOINTS,
    LISTENER,
    PREFIX,
    ROUTES,
    SECRET,
    load_types_of,
    parse,
)

REDACTED = "[redacted]"
_SENSITIVE = frozenset({"private_key", "password", "session_ticket_keys", "generic_secret", "pkcs12"})


def config_dump(view: View, *, include_eds: bool) -> list[dict[str, Any]]:
    """Every section, in Envoy's order."""
    sections = [_bootstrap(view), _clusters(view)]
    if include_eds:
        sections.append(_endpoints(view))
    return [*sections, _listeners(view), _routes(view), _secrets(view)]


def only(sections: Iterable[dict[str, Any]], resource: str) -> list[dict[str, Any]]:
    """The entries of one field, as `?resource=` asks. Raises KeyError when there is no such field."""
    for section in sections:
        if resource in section:
            kind = section["@type"] + _ENTRY_TYPES[resource]
            return [{"@type": kind, **entry} for entry in section[resource]]
    raise KeyError(resource)


def resource_fields() -> list[str]:
    """What `?resource=` may name."""
    return sorted(_ENTRY_TYPES)


def to_dict(message: Any) -> dict[str, Any]:
    """A message as JSON, with Envoy's field names, every packed type unpacked, and no key in it."""
    load_types_of(message)
    shown: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    _redact(shown)
    return shown


def _bootstrap(view: View) -> dict[str, Any]:
    return {
        "@type": f"{PREFIX}envoy.admin.v3.BootstrapConfigDump",
        "bootstrap": to_dict(view.agent.bootstrap.message),
        "last_updated": _stamp(view.wall_time(view.agent.started)),
    }


def _clusters(view: View) -> dict[str, Any]:
    static, active, warming = _sorted_out(view, CLUSTER, "cluster")
    return {
        "@type": f"{PREFIX}envoy.admin.v3.ClustersConfigDump",
        "version_info": view.agent.stats[CLUSTER].version,
        "static_clusters": static,
        "dynamic_active_clusters": active,
        "dynamic_warming_clusters": warming,
    }


def _endpoints(view: View) -> dict[str, Any]:
    entries = view.agent.store.accepted[ENDPOINTS].values()
    return {
        "@type": f"{PREFIX}envoy.admin.v3.EndpointsConfigDump",
        "dynamic_endpoint_configs": [
            _entry(view, "endpoint_config", entry.resource, entry.since)
            for entry in entries
            if not entry.resource.name.startswith(DNS_PREFIX)
        ],
    }


def _listeners(view: View) -> dict[str, Any]:
    static, active, warming = _sorted_out(view, LISTENER, "listener")
    dynamic: dict[str, dict[str, Any]] = {}
    for state, entries in (("active_state", active), ("warming_state", warming)):
        for entry in entries:
            name = entry["listener"]["name"]
            dynamic.setdefault(name, {"name": name})[state] = entry
    for (type_url, name), (reason, at, _) in view.agent.errors.items():
        if type_url == LISTENER:
            error = {"details": reason, "last_update_attempt": _stamp(at)}
            dynamic.setdefault(name, {"name": name})["error_state"] = error
    return {
        "@type": f"{PREFIX}envoy.admin.v3.ListenersConfigDump",
        "version_info": view.agent.stats[LISTENER].version,
        "static_listeners": static,
        "dynamic_listeners": list(dynamic.values()),
    }


def _routes(view: View) -> dict[str, Any]:
    return {
        "@type": f"{PREFIX}envoy.admin.v3.RoutesConfigDump",
        "static_route_configs": [
            {
                "route_config": {"@type": ROUTES, **to_dict(table)},
                "last_updated": _stamp(view.wall_time(since)),
            }
            for table, since in _inline_routes(view)
        ],
        "dynamic_route_configs": [
            _entry(view, "route_config", entry.resource, entry.since)
            for entry in view.agent.store.accepted[ROUTES].values()
        ],
    }


def _secrets(view: View) -> dict[str, Any]:
    def named(entry: dict[str, Any]) -> dict[str, Any]:
        return {"name": entry["secret"].get("name", ""), **entry}

    static, dynamic, _ = _sorted_out(view, SECRET, "secret")
    return {
        "@type": f"{PREFIX}envoy.admin.v3.SecretsConfigDump",
        "static_secrets": [named(entry) for entry in static],
        "dynamic_active_secrets": [named(entry) for entry in dynamic],
    }


def _sorted_out(view: View, type_url: str, field: str) -> tuple[list[Any], list[Any], list[Any]]:
    """Static, active and warming entries of one type."""
    store = view.agent.store
    static, active, warming = [], [], []
    for name, entry in store.accepted[type_url].items():
        published = store.published[type_url].get(name)
        shown = _entry(view, field, entry.resource, entry.since)
        if entry.static:
            static.append(shown)
        elif published is not None and published.body == entry.resource.body:
            active.append(shown)
        else:
            warming.append(shown)
            if published is not None:
                active.append(_entry(view, field, published, entry.since))
    return static, active, warming


def _entry(view: View, field: str, resource: Compiled, since: float) -> dict[str, Any]:
    shown = to_dict(parse(resource.type_url, resource.received))
    version = {"version_info": resource.version} if resource.version else {}
    return {
        **version,
        field: {"@type": resource.type_url, **shown},
        "last_updated": _stamp(view.wall_time(since)),
    }


def _inline_routes(view: View) -> Iterator[tuple[Any, float]]:
    for entry in view.agent.store.accepted[LISTENER].values():
        yield from _route_configs(entry)


def _route_configs(entry: Accepted) -> Iterator[tuple[Any, float]]:
    listener: Any = parse(LISTENER, entry.resource.received)
    for chain in listener.filter_chains:
        for network_filter in chain.filters:
            packed = network_filter.typed_config
            if packed.type_url.endswith(".HttpConnectionManager"):
                http: Any = parse(packed.type_url, packed.value)
                if http.HasField("route_config"):
                    yield http.route_config, entry.since


def _redact(value: Any) -> None:
    """Blot out, in place, whatever is under a sensitive field; the names of files may stay."""
    if isinstance(value, list):
        for child in value:
            _redact(child)
    elif isinstance(value, dict):
        for key, child in value.items():
            if key in _SENSITIVE:
                value[key] = _blotted(child)
            else:
                _redact(child)


def _blotted(value: Any) -> Any:
    match value:
        case dict():
            show: dict[str, Callable[[Any], Any]] = {
                "filename": lambda name: name,
                "environment_variable": lambda name: name,
                "inline_bytes": lambda _: base64.b64encode(REDACTED.encode()).decode(),
            }
            return {key: show.get(key, _blotted)(child) for key, child in value.items()}
        case list():
            return [_blotted(child) for child in value]
        case _:
            return REDACTED


def _stamp(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


_ENTRY_TYPES = {
    "static_clusters": ".StaticCluster",
    "dynamic_active_clusters": ".DynamicCluster",
    "dynamic_warming_clusters": ".DynamicCluster",
    "dynamic_endpoint_configs": ".DynamicEndpointConfig",
    "static_listeners": ".StaticListener",
    "dynamic_listeners": ".DynamicListener",
    "static_route_configs": ".StaticRouteConfig",
    "dynamic_route_configs": ".DynamicRouteConfig",
    "static_secrets": ".StaticSecret",
    "dynamic_active_secrets": ".DynamicSecret",
}
