"""The command line as a user meets it: messages, exit codes, machine output."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def meshloom(*arguments: str, home: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "meshloom.cli", *arguments],
        env={**os.environ, "MESHLOOM_HOME": str(home)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_lists_the_commands_and_says_where_to_start(tmp_path: Path) -> None:
    shown = meshloom("--help", home=tmp_path)
    assert shown.returncode == 0
    for word in ("up", "run", "gateway", "demo", "proxy-status", "Exit codes", "meshloom demo"):
        assert word in shown.stdout


@pytest.mark.parametrize(
    "command",
    ["up", "run", "gateway", "demo", "apply", "get", "delete", "validate", "proxy-status", "proxy-config"],
)
def test_every_command_explains_itself(command: str, tmp_path: Path) -> None:
    shown = meshloom(command, "--help", home=tmp_path)
    assert shown.returncode == 0
    assert len(shown.stdout.splitlines()) > 8


def test_version_is_quick_and_imports_nothing_heavy(tmp_path: Path) -> None:
    probe = (
        "import sys; from meshloom.cli.__main__ import main; main(['version']); print(sorted(sys.modules))"
    )
    started = time.monotonic()
    shown = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60
    )
    assert time.monotonic() - started < 5
    for heavy in ("'grpc'", "'yaml'", "'rich'", "'cryptography'", "'asyncio'"):
        assert heavy not in shown.stdout


def test_a_mistyped_command_gets_a_suggestion(tmp_path: Path) -> None:
    shown = meshloom("aply", home=tmp_path)
    assert shown.returncode == 2
    assert "did you mean 'apply'?" in shown.stderr


def test_without_a_mesh_the_exit_code_says_unreachable_and_the_hint_says_how_to_start_one(
    tmp_path: Path,
) -> None:
    shown = meshloom("get", "vs", home=tmp_path)
    assert shown.returncode == 3
    assert "meshloom up" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_a_pilot_that_does_not_answer_is_unreachable(tmp_path: Path) -> None:
    shown = meshloom("get", "vs", "--pilot", "127.0.0.1:1", home=tmp_path)
    assert (shown.returncode, "127.0.0.1:1" in shown.stderr) == (3, True)


def test_a_wrong_kind_is_a_usage_error_with_the_nearest(tmp_path: Path) -> None:
    shown = meshloom("get", "virtualservise", home=tmp_path)
    assert shown.returncode == 2
    assert "VirtualService" in shown.stderr


GOOD = """apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a]
  http:
  - route:
    - destination: {host: a}
"""


def test_validate_accepts_a_good_file_without_a_mesh(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    shown = meshloom("validate", "-f", str(path), home=tmp_path)
    assert (shown.returncode, shown.stdout.strip()) == (0, "valid")


def test_validate_names_line_field_and_remedy(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(GOOD + "    retrys: {}\n")
    shown = meshloom("validate", "-f", str(path), home=tmp_path)
    assert shown.returncode == 1
    assert f"{path}:9: error: spec.http[0].retrys" in shown.stderr
    assert 'did you mean "retries"?' in shown.stderr


def test_validate_speaks_json(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(GOOD + "    retrys: {}\n")
    shown = meshloom("validate", "-f", str(path), "-o", "json", home=tmp_path)
    found = json.loads(shown.stdout)
    assert found["valid"] is False
    assert found["diagnostics"][0]["line"] == 9


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    for command in ("validate", "gateway"):
        shown = meshloom(command, "-f", "nowhere.yaml", home=tmp_path)
        assert (shown.returncode, "nowhere.yaml" in shown.stderr) == (2, True)


def test_run_without_a_program_is_a_usage_error(tmp_path: Path) -> None:
    assert meshloom("run", "--workload", "a", home=tmp_path).returncode == 2


def test_a_gateway_that_no_label_selects_is_told(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    shown = meshloom("gateway", "-f", str(path), home=tmp_path)
    assert (shown.returncode, "no Gateway" in shown.stderr) == (1, True)


def test_a_faulty_meshloom_yaml_is_told_by_field(tmp_path: Path) -> None:
    (tmp_path / "meshloom.yaml").write_text("images:\n  a:\n    comand: [x]\n")
    shown = meshloom("up", str(tmp_path), home=tmp_path / "home")
    assert shown.returncode == 1
    assert "comand" in shown.stderr
