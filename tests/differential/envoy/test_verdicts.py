"""`--mode validate` says of a bootstrap what the real Envoy says of it, and names what is wrong."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from meshloom.meshproxy.bootstrap.load import InvalidBootstrap, load
from meshloom.meshproxy.options import Options

from tests.differential.envoy.verdicts import CHANGES, Change, changed
from tests.support.envoy import envoy_binary

pytestmark = pytest.mark.xdist_group("differential-envoy")


@pytest.mark.parametrize("one", CHANGES, ids=lambda one: one.name.replace(" ", "-"))
def test_the_verdict_is_envoys(one: Change, tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    path.write_text(json.dumps(changed(one), indent=1))
    argv = [str(envoy_binary()), "--mode", "validate", "-c", str(path), "-l", "error"]
    envoys = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    lines: tuple[str, ...] = ()
    try:
        load(Options(config_path=str(path)))
    except InvalidBootstrap as refused:
        lines = refused.lines

    assert bool(lines) == bool(envoys.returncode), f"{lines}\n{envoys.stderr}"
    for line in lines:
        # File, line, the field's path, and a reason.
        assert re.match(rf"{re.escape(str(path))}:\d+: [\w.\[\]@\"]+: \S", line), line
