"""`--mode validate`: a verdict, an exit code, and every fault on a line of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.bootstrap import cluster, http_listener, route, static, virtual_host


def validate(path: Path, bootstrap: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    path.write_text(json.dumps(bootstrap, indent=1))
    argv = [sys.executable, "-m", "meshloom.meshproxy", "--mode", "validate", "-c", str(path)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def web(**match: Any) -> dict[str, Any]:
    return static([http_listener("web", [virtual_host(route(match, "up"))])], [cluster("up", 80)])


def test_a_good_one_is_ok(tmp_path: Path) -> None:
    done = validate(tmp_path / "b.json", web(prefix="/"))

    assert (done.returncode, done.stdout) == (0, f"configuration '{tmp_path}/b.json' OK\n")


def test_what_the_compiler_refuses_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    bad = web(safe_regex={"regex": "(unclosed"})
    bad["static_resources"]["clusters"][0]["health_checks"] = [{"timeout": "1s"}]

    done = validate(path, bad)

    assert done.returncode == 1
    first, second, verdict = done.stderr.splitlines()
    lines = path.read_text().splitlines()
    place, _, rest = first.removeprefix(f"{path}:").partition(": ")
    assert "regex" in lines[int(place) - 1]
    assert rest.startswith("static_resources.listeners[0].filter_chains[0].filters[0]")
    assert ": static_resources.clusters[0].health_checks" in second
    assert verdict == f"configuration '{path}' is not valid: 2 faults"


def test_an_unknown_type_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    bad = web(prefix="/")
    chain = bad["static_resources"]["listeners"][0]["filter_chains"][0]
    chain["filters"][0]["typed_config"] = {"@type": "type.googleapis.com/envoy.no.such.Filter"}

    done = validate(path, bad)

    assert done.returncode == 1
    assert "unknown type 'type.googleapis.com/envoy.no.such.Filter'" in done.stderr


def test_a_bad_bootstrap_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("static_resources: {listener: []}\n")
    argv = [sys.executable, "-m", "meshloom.meshproxy", "-c", str(tmp_path / "b.yaml")]

    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)

    assert done.returncode == 1
    assert "StaticResources has no field 'listener', did you mean listeners?" in done.stderr


def test_spellings_that_only_envoys_parser_takes_are_taken(tmp_path: Path) -> None:
    spelled = web(prefix="/")
    listener, up = spelled["static_resources"]["listeners"][0], spelled["static_resources"]["clusters"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    listener |= {"bind_to_port": "True", "per_connection_buffer_limit_bytes": {"value": 32768}}
    manager |= {"codec_type": "auto", "merge_slashes": "true"}
    manager["route_config"]["virtual_hosts"][0]["domains"] = "*"
    up |= {
        "type": "static",
        "lb_policy": "round_robin",
        "connect_timeout": {"seconds": 1, "nanos": 500000000},
    }

    done = validate(tmp_path / "b.json", spelled)

    assert (done.returncode, done.stderr) == (0, "")
