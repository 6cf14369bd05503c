"""The overload manager of a bootstrap: what workers are told, and what is refused by path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from meshloom.meshproxy.bootstrap.load import InvalidBootstrap, load
from meshloom.meshproxy.bootstrap.overload import settings_of
from meshloom.meshproxy.options import Options

MONITORS = "type.googleapis.com/envoy.extensions.resource_monitors."
HEAP = {
    "name": "heap",
    "typed_config": {
        "@type": MONITORS + "fixed_heap.v3.FixedHeapConfig",
        "max_heap_size_bytes": 1_000_000,
    },
}


def loaded(folder: Path, bootstrap: dict[str, Any]) -> Any:
    path = folder / "b.json"
    path.write_text(json.dumps(bootstrap))
    return load(Options(config_path=str(path))).message


def test_the_runtime_key_of_older_bootstraps_limits_connections(tmp_path: Path) -> None:
    flat = {"name": "flat", "static_layer": {"overload.global_downstream_max_connections": 5}}
    deep = {"name": "deep", "static_layer": {"overload": {"global_downstream_max_connections": 7}}}

    settings = settings_of(loaded(tmp_path, {"layered_runtime": {"layers": [flat, deep]}}))

    name = "envoy.resource_monitors.global_downstream_max_connections"
    assert settings["monitors"][-1] == {"name": name, "kind": "connections", "max": 7}


def action(name: str = "shrink_heap", **trigger: Any) -> dict[str, Any]:
    return {"name": f"envoy.overload_actions.{name}", "triggers": [{"name": "heap", **trigger}]}


def test_what_is_configured_reaches_the_workers(tmp_path: Path) -> None:
    cgroup = {
        "name": "group",
        "typed_config": {"@type": MONITORS + "cgroup_memory.v3.CgroupMemoryConfig"},
    }
    scaled = {"scaling_threshold": 0.5, "saturation_threshold": 0.75}
    manager = {
        "refresh_interval": "0.25s",
        "resource_monitors": [HEAP, cgroup],
        "actions": [action(threshold={"value": 0.5}), action("stop_accepting_requests", scaled=scaled)],
    }
    assert settings_of(loaded(tmp_path, {"overload_manager": manager})) == {
        "refresh_ms": 250,
        "monitors": [
            {"name": "heap", "kind": "fixed_heap", "max_bytes": 1_000_000},
            {"name": "group", "kind": "cgroup_memory", "max_bytes": None},
        ],
        "actions": [
            {
                "name": "envoy.overload_actions.shrink_heap",
                "triggers": [{"monitor": "heap", "from": 0.5, "to": 0.5}],
            },
            {
                "name": "envoy.overload_actions.stop_accepting_requests",
                "triggers": [{"monitor": "heap", "from": 0.5, "to": 0.75}],
            },
        ],
    }


def test_without_one_memory_and_descriptors_are_watched(tmp_path: Path) -> None:
    settings = settings_of(loaded(tmp_path, {}))
    assert [monitor["kind"] for monitor in settings["monitors"]] == ["cgroup_memory", "descriptors"]
    order = [entry["name"].rpartition(".")[2] for entry in settings["actions"]]
    keepalive, requests, connections = (
        order.index(name)
        for name in ("disable_http_keepalive", "stop_accepting_requests", "stop_accepting_connections")
    )
    assert keepalive < requests < connections


def test_an_empty_one_turns_it_off(tmp_path: Path) -> None:
    settings = settings_of(loaded(tmp_path, {"overload_manager": {}}))
    assert (settings["monitors"], settings["actions"]) == ([], [])


@pytest.mark.parametrize(
    ("manager", "fault"),
    [
        ({"loadshed_points": [{"name": "x"}]}, "loadshed_points: is not implemented"),
        (
            {"actions": [action("reduce_timeouts", threshold={"value": 0.5})]},
            "actions[0].name: 'envoy.overload_actions.reduce_timeouts' is not implemented",
        ),
        ({"actions": [action(threshold={"value": 1.5})]}, "actions[0].triggers[0].threshold.value: 1.5"),
        ({"actions": [action()]}, "actions[0].triggers[0]: give threshold or scaled"),
        (
            {
                "actions": [
                    action(scaled={"scaling_threshold": 0.9, "saturation_threshold": 0.9}),
                ]
            },
            "actions[0].triggers[0].scaled.saturation_threshold: must be more than",
        ),
        (
            {
                "actions": [
                    {
                        "name": "envoy.overload_actions.shrink_heap",
                        "triggers": [{"name": "x", "threshold": {"value": 0.1}}],
                    }
                ]
            },
            "actions[0].triggers[0].name: 'x' is no resource monitor; want one of heap",
        ),
        ({"resource_monitors": [HEAP, HEAP]}, "resource_monitors[1].name: 'heap' is also the name"),
        (
            {
                "resource_monitors": [
                    {**HEAP, "typed_config": {"@type": MONITORS + "fixed_heap.v3.FixedHeapConfig"}}
                ]
            },
            "resource_monitors[0].typed_config.max_heap_size_bytes: must be more than 0",
        ),
        (
            {
                "resource_monitors": [
                    {
                        "name": "cpu",
                        "typed_config": {
                            "@type": MONITORS + "cpu_utilization.v3.CpuUtilizationConfig",
                        },
                    }
                ]
            },
            "resource_monitors[0].typed_config.@type: envoy.extensions.resource_monitors.cpu_utilization",
        ),
    ],
    ids=["load shed", "action", "value", "no kind", "order", "no monitor", "twice", "no limit", "monitor"],
)
def test_what_cannot_be_done_is_refused_by_path(tmp_path: Path, manager: dict[str, Any], fault: str) -> None:
    manager = {"resource_monitors": [HEAP], **manager}
    with pytest.raises(InvalidBootstrap) as caught:
        loaded(tmp_path, {"overload_manager": manager})
    assert any(f"overload_manager.{fault}" in line for line in caught.value.lines), caught.value.lines
