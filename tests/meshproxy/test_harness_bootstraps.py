"""The bootstraps that the benchmark harness writes for Envoy run here as they are."""

from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from meshloom.meshproxy.bootstrap.load import load
from meshloom.meshproxy.options import Options

from tests.meshproxy.pki import Authority
from tests.support.shared import ROOT

NEEDS_HTTP2 = {"h2_small", "h2_to_h1"}


@pytest.fixture(scope="module")
def harness() -> Iterator[tuple[Any, Any]]:
    """The harness's modules `proxies` and `scenarios`."""
    folder = Path(os.environ.get("MESHLOOM_SHARED", ROOT.parent / "shared")) / "bench" / "peers"
    if not folder.is_dir():
        pytest.skip(f"the harness is not at {folder}: set MESHLOOM_SHARED")
    sys.path.insert(0, str(folder))
    yield importlib.import_module("proxies"), importlib.import_module("scenarios")
    sys.path.remove(str(folder))


def context(folder: Path) -> types.SimpleNamespace:
    issued = Authority().issue("upstream.test")
    (folder / "cert").write_bytes(issued.chain)
    (folder / "key").write_bytes(issued.key)
    cert, key = str(folder / "cert"), str(folder / "key")
    certs = types.SimpleNamespace(ca=cert, server=cert, server_key=key, client=cert, client_key=key)
    return types.SimpleNamespace(dir=str(folder), listen_port=10000, upstream_port=10001, certs=certs)


def test_every_scenario_is_accepted(tmp_path: Path, harness: tuple[Any, Any]) -> None:
    proxies, scenarios = harness
    accepted = []
    for scenario in scenarios.SCENARIOS:
        if scenario.name in NEEDS_HTTP2 or scenario.spec.down == "h2" or scenario.spec.up == "h2":
            continue
        proxies.Meshproxy.bin = "meshproxy"
        argv = proxies.Meshproxy().start(scenario.spec, context(tmp_path))

        loaded = load(Options(config_path=argv[argv.index("-c") + 1]))

        accepted.append(scenario.name)
        assert [resource.name for resource in loaded.static] == ["up", "l"], scenario.name
    assert len(accepted) > 10
