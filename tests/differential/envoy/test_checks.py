"""meshproxy asks as the real Envoy asks in health checks, and makes the same of the answers."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.differential.envoy.checked import Checked, Say
from tests.differential.envoy.checks import AT_ONCE, CASES, CLOSE, ILL, LOST, OK, PING, Case, grpc
from tests.support.bootstrap import cluster, http_listener, route, static, virtual_host
from tests.support.client import fetch
from tests.support.proxies import KINDS, Kind, Proxy, running
from tests.support.wait import eventually, until

pytestmark = pytest.mark.xdist_group("differential-envoy")

Observed = dict[str, Any]
DIFFERENCES: dict[str, set[str]] = {
    # Envoy adds to its gauge when an endpoint is degraded again.
    "degraded": {"health_check.degraded"},
    # An endpoint that may still be well is not left out of any count.
    "at-once-retriable": {"flags"},
    # Lines of one name stay as they came.
    "adds": {"asked"},
    # Who ends the connection behind the right answer has answered.
    "tcp-answer-and-end": {"health_check.failure", "health_check.network_failure"},
}


def observe(proxy: Proxy, case: Case, origin: Checked, stats: list[str], clusters: list[str]) -> Observed:
    prefix = f"cluster.{case.name}."
    mine = [line.removeprefix(prefix).split(": ") for line in stats if line.startswith(prefix)]
    values = {name: value for name, value in mine if name.startswith(("health_check.", "membership_"))}
    # A counter that was never touched may not be there yet.
    values.setdefault("health_check.passive_failure", "0")
    flags = [
        line.split("::")[-1] for line in clusters if line.startswith(f"{case.name}::127") and "flags" in line
    ]
    asked = [lines(each) for each in origin.asked]
    return {
        **values,
        "flags": flags,
        "asked": asked,
        "over": list(origin.over),
        "connections": origin.connections,
    }


def lines(asked: bytes) -> list[bytes]:
    """The order of fields says nothing in HTTP/2."""
    if not asked.startswith(b":"):
        return [asked]
    head, _, body = asked.partition(b"\n\n")
    return [*sorted(head.split(b"\n")), body]


def play(kind: Kind, folder: Path) -> dict[str, Observed]:
    with contextlib.ExitStack() as stack:
        origins = {case.name: case.origin() for case in CASES}
        for origin in origins.values():
            stack.callback(origin.close)
        listener = http_listener("l", [virtual_host(route({"prefix": "/"}, "plain"))])
        clusters = [case.resource(origins[case.name].port) for case in CASES]
        proxy = stack.enter_context(running(kind, static([listener], clusters), folder))
        at_rest = [origins[case.name] for case in CASES if case.script]
        assert eventually(lambda: all(origin.done for origin in at_rest), 10), "the scripts were not played"
        # What the last answers came to is counted before the question behind them goes out.
        stats, members = proxy.get("/stats").splitlines(), proxy.get("/clusters").splitlines()
        return {case.name: observe(proxy, case, origins[case.name], stats, members) for case in CASES}


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, dict[str, Observed]]:
    return {kind: play(kind, tmp_path_factory.mktemp(kind)) for kind in KINDS}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_checks_ask_and_judge_alike(observed: dict[Kind, dict[str, Observed]], case: Case) -> None:
    ours, theirs = observed["meshproxy"][case.name], observed["envoy"][case.name]
    different = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    wanted = DIFFERENCES.get(case.name, set())
    assert different == wanted, {key: (ours.get(key), theirs.get(key)) for key in different ^ wanted}


EVENTS = [
    Case("healthy", [OK, ILL, OK, OK, CLOSE, CLOSE]),
    Case("at-first", [ILL, LOST]),
    Case("degrading", [Say(200, [("x-envoy-degraded", "")]), OK, Say(200, [("x-envoy-degraded", "")]), ILL]),
    Case("calls", [grpc(1), grpc(2)], "grpc"),
    Case("bytes", [Say(raw=b"PONG"), CLOSE, CLOSE], "tcp", PING),
]


@pytest.mark.parametrize("all_of_them", [False, True])
def test_events_are_written_alike(all_of_them: bool, tmp_path: Path) -> None:
    written = []
    for kind in KINDS:
        log = tmp_path / f"{kind}-events"
        more: dict[str, Any] = {"event_log_path": str(log)}
        for field in ("always_log_health_check_failures", "always_log_health_check_success"):
            more[field] = all_of_them
        with contextlib.ExitStack() as stack:
            cases = [replace(case, more=more) for case in EVENTS]
            origins = [stack.enter_context(case.origin()) for case in cases]
            clusters = [case.resource(each.port) for case, each in zip(cases, origins, strict=True)]
            for made in clusters:
                made["load_assignment"]["endpoints"][0]["locality"] = {"region": "r", "zone": "z"}
            listener = http_listener("l", [virtual_host(route({"prefix": "/"}, "healthy"))])
            flags = ["--file-flush-interval-msec", "50"]
            stack.enter_context(running(kind, static([listener], clusters), tmp_path / kind, *flags))
            until(lambda origins=origins: all(origin.done for origin in origins))  # type: ignore[misc]
        written.append(events_of(log))
    ours, envoys = written
    assert ours == envoys


def events_of(log: Path) -> dict[str, list[Any]]:
    """The events of each cluster in their order, without what chance decides."""
    events: dict[str, list[Any]] = {}
    for line in log.read_text().splitlines():
        event = json.loads(line)
        del event["timestamp"]
        del event["host"]["socket_address"]["port_value"]
        events.setdefault(event["cluster_name"], []).append(event)
    return events


def flags_of(proxy: Proxy, port: int) -> str:
    prefix = f"c::127.0.0.1:{port}::health_flags::"
    lines = proxy.get("/clusters").splitlines()
    return next(line.removeprefix(prefix) for line in lines if line.startswith(prefix))


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_to_a_request_may_take_its_endpoint_out(kind: Kind, tmp_path: Path) -> None:
    slow = {"interval": "60s", "no_traffic_interval": "60s", "event_log_path": str(tmp_path / "events")}
    with contextlib.ExitStack() as stack:
        origins = [Case(str(number), [Say()]).origin() for number in range(3)]
        for origin in origins:
            stack.callback(origin.close)
        resource = Case("c", [], more=slow).resource(origins[0].port)
        resource["load_assignment"] = cluster("c", *(each.port for each in origins))["load_assignment"]
        listener = http_listener("l", [virtual_host(route({"prefix": "/"}, "c"))])
        flags = ["--concurrency", "3", "--file-flush-interval-msec", "50"]
        proxy = stack.enter_context(running(kind, static([listener], [resource]), tmp_path / kind, *flags))
        origins[1].reply = Say(200, AT_ONCE)
        answers = [fetch(proxy.port("l"), "GET", "/traffic") for _ in range(9)]
        assert origins[1].traffic
        # It is the client's business, too.
        assert any(answer.header("x-envoy-immediate-health-check-fail") for answer in answers)
        assert eventually(lambda: proxy.stat("cluster.c.membership_excluded") == 1)
        assert flags_of(proxy, origins[1].port) == "/failed_active_hc/excluded_via_immediate_hc_fail"
        assert flags_of(proxy, origins[0].port) == "healthy"
        names = ("passive_failure", "failure", "network_failure", "success", "healthy")
        counted = [proxy.stat(f"cluster.c.health_check.{name}") for name in names]
        assert counted[0] == counted[1] >= 1
        assert counted[2:] == [0, 3, 2]
        assert proxy.stat("cluster.c.membership_healthy") == 2
        before = origins[1].traffic
        assert {fetch(proxy.port("l"), "GET", "/traffic").status for _ in range(12)} == {200}
        assert origins[1].traffic == before
        assert eventually(lambda: "eject_unhealthy_event" in (tmp_path / "events").read_text())
        events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
        ejected = [event["eject_unhealthy_event"] for event in events if "eject_unhealthy_event" in event]
        assert [event["failure_type"] for event in ejected] == ["PASSIVE"]
