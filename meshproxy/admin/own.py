"""What the agent itself counts, under Envoy's names."""

from __future__ import annotations

import time
from collections.abc import Iterator

from meshloom.meshproxy.admin.stats import Sample, counter, gauge
from meshloom.meshproxy.admin.view import View
from meshloom.meshproxy.resources.protos import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET

_PREFIXES = {
    CLUSTER: "cluster_manager.cds",
    ENDPOINTS: "cluster_manager.eds",
    LISTENER: "listener_manager.lds",
    ROUTES: "http.rds",
    SECRET: "sds",
}


def own_stats(view: View) -> Iterator[Sample]:
    agent, fleet, store = view.agent, view.agent.fleet, view.agent.store
    warming = store.warming(agent.clock())
    yield gauge("server.live", int(view.state == "LIVE"))
    yield gauge("server.state", STATES.index(view.state))
    yield gauge("server.uptime", int(time.monotonic() - view.started))
    yield gauge("server.concurrency", len(fleet.workers))
    yield gauge("server.hot_restart_epoch", agent.options.restart_epoch)
    yield gauge("server.days_until_first_cert_expiring", view.days_until_expiry())
    yield counter("server.worker_restarts", fleet.restarts)
    yield counter("server.reload_failed", agent.reloads_failed)
    yield counter("server.worker_update_rejected", fleet.rejected)
    yield gauge("cluster_manager.active_clusters", len(store.published[CLUSTER]))
    warming_clusters = sum(name.startswith(CLUSTER) for name in warming)
    warming_listeners = sum(name.startswith(LISTENER) for name in warming)
    yield gauge("cluster_manager.warming_clusters", warming_clusters)
    yield gauge("listener_manager.total_listeners_active", len(store.published[LISTENER]))
    yield gauge("listener_manager.total_listeners_warming", warming_listeners)
    yield counter("listener_manager.listener_create_failure", fleet.bind_failures)
    yield gauge("control_plane.connected_state", int(view.connected))
    for type_url, prefix in _PREFIXES.items():
        stats = agent.stats[type_url]
        yield counter(f"{prefix}.update_attempt", stats.attempt)
        yield counter(f"{prefix}.update_success", stats.success)
        yield counter(f"{prefix}.update_rejected", stats.rejected)
        yield counter(f"{prefix}.update_failure", stats.failure)


STATES = ("LIVE", "DRAINING", "PRE_INITIALIZING", "INITIALIZING")
"""In the order of envoy.admin.v3.ServerInfo.State."""
