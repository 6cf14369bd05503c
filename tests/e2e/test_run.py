"""`meshloom run`: one program with its sidecar, in a mesh that somebody else started."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.mesh import UpMesh, assert_gone, up
from tests.support.envoy import envoy_binary
from tests.support.server import free_port
from tests.support.wait import until

# A mesh needs the machine: these run one after the other, also when other tests run in parallel.

HELLO = """
apiVersion: v1
kind: Service
metadata: {name: hello}
spec:
  selector: {app: hello}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: hello}
spec:
  hosts: ["*"]
  gateways: [door]
  http: [{route: [{destination: {host: hello}}]}]
"""
SETTINGS = "gateway:\n  ports: {8080: 0}\n"
# Answers with the number of the process, and with what it was told by the mesh.
PROGRAM = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"pid": os.getpid(), "proxy": os.environ.get("http_proxy")}).encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Hello).serve_forever()
"""


@pytest.fixture(scope="module", params=["meshproxy", "envoy"])
def mesh(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[UpMesh, list[str]]]:
    folder = tmp_path_factory.mktemp("hello")
    (folder / "hello.yaml").write_text(HELLO)
    (folder / "meshloom.yaml").write_text(SETTINGS)
    options = ["--proxy", str(envoy_binary())] if request.param == "envoy" else []
    with up(folder, proxy=request.param) as running:
        yield running, options


def start(mesh: UpMesh, options: list[str], *rest: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "meshloom.cli", "run", *options, *rest]
    env = {**os.environ, "MESHLOOM_HOME": str(mesh.home)}
    return subprocess.Popen(
        argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )


def test_a_program_is_served_through_the_gateway_and_gone_when_it_ends(
    mesh: tuple[UpMesh, list[str]],
) -> None:
    running, options = mesh
    with start(
        running, options, "--workload", "hello", "--port", "8080", "--", sys.executable, "-c", PROGRAM
    ) as run:
        answer = until(lambda: (a := running.get("/")).status == 200 and a, "the program is reached", 40)
        assert answer.json()["proxy"].startswith("http://127.1.")
        run.send_signal(signal.SIGTERM)
        assert run.wait(20) == 128 + signal.SIGTERM
    until(lambda: running.get("/").status == 503, "the endpoint has left")


def test_the_exit_code_is_the_programs(mesh: tuple[UpMesh, list[str]]) -> None:
    running, options = mesh
    with start(running, options, "--workload", "job", "--", "sh", "-c", "echo done; exit 42") as run:
        out, errors = run.communicate(timeout=60)
    assert (run.returncode, out) == (42, "done\n"), errors


def test_the_program_starts_when_its_sidecar_serves_so_it_reaches_services_at_once(
    mesh: tuple[UpMesh, list[str]],
) -> None:
    running, options = mesh
    call = "import os,urllib.request as u; print(u.urlopen('http://hello/', timeout=5).status)"
    serving = start(
        running, options, "--workload", "hello", "--port", "8080", "--", sys.executable, "-c", PROGRAM
    )
    with serving:
        until(lambda: running.get("/").status == 200, "the program is reached", 40)
        with start(running, options, "--workload", "caller", "--", sys.executable, "-c", call) as run:
            out, errors = run.communicate(timeout=60)
        assert (run.returncode, out) == (0, "200\n"), errors
        serving.send_signal(signal.SIGINT)
        serving.wait(20)


def test_a_run_that_is_killed_leaves_nothing_behind(mesh: tuple[UpMesh, list[str]], tmp_path: Path) -> None:
    running, options = mesh
    marker = tmp_path / "pid"
    with start(
        running, options, "--workload", "doomed", "--", "sh", "-c", f"echo $$ > {marker}; sleep 1000"
    ) as run:
        until(lambda: marker.exists() and marker.read_text().endswith("\n"), "the program runs", 40)
        run.kill()
    pid = int(marker.read_text())
    until(lambda: not Path(f"/proc/{pid}").exists(), "the program is gone")


EDGE = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: origin}
spec:
  hosts: [origin.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {http: PORT}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge}
spec:
  hosts: ["*"]
  gateways: [edge]
  http:
  - match: [{uri: {prefix: /api}}]
    route: [{destination: {host: origin.example}}]
  - directResponse: {status: 418, body: {string: teapot}}
"""


@pytest.mark.parametrize("proxy", ["meshproxy", "envoy"])
def test_a_gateway_alone_serves_its_rules(proxy: str, tmp_path: Path) -> None:
    origin = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env={**os.environ, "PORT": str(port := free_port())}
    )
    path = tmp_path / "edge.yaml"
    path.write_text(EDGE.replace("PORT", str(port)))
    options = ["--proxy", str(envoy_binary())] if proxy == "envoy" else []
    home = tmp_path / "home"
    gateway = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "meshloom.cli",
            "gateway",
            "-f",
            str(path),
            "-p",
            "80:0",
            "-o",
            "json",
            *options,
        ],
        env={**os.environ, "MESHLOOM_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        assert gateway.stdout is not None
        text = "".join(iter(gateway.stdout.readline, "}\n")) + "}"
        mesh = UpMesh(home, json.loads(text), gateway)
        api = until(lambda: (a := mesh.get("/api", port="80")).status == 200 and a, "the origin is reached")
        assert api.json()["pid"] == origin.pid
        assert mesh.get("/", port="80").status == 418
        gateway.send_signal(signal.SIGINT)
        assert gateway.wait(20) == 0
    finally:
        gateway.kill()
        gateway.wait()
        origin.kill()
        origin.wait()
    assert_gone(home)
