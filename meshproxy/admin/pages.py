"""The admin endpoint's pages: one table of paths, each with the method it takes and what it answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from meshloom.meshproxy.admin import certs, process, stats
from meshloom.meshproxy.admin.clusters import clusters_json, clusters_text, listeners_json, listeners_text
from meshloom.meshproxy.admin.dump import config_dump, only, resource_fields, to_dict
from meshloom.meshproxy.admin.own import own_stats
from meshloom.meshproxy.admin.view import View
from meshloom.meshproxy.options import LEVELS
from meshloom.runtime.http import Request, Response
from meshloom.runtime.log import set_up

JSON = "application/json"
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"

Query = Mapping[str, str]


class Page(NamedTuple):
    answer: Callable[[View, Query], Response]
    help: str
    method: str = "GET"


async def answer(view: View, request: Request) -> Response:
    """Answer one request, as Envoy does: unknown paths list the known ones, changes need POST."""
    page = PAGES.get(request.path.rstrip("/") or "/")
    if page is None:
        return Response(f"invalid path. admin commands are:\n{_commands()}".encode(), 404)
    if request.method != page.method and not (request.method == "HEAD" and page.method == "GET"):
        text = f"Method {request.method} not allowed, {page.method} required.\n"
        return Response(text.encode(), 405, headers={"allow": page.method})
    return page.answer(view, request.query)


def _text(body: str, status: int = 200) -> Response:
    return Response(body.encode(), status, headers=_NO_STORE)


def _json(body: str) -> Response:
    return Response(body.encode(), content_type=JSON, headers=_NO_STORE)


def _ready(view: View, query: Query) -> Response:
    return _text(f"{view.state}\n", 200 if view.state == "LIVE" else 503)


def _stats(view: View, query: Query) -> Response:
    if query.get("format") == "prometheus":
        return _prometheus(view, query)
    try:
        chosen = _chosen(view, query)
    except re.error as error:
        return _text(f"Invalid regex: {error}\n", 400)
    match query.get("format", "text"):
        case "text":
            return _text(stats.text(chosen))
        case "json":
            return _json(stats.as_json(chosen))
        case other:
            return _text(f"usage: /stats?format=text|json|prometheus, not {other!r}\n", 400)


def _prometheus(view: View, query: Query) -> Response:
    try:
        chosen = _chosen(view, query)
    except re.error as error:
        return _text(f"Invalid regex: {error}\n", 400)
    return Response(stats.prometheus(chosen).encode(), content_type=EXPOSITION, headers=_NO_STORE)


def _chosen(view: View, query: Query) -> list[stats.Sample]:
    samples = [*own_stats(view), *view.worker_stats()]
    return list(stats.select(samples, query.get("filter", ""), used_only="usedonly" in query))


def _config_dump(view: View, query: Query) -> Response:
    if "mask" in query:
        return _text("mask is not implemented; use resource\n", 400)
    sections = config_dump(view, include_eds="include_eds" in query or "resource" in query)
    resource = query.get("resource")
    if resource is not None:
        try:
            sections = only(sections, resource)
        except KeyError:
            return _text(f"{resource} not found in config dump: want {', '.join(resource_fields())}\n", 404)
    if pattern := query.get("name_regex"):
        try:
            sections = [section for section in sections if re.search(pattern, json.dumps(section))]
        except re.error as error:
            return _text(f"Invalid regex: {error}\n", 400)
    return _json(json.dumps({"configs": sections}, indent=1))


def _clusters(view: View, query: Query) -> Response:
    return _json(clusters_json(view)) if query.get("format") == "json" else _text(clusters_text(view))


def _listeners(view: View, query: Query) -> Response:
    return _json(listeners_json(view)) if query.get("format") == "json" else _text(listeners_text(view))


def _certs(view: View, query: Query) -> Response:
    return _json(certs.as_json(view.certificates()))


def _server_info(view: View, query: Query) -> Response:
    import time

    from meshloom.fastpath import _core

    options = view.agent.options
    uptime = f"{int(time.monotonic() - view.started)}s"
    information = {
        "version": f"meshproxy/{_core.__version__}",
        "state": view.state,
        "hot_restart_version": HOT_RESTART_VERSION,
        "command_line_options": {k: v for k, v in options._asdict().items() if v not in ("", (), 0)},
        "node": to_dict(view.agent.bootstrap.node),
        "uptime_current_epoch": uptime,
        "uptime_all_epochs": uptime,
    }
    return _json(json.dumps(information, indent=1))


def _logging(view: View, query: Query) -> Response:
    level = query.get("level")
    if level is not None:
        if level not in LEVELS:
            return _text(f"unknown level {level!r}: want {', '.join(LEVELS)}\n", 400)
        set_up(level)
        view.agent.set_log_level(level)
    return _text(f"active loggers:\n  meshproxy: {view.agent.log_level}\n")


def _drain_listeners(view: View, query: Query) -> Response:
    view.agent.relay.send({"type": "drain", "seconds": view.agent.options.drain_time_s})
    return _text("OK\n")


def _quit(view: View, query: Query) -> Response:
    if view.agent.relay.connected:
        view.agent.relay.send({"type": "quit"})
    else:
        view.agent.fleet.end_orphans()
    return _text("OK\n")


def _health(failed: bool) -> Callable[[View, Query], Response]:
    def change(view: View, query: Query) -> Response:
        view.health_failed = failed
        return _text("OK\n")

    return change


def _reset_counters(view: View, query: Query) -> Response:
    view.reset_counters()
    return _text("OK\n")


def _help(view: View, query: Query) -> Response:
    return _text(f"admin commands are:\n{_commands()}")


def _commands() -> str:
    return "".join(
        f"  {path}{' (POST)' if page.method == 'POST' else ''}: {page.help}\n" for path, page in PAGES.items()
    )


HOT_RESTART_VERSION = "meshproxy.1"
_NO_STORE = {"cache-control": "no-cache, max-age=0", "x-content-type-options": "nosniff"}

PAGES = {
    "/": Page(_help, "this list"),
    "/certs": Page(_certs, "certificates in use and when they expire"),
    "/clusters": Page(_clusters, "clusters and their endpoints; format=json"),
    "/config_dump": Page(_config_dump, "the configuration; resource=FIELD, name_regex=RE, include_eds"),
    "/drain_listeners": Page(_drain_listeners, "stop listening, let requests end", "POST"),
    "/healthcheck/fail": Page(_health(True), "make /ready say DRAINING", "POST"),
    "/healthcheck/ok": Page(_health(False), "undo /healthcheck/fail", "POST"),
    "/help": Page(_help, "this list"),
    "/hot_restart_version": Page(
        lambda view, query: _text(HOT_RESTART_VERSION), "which versions can hand over to each other"
    ),
    "/listeners": Page(_listeners, "listeners and where they are bound; format=json"),
    "/logging": Page(_logging, "change the log level: level=LEVEL", "POST"),
    "/memory": Page(lambda view, query: _json(process.memory(view)), "memory of the workers"),
    "/quitquitquit": Page(_quit, "drain and end", "POST"),
    "/ready": Page(_ready, "200 and LIVE once everything serves"),
    "/reset_counters": Page(_reset_counters, "count from zero in these pages", "POST"),
    "/runtime": Page(lambda view, query: _json(process.runtime(view)), "runtime keys and their values"),
    "/server_info": Page(_server_info, "version, state, options, node"),
    "/stats": Page(_stats, "everything counted; filter=RE, usedonly, format=json|prometheus"),
    "/stats/prometheus": Page(_prometheus, "everything counted, for Prometheus; filter=RE, usedonly"),
}
