"""What objects say of each other that cannot be is a warning, placed at the field that says it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from meshloom.pilot.ingest.analysis import analyse
from meshloom.pilot.ingest.configuration import Configuration
from meshloom.pilot.ingest.diagnostic import Diagnostic, Severity
from meshloom.pilot.ingest.validate import validate
from meshloom.pilot.store.directory import DirectoryStore

from tests.pilot.ingest.documents import document, parse
from tests.support.shared import shared_data

WEB = document("Service", "shop/web", {"ports": [{"port": 80, "name": "http"}]})
TWO_PORTS = document(
    "Service", "shop/two", {"ports": [{"port": 80, "name": "http"}, {"port": 81, "name": "x"}]}
)
SUBSETS = document(
    "DestinationRule", "shop/web", {"host": "web", "subsets": [{"name": "v1"}, {"name": "v2"}]}
)
GATEWAY = document(
    "Gateway",
    "edge/main",
    {"servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]},
)


def found(*documents: str) -> list[Diagnostic]:
    parsed = parse(*documents)
    assert not parsed.has_errors
    return list(analyse({a.object.key: a for a in parsed.accepted}))


def to(host: str, **fields: Any) -> str:
    spec = {"hosts": ["web"], "http": [{"route": [{"destination": {"host": host, **fields}}]}]}
    return document("VirtualService", "shop/rule", spec)


@pytest.mark.parametrize(
    ("documents", "path", "words", "hint"),
    [
        ([WEB, to("wbe")], "host", 'no service "wbe.shop.svc.cluster.local" is declared', "did you mean"),
        ([WEB, to("web.other")], "host", 'no service "web.other" is declared', ""),
        ([WEB, to("web", port={"number": 81})], "port.number", "has no port 81", "known: 80"),
        ([TWO_PORTS, to("two")], "", "has several ports (80, 81)", "say which"),
        ([WEB, to("web", subset="v1")], "subset", 'no DestinationRule defines subset "v1"', ""),
        ([WEB, SUBSETS, to("web", subset="v3")], "subset", 'defines subset "v3"', "known: v1, v2"),
    ],
)
def test_a_destination_that_leads_nowhere(documents: list[str], path: str, words: str, hint: str) -> None:
    (warning,) = found(*documents)
    assert warning.severity is Severity.WARNING
    assert warning.path == ".".join(filter(None, ("spec.http[0].route[0].destination", path)))
    assert words in warning.message
    assert hint in warning.hint
    assert warning.line > 1


def test_what_is_declared_is_fine() -> None:
    bound = {
        "hosts": ["a.com"],
        "gateways": ["edge/main"],
        "http": [{"route": [{"destination": {"host": "web"}}]}],
    }
    rules = document("VirtualService", "shop/edge", bound)
    assert found(WEB, SUBSETS, GATEWAY, to("web", subset="v2", port={"number": 80}), rules) == []


def test_a_gateway_that_nobody_declares() -> None:
    bound = {
        "hosts": ["a.com"],
        "gateways": ["main"],
        "http": [{"route": [{"destination": {"host": "web"}}]}],
    }
    (warning,) = found(WEB, GATEWAY, document("VirtualService", "shop/edge", bound))
    assert (warning.path, warning.message) == ("spec.gateways[0]", 'no Gateway "shop/main" is declared')


def test_the_younger_of_two_rules_for_a_host_is_told_of_the_older() -> None:
    spec = {"hosts": ["web"], "http": [{"route": [{"destination": {"host": "web"}}]}]}
    old = document("VirtualService", "shop/old", spec, creationTimestamp="2026-01-01T00:00:00Z")
    young = document("VirtualService", "shop/young", spec, creationTimestamp="2026-01-02T00:00:00Z")
    (warning,) = found(WEB, young, old)
    assert warning.object is not None
    assert (warning.object.name, warning.path) == ("young", "spec.hosts[0]")
    assert "VirtualService shop/old" in warning.message


def test_a_destination_rule_for_nothing() -> None:
    (warning,) = found(WEB, document("DestinationRule", "shop/x", {"host": "wep"}))
    assert (warning.path, warning.hint) == ("spec.host", 'did you mean "web.shop.svc.cluster.local"?')


def test_rules_alone_are_not_held_against_services_that_are_elsewhere() -> None:
    assert found(to("web", subset="v9")) == []


async def test_apply_tells_of_the_objects_applied_and_of_no_others(tmp_path: Path) -> None:
    configuration = Configuration(None, DirectoryStore(tmp_path), lambda: datetime.now(UTC))
    await configuration.apply(WEB + "---\n" + to("web", subset="v1"), "first.yaml")
    other = document("DestinationRule", "shop/other", {"host": "nothing"})
    applied = await configuration.apply(other, "second.yaml", dry_run=True)
    assert [(d.source, d.path) for d in applied.diagnostics] == [("second.yaml", "spec.host")]
    assert [d.path for d in configuration.diagnostics] == ["spec.http[0].route[0].destination.subset"]


def test_bookinfo_has_nothing_to_be_told_but_what_its_files_leave_out() -> None:
    data = shared_data() / "bookinfo"
    rules = data / "networking"
    files = [
        data / "kube/bookinfo.yaml",
        rules / "destination-rule-all.yaml",
        rules / "virtual-service-all-v1.yaml",
    ]
    assert validate([*files, rules / "bookinfo-gateway.yaml"]) == []
    (warning, *_) = validate([*files[:1], rules / "virtual-service-reviews-test-v2.yaml"])
    assert 'no DestinationRule defines subset "v2"' in warning.message
