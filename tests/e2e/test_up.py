"""`meshloom up`: copies follow their Deployments, failed ones come back, and the commands find it all."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.mesh import UpMesh, run_meshloom, up
from tests.support.wait import until

# A mesh needs the machine: these run one after the other, also when other tests run in parallel.

CONFIG = """
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: team}
spec:
  selector: {app: echo}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: team}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo, namespace: team}
spec:
  hosts: ["*"]
  gateways: [door]
  http:
  - route: [{destination: {host: echo}}]
    retries: {attempts: 3, retryOn: "connect-failure,reset,503"}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo, namespace: team}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      serviceAccountName: echo
      containers:
      - {name: echo, image: team/echo, ports: [{containerPort: 8080}], env: [{name: COLOR, value: COLOUR}]}
"""
PROGRAM = """
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer
class Echo(BaseHTTPRequestHandler):
    def do_GET(self):
        facts = {"copy": os.environ["HOSTNAME"], "pid": os.getpid(), "color": os.environ["COLOR"]}
        body = json.dumps(facts).encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Echo).serve_forever()
"""
SETTINGS = """
config: config
images: {"team/echo*": {command: ["{python}", "{dir}/echo.py"], ready: /}}
gateway: {ports: {8080: 0}}
"""


@pytest.fixture(scope="module", params=["meshproxy", "envoy"])
def mesh(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[UpMesh, Path]]:
    folder = tmp_path_factory.mktemp("echo")
    (folder / "config").mkdir()
    (folder / "config" / "echo.yaml").write_text(CONFIG)
    (folder / "config" / "deployment.yaml").write_text(deployment(2))
    (folder / "echo.py").write_text(PROGRAM)
    (folder / "meshloom.yaml").write_text(SETTINGS)
    with up(folder, proxy=request.param) as running:
        until(lambda: running.get("/").status == 200, "the echo answers", 20)
        yield running, folder / "config" / "deployment.yaml"


def deployment(replicas: int, color: str = "red") -> str:
    return DEPLOYMENT.replace("REPLICAS", str(replicas)).replace("COLOUR", color)


def answers(mesh: UpMesh, count: int = 12) -> list[dict[str, Any]]:
    found = []
    for _ in range(count):
        answer = mesh.get("/")
        assert answer.status == 200, answer.body
        found.append(answer.json())
    return found


def copies(mesh: UpMesh) -> set[str]:
    return {str(a["copy"]) for a in answers(mesh)}


def test_a_changed_file_scales_out_and_in(mesh: tuple[UpMesh, Path]) -> None:
    running, file = mesh
    file.write_text(deployment(3))
    until(lambda: len(copies(running)) == 3, "three copies answer", 30)
    file.write_text(deployment(2))
    until(lambda: len(copies(running)) == 2, "two copies answer", 30)


def test_a_changed_program_is_rolled_out_without_an_error(mesh: tuple[UpMesh, Path]) -> None:
    running, file = mesh
    file.write_text(deployment(2, "blue"))
    # `answers` fails at the first request that is not answered with 200.
    until(lambda: {a["color"] for a in answers(running)} == {"blue"}, "only blue copies answer", 30)
    assert len(copies(running)) == 2


def test_a_killed_program_is_replaced_and_its_copy_leaves_the_rotation(mesh: tuple[UpMesh, Path]) -> None:
    running, _ = mesh
    victim = answers(running, 1)[0]
    os.kill(victim["pid"], signal.SIGKILL)
    until(lambda: victim["copy"] not in copies(running), "the killed copy is out")
    until(lambda: len(copies(running)) == 2, "another has taken its place", 30)


def proxies(running: UpMesh) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = json.loads(running.meshloom("proxy-status", "-o", "json").stdout)
    return rows


def test_the_commands_find_the_mesh_by_themselves(mesh: tuple[UpMesh, Path]) -> None:
    running, _ = mesh
    # The proxies of copies that have just gone may still be draining.
    until(lambda: sum(row["name"].startswith("echo-") for row in proxies(running)) == 2, "two proxies", 30)
    until(lambda: {row["CDS"] for row in proxies(running)} == {"SYNCED"}, "all are synced", 30)
    listed = running.meshloom("get", "vs", "-n", "team").stdout
    assert "echo.yaml:" in listed, "the file and line behind each object"


@pytest.mark.parametrize(
    ("what", "word"),
    [
        ("listeners", "8080"),
        ("routes", "outbound|80||echo.team.svc.cluster.local"),
        ("clusters", "echo.team.svc.cluster.local"),
        ("endpoints", ":8080"),
        ("secrets", "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway"),
    ],
)
def test_proxy_config_shows_what_the_gateway_runs_with(
    mesh: tuple[UpMesh, Path], what: str, word: str
) -> None:
    running, _ = mesh
    shown = running.meshloom("proxy-config", what, "istio-ingressgateway")
    assert shown.returncode == 0, shown.stderr
    assert word in shown.stdout if what != "listeners" else "http.8080" in shown.stdout
    assert json.loads(running.meshloom("proxy-config", what, "istio-ingressgateway", "-o", "json").stdout)


def test_private_keys_are_not_shown(mesh: tuple[UpMesh, Path]) -> None:
    running, _ = mesh
    secrets = json.loads(running.meshloom("proxy-config", "secrets", "echo", "-o", "json").stdout)
    keys = [s["tls_certificate"]["private_key"] for s in secrets if "tls_certificate" in s]
    assert keys
    assert all("REDACTED" in json.dumps(key) or "W3JlZGFjdGVkXQ==" in json.dumps(key) for key in keys)


def test_a_proxy_that_is_not_there_is_named_with_those_that_are(mesh: tuple[UpMesh, Path]) -> None:
    running, _ = mesh
    shown = running.meshloom("proxy-config", "routes", "nobody")
    assert (shown.returncode, "istio-ingressgateway" in shown.stderr) == (1, True)


def test_an_applied_rule_wins_until_it_is_deleted(mesh: tuple[UpMesh, Path], tmp_path: Path) -> None:
    running, _ = mesh
    rule = tmp_path / "teapot.yaml"
    vs = CONFIG.split("---")[2]
    rule.write_text(vs[: vs.index("  - route")] + "  - directResponse: {status: 418}\n")
    running.apply(rule)
    until(lambda: running.get("/").status == 418, "the rule is served")
    assert running.meshloom("delete", "-f", str(rule)).returncode == 0
    until(lambda: running.get("/").status == 200, "the file's rule is back")
    again = running.meshloom("delete", "-f", str(rule))
    assert (again.returncode, "echo.yaml:" in again.stderr) == (1, True), "only the file has it now"


def test_a_bad_rule_is_refused_with_its_place_and_changes_nothing(mesh: tuple[UpMesh, Path]) -> None:
    running, _ = mesh
    bad = CONFIG.split("---")[2].replace("attempts: 3", "attemps: 3")
    shown = running.meshloom("apply", "-f", "-", stdin=bad)
    assert shown.returncode == 1
    assert "spec.http[0].retries.attemps" in shown.stderr
    assert 'did you mean "attempts"?' in shown.stderr
    assert running.get("/").status == 200


def test_a_second_mesh_from_the_same_folder_is_refused(mesh: tuple[UpMesh, Path]) -> None:
    running, file = mesh
    shown = run_meshloom(["up", str(file.parents[1])], running.home)
    assert (shown.returncode, "already running" in shown.stderr) == (1, True)
